//! A lossy network under the Rust client's commands and files: each line once, each byte in its place.

use std::time::Duration;

use agb_client::agb_core::operations::AccessScope;
use agb_client::agb_core::operations::files::WriteMode;
use agb_client::{Agb, RunEvent, RunStatus, Session};
use agb_testkit::proxy::{Proxy, Schedule};
use futures_util::StreamExt;

use crate::network::{client, session};
use crate::server::TestServer;

/// What a command prints.
const LINES: usize = 3_000;
/// More than two parts of a stream, and not a whole number of them.
const SIZE: usize = 9_000_001;
/// A file has a part in some calls only, so the network is given so many rounds to cut often enough.
const ROUNDS: usize = 40;

fn seed() -> u64 {
    let given = std::env::var("AGB_LOSSY").ok();
    let seed = given.as_deref().and_then(|text| text.split(',').nth(1)).map_or(1, |seed| seed.parse().expect("a seed"));
    println!("AGB_LOSSY=1,{seed} gives the same faults");
    seed
}

/// Runs a command that prints numbered lines, and checks each; gives how often it was found again.
async fn run_command(session: &Session, name: &str, detached: bool) -> u32 {
    let command = format!(
        "echo {name} >> starts; i=0; while [ $i -lt {LINES} ]; do printf '%05d of {name} \\303\\251\\n' $i; i=$((i + 1)); done; echo end >&2; exit 3"
    );
    let run = session.commands().run(command);
    let mut run = if detached { run.detached() } else { run }.stream().expect("it is sent");
    let (mut out, mut err) = (String::new(), String::new());
    while let Some(event) = run.next().await {
        match event {
            RunEvent::Stdout(chunk) => out.push_str(&chunk),
            RunEvent::Stderr(chunk) => err.push_str(&chunk),
            RunEvent::Error(error) => panic!("{name}: {error:?}"),
            _ => {}
        }
    }
    let ended = run.finish().await;
    assert_eq!((ended.status, ended.exit_code), (RunStatus::Exited, Some(3)), "{name}: {}", ended.error_message);
    let expected: String = (0..LINES).map(|i| format!("{i:05} of {name} é\n")).collect();
    assert!(out == expected && err == "end\n", "{name}: {} bytes instead of {}; {err}", out.len(), expected.len());
    ended.interruptions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_lossy_network_a_command_s_lines_arrive_once_and_it_runs_once() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address(), Schedule::calm()).await.expect("a port");
    let agb = client(proxy.address(), |config| {
        config.window = 2_048;
        config.socket_attempts = 1_000;
        config.reopen = Duration::from_millis(5);
    });
    let session = session(&agb).await;
    proxy.set_schedule(Schedule { refuse: 10, cut: 90, stall: 0, after: 600..7_000, ..Schedule::seeded(seed()) });
    let mut interruptions = 0;
    let names: Vec<String> = (0..4).map(|at| format!("command-{at}")).collect();
    for (at, name) in names.iter().enumerate() {
        interruptions += run_command(&session, name, at % 2 == 1).await;
    }
    assert!(interruptions >= 20, "{interruptions} interruptions");
    let direct = client(server.address(), |_| {}).get(session.id()).await.expect("it is there");
    let starts = direct.files().read("starts").await.expect("it was written");
    assert_eq!(String::from_utf8_lossy(&starts), names.iter().map(|name| format!("{name}\n")).collect::<String>());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_lossy_network_files_go_and_come_byte_for_byte() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address(), Schedule::calm()).await.expect("a port");
    let near = session(&client(proxy.address(), |_| {})).await;
    let access = near.grant_access(AccessScope::Run, None, None).await.expect("an access").value;
    let content: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8 ^ (at / 65_536) as u8).collect();
    let (mut cuts, mut appended) = (0, String::new());
    let seed = seed();
    proxy.set_schedule(Schedule {
        refuse: 0,
        cut: 90,
        stall: 5,
        after: 1_000..900_000,
        also_http: true,
        ..Schedule::seeded(seed)
    });
    for round in 0..ROUNDS {
        // With connections of its own: one that the network has spared is kept for ever.
        let far = Agb::attach(access.clone());
        let mut writer = far.files().write_stream("/tmp/lossy.bin", WriteMode::Overwrite);
        for piece in content.chunks(300_000) {
            writer.write(piece).await.expect("it arrives");
        }
        assert_eq!(writer.finish().await.expect("it is complete").size, SIZE as u64);
        let mut log = far.files().write_stream("/tmp/log", WriteMode::Append);
        log.write(format!("{round}\n").as_bytes()).await.expect("it arrives");
        log.finish().await.expect("it is complete");
        appended.push_str(&format!("{round}\n"));
        let mut reader = far.files().read_stream("/tmp/lossy.bin", ..);
        let mut came = Vec::new();
        while let Some(bytes) = reader.next().await.expect("it comes") {
            came.extend_from_slice(&bytes);
        }
        assert!(came == content, "round {round}: {} bytes", came.len());
        cuts = proxy.tally().cut;
        if round >= 2 && cuts >= 20 {
            break;
        }
    }
    assert!(cuts >= 20, "only {cuts} cuts");
    println!("{cuts} cuts");
    // A folder goes the same ways as an archive.
    let far = Agb::attach(access);
    let made = "mkdir -p from/sub && seq 300000 > from/numbers && ln -s numbers from/link && echo hi > from/sub/a";
    let made = far.commands().run(made).stream().expect("sent").finish().await;
    assert_eq!(made.exit_code, Some(0), "{}", made.error_message);
    let mut reader = far.files().read_folder("from").await.expect("it is packed");
    assert_eq!((reader.packed().entries, reader.packed().left_out), (4, 0));
    let mut writer = far.files().write_folder("/tmp/to").expect("the service unpacks");
    while let Some(bytes) = reader.next().await.expect("it comes") {
        writer.write(&bytes).await.expect("it arrives");
    }
    writer.finish().await.expect("it is unpacked");
    let same = far.commands().run("diff -r --no-dereference from /tmp/to && echo same").stream().expect("sent");
    assert_eq!(same.finish().await.logs.stdout.concat(), "same\n");

    proxy.set_schedule(Schedule::calm());
    let near = client(server.address(), |_| {}).get(near.id()).await.expect("it is there");
    let log = near.files().read("/tmp/log").await.expect("it is there");
    assert_eq!(String::from_utf8_lossy(&log), appended, "each is appended once");
    let left = near.commands().run("ls -A /tmp | grep -c agb").stream().expect("sent").finish().await;
    assert_eq!(left.logs.stdout.concat(), "0\n", "nothing half written stays");
    server.stop().await;
}
