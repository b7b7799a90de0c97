//! Makes the attempts, and says what stopped each.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use agb_sandbox::{Child, Command, Level, Network};
use agb_testkit::escapes::{self, Escapes};
use agb_testkit::profile::PrivilegeProfile;

use crate::attempts::{ATTEMPTS, Bare::Works, NUMBERS, PRELUDE};
use crate::world::{Ends, World};

/// What the attempts know of the world outside. Kept until they are over.
struct Outside {
    names: String,
    _listeners: (TcpListener, UnixListener, UnixListener, UnixDatagram),
    other: (Child, Ends),
    image: PathBuf,
}

fn outside(world: &World, level: Level) -> Outside {
    let number = world.next.fetch_add(1, Ordering::Relaxed);
    let dir = world.dir.join(format!("outside-{number}"));
    let (image, secret) = (dir.join("image"), dir.join("secret"));
    let (socket, datagram) = (dir.join("socket"), dir.join("datagram"));
    std::fs::create_dir_all(&image).expect("the parent is ours");
    std::fs::write(&secret, "secret").expect("the parent is ours");
    std::fs::write(image.join("file"), "image").expect("the parent is ours");
    let neighbour = world.dir.join("work-neighbour");
    let _ = std::fs::remove_dir_all(&neighbour);
    std::fs::create_dir(&neighbour).expect("the parent is ours");
    std::fs::write(neighbour.join("file"), "theirs").expect("the parent is ours");
    // As open as can be: what stops the attempts is to be the sandbox.
    for path in [&dir, &image, &secret, &neighbour, &neighbour.join("file")] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).expect("it is ours");
    }
    let tcp = TcpListener::bind("127.0.0.1:0").expect("there is a loopback device");
    let name = format!("agb-sandbox-{}-{number}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("it is short");
    let listeners = (
        UnixListener::bind_addr(&address).expect("the name is new"),
        UnixListener::bind(&socket).expect("the name is new"),
        UnixDatagram::bind(&datagram).expect("the name is new"),
    );
    for path in [&socket, &datagram] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).expect("it is ours");
    }
    let other = world
        .spawn(&world.policy(level), &Command::new("/usr/bin/sleep").args(["1000"]))
        .unwrap_or_else(|error| panic!("{error}"));
    let port = tcp.local_addr().expect("it is bound").port();
    let names = format!(
        "SECRET={secret:?}; IMAGE={image:?}; NEIGHBOUR={neighbour:?}; SOCKET={socket:?}; ABSTRACT={name:?}\n\
         DATAGRAM={datagram:?}; PORT={port}; SERVER={}; OTHER={}\nNUMBERS={{{}}}\n",
        std::process::id(),
        other.0.id(),
        NUMBERS.map(|(name, number)| format!("{name:?}:{number}")).join(",")
    );
    Outside { names, _listeners: (tcp, listeners.0, listeners.1, listeners.2), other, image }
}

/// Every attempt and what became of it.
fn attempts(world: &World, level: Level, network: Network, bare: bool) -> Vec<String> {
    let outside = outside(world, level);
    let mut policy = world.policy(level);
    policy.network = network;
    policy.readonly = if level.has_namespaces() { Vec::new() } else { vec![outside.image.clone()] };
    let code: String = ATTEMPTS
        .iter()
        // Without isolation, only those that cannot change anything.
        .filter(|(_, kind, _)| !bare || *kind == Works)
        .map(|(name, _, code)| format!("attempt({name:?}, {code:?})\n"))
        .collect();
    let (status, text) = world.python(&policy, &format!("{}{PRELUDE}{code}", outside.names));
    outside.other.0.kill_all();
    assert!(status.success(), "{level}: {status}: {text}");
    text.lines().map(|line| line.split_once('\t').unwrap_or((line, "?")).1.to_owned()).collect()
}

pub(crate) fn attempts_are_stopped(world: &World) {
    let bare = attempts(world, Level::None, Network::None, true);
    let in_container = PrivilegeProfile::active().is_some_and(PrivilegeProfile::is_in_container);
    let works = ATTEMPTS.iter().filter(|(_, kind, _)| *kind == Works);
    for ((name, _, code), answer) in works.zip(&bare) {
        // A container's server has no filter less and no right more than its programs.
        let worked = answer == "WORKED" || in_container && ["no new privileges", "it is for good"].contains(&&**answer);
        assert!(worked, "without isolation, a program should {name}: {code}: {answer}");
    }
    let results: Vec<_> = world.levels.iter().map(|&level| attempts(world, level, Network::None, false)).collect();
    for (level, answers) in world.levels.iter().zip(&results) {
        ATTEMPTS.iter().zip(answers).for_each(|((name, ..), answer)| escapes::keep(level.name(), name, answer));
    }
    print!("{:40}", "what stops the attempt to");
    world.levels.iter().for_each(|level| print!(" {:20}", level.name()));
    println!();
    let mut got_out = Vec::new();
    for (index, (name, ..)) in ATTEMPTS.iter().enumerate() {
        print!("{name:40}");
        for (level, answers) in world.levels.iter().zip(&results) {
            let answer = answers.get(index).map_or("?", String::as_str);
            print!(" {answer:20}");
            // Another exception is a mistake of the attempt's.
            let mistaken = answer.ends_with("Error") && !["KeyError", "ValueError"].contains(&answer);
            if ["WORKED", "killed", "?"].contains(&answer) || mistaken {
                got_out.push(format!("{level}: {name}: {answer}"));
            }
        }
        println!();
    }
    assert!(got_out.is_empty(), "{got_out:#?}");
}

pub(crate) fn network_host_reaches_the_network_only(world: &World) {
    for &level in &world.levels {
        let answers = attempts(world, level, Network::Host, false);
        for ((name, ..), answer) in ATTEMPTS.iter().zip(&answers) {
            let open = *name == "connect to the host's loopback" || *name == "connect to a cloud's metadata";
            // A sandbox on the host's network can be refused by it, but not by the sandbox.
            assert!(open || answer != "WORKED", "{level} with the host's network: {name}");
            if *name == "connect to the host's loopback" {
                assert_eq!(answer, "WORKED", "{level}: {name}");
            }
        }
    }
}

/// The checked-in list has every attempt.
pub(crate) fn compare_with_the_list(is_whole: bool) {
    let preface =
        "Written by the test `battery` of this crate, which runs a Python program in a sandbox for each attempt.";
    let attempts = ATTEMPTS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    Escapes { list: escapes::list_in(env!("CARGO_MANIFEST_DIR")), preface, attempts }.compare(is_whole);
}
