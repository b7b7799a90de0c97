//! Programs that try to get out, that use up what they can, and that do not end: at every level that this machine
//! offers, as the user who runs the tests and, if that is root, once more as an ordinary one.
//!
//! `cargo test -p agb-sandbox --test battery -- WORD` runs the tests whose name contains the word.
#![cfg(target_os = "linux")]

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use agb_sandbox::{Child, Command, Launcher, Level, Network, Policy, SpawnError, Stage, main_if_helper};

/// More than anything below takes on a busy machine; hit only if something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Set for the second run, as an ordinary user.
const AS_USER: &str = "AGB_SANDBOX_TEST_AS_USER";

/// Nobody's number.
const USER: u32 = 1_999_999_999;

type Test = fn(&World);

const TESTS: [(&str, Test); 10] = [
    ("attempts_are_stopped", attempts_are_stopped),
    ("network_host_reaches_the_network_only", network_host_reaches_the_network_only),
    ("programs_find_what_they_need", programs_find_what_they_need),
    ("an_image_below_tmp_is_shown_and_follows_no_link", an_image_below_tmp_is_shown_and_follows_no_link),
    ("limits_hold", limits_hold),
    ("failures_name_the_step", failures_name_the_step),
    ("interrupt_reaches_the_group", interrupt_reaches_the_group),
    ("nothing_outlives_a_sandbox", nothing_outlives_a_sandbox),
    ("nothing_outlives_the_launcher", nothing_outlives_the_launcher),
    ("starts_are_fast", starts_are_fast),
];

fn main() {
    main_if_helper();
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    // SAFETY: a system call without arguments.
    let is_root = unsafe { libc::geteuid() } == 0;
    let world = World::new();
    println!("as {}:\n{}", if is_root { "root" } else { "an ordinary user" }, world.launcher.probe());
    assert!(!world.levels.is_empty(), "this machine offers no isolation at all");
    let mut passed = 0;
    for (name, test) in TESTS {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            let start = Instant::now();
            test(&world);
            println!("test {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64());
            passed += 1;
        }
    }
    println!("test result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    drop(world);
    if is_root && std::env::var_os(AS_USER).is_none() {
        let mut again = std::process::Command::new("/proc/self/exe");
        let status = again.args(words).env(AS_USER, "1").current_dir("/").uid(USER).gid(USER).status();
        assert!(status.expect("the test's executable can be run by all").success(), "as an ordinary user");
    }
}

/// What the tests share.
struct World {
    launcher: Launcher,
    /// The isolated levels of this machine.
    levels: Vec<Level>,
    dir: PathBuf,
    next: AtomicU32,
}

impl World {
    fn new() -> Self {
        let launcher = Launcher::start("/proc/self/exe").expect("the launcher starts");
        let report = launcher.probe();
        let levels = report.levels.iter().filter(|(level, offer)| *level != Level::None && offer.is_ok());
        let levels = levels.map(|(level, _)| *level).collect();
        let dir = std::env::temp_dir().join(format!("agb-sandbox-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("the temporary directory can be written");
        // At the level landlock, another user has to pass through it.
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).expect("it is ours");
        Self { launcher, levels, dir, next: AtomicU32::new(0) }
    }

    /// A policy with a slot and a working directory of its own.
    fn policy(&self, level: Level) -> Policy {
        let slot = self.next.fetch_add(1, Ordering::Relaxed);
        let workdir = self.dir.join(format!("work-{slot}"));
        std::fs::create_dir(&workdir).expect("the parent is ours");
        std::fs::set_permissions(&workdir, PermissionsExt::from_mode(0o700)).expect("it is ours");
        Policy::new(level, workdir, slot)
    }

    fn spawn(&self, policy: &Policy, command: &Command) -> Result<(Child, Ends), SpawnError> {
        spawn(&self.launcher, policy, command)
    }

    /// Runs a Python program to its end.
    fn python(&self, policy: &Policy, code: &str) -> (ExitStatus, String) {
        let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
        let (mut child, mut ends) = self.spawn(policy, &command).unwrap_or_else(|error| panic!("{error}"));
        let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("the program ends");
        let mut text = String::new();
        ends.output.read_to_string(&mut text).expect("it prints text");
        (status, text)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Our ends of a program's pipes.
struct Ends {
    /// Standard output and error.
    output: io::PipeReader,
    /// Descriptor 3.
    to: io::PipeWriter,
    /// Descriptor 4.
    from: io::PipeReader,
}

fn spawn(launcher: &Launcher, policy: &Policy, command: &Command) -> Result<(Child, Ends), SpawnError> {
    let null: OwnedFd = std::fs::File::open("/dev/null").expect("there is /dev/null").into();
    let (output, writer) = io::pipe().expect("there are pipes");
    let (reader, to) = io::pipe().expect("there are pipes");
    let (from, answer) = io::pipe().expect("there are pipes");
    let fds = [null.as_fd(), writer.as_fd(), writer.as_fd(), reader.as_fd(), answer.as_fd()];
    let child = launcher.spawn(policy, command, fds)?;
    Ok((child, Ends { output, to, from }))
}

/// A line that the program prints.
fn line(output: &mut io::PipeReader) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while output.read(&mut byte).expect("the pipe works") == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("it prints text")
}

/// What an attempt is expected to do where nothing is isolated.
#[derive(Clone, Copy, PartialEq)]
enum Bare {
    /// It works for every user: the attempt is a real one.
    Works,
    /// It works for root, or on some machines.
    Maybe,
}
use Bare::{Maybe, Works};

/// Python, with names from [`outside`]. What raises an error was stopped.
const ATTEMPTS: [(&str, Bare, &str); 72] = [
    // Files
    ("read the list of passwords", Maybe, "open('/etc/shadow').read()"),
    ("read a file of the server's", Works, "open(SECRET).read()"),
    ("write a file of the server's", Works, "open(SECRET, 'a')"),
    ("cut a file of the server's", Works, "os.truncate(SECRET, 6)"),
    ("hard-link a file of the server's", Maybe, "os.link(SECRET, 'hard')"),
    ("follow a link of its own to it", Works, "os.symlink(SECRET, 'soft'); open('soft').read()"),
    ("leave the working directory by ..", Works, "os.listdir('../work-neighbour')"),
    ("read another session's file", Works, "open(NEIGHBOUR + '/file').read()"),
    ("write into another session's directory", Works, "open(NEIGHBOUR + '/new', 'w')"),
    ("list root's home", Maybe, "os.listdir('/root')"),
    (
        "list the host's users' homes",
        Maybe,
        "os.listdir('/home/user') if WORK != '/home/user' else stop('it is its own')",
    ),
    ("write into the image", Works, "open(IMAGE + '/new', 'w')"),
    ("change the image's rights", Works, "os.chmod(IMAGE, 0o777)"),
    ("own a file of the server's", Works, "os.chown(SECRET, os.getuid(), -1)"),
    ("set the time of a file of the server's", Works, "os.utime(SECRET, (0, 0))"),
    ("write into /usr", Maybe, "open('/usr/new', 'w')"),
    ("write into /etc", Maybe, "open('/etc/new', 'w')"),
    ("write into /", Maybe, "open('/new', 'w')"),
    ("open a file by its number", Maybe, "call('open_by_handle_at', -1, 0, 0)"),
    // Devices and the kernel's own files
    ("make a device", Maybe, "os.mknod('device', stat.S_IFBLK | 0o666, os.makedev(7, 0)); open('device', 'rb')"),
    ("open the machine's memory", Maybe, "open('/dev/mem', 'rb')"),
    ("open the virtual machine device", Maybe, "open('/dev/kvm', 'rb')"),
    ("open the terminal", Maybe, "open('/dev/tty')"),
    ("list the host's network devices", Works, "os.listdir('/sys/class/net')"),
    ("open the kernel's memory", Maybe, "open('/proc/kcore', 'rb')"),
    ("open the panic button", Maybe, "open('/proc/sysrq-trigger', 'w')"),
    ("choose where cores are piped to", Maybe, "open('/proc/sys/kernel/core_pattern', 'w')"),
    ("read the kernel's messages", Maybe, "call('syslog', 3, ctypes.create_string_buffer(64), 64)"),
    // Rights
    ("become root", Maybe, "os.setuid(0)"),
    ("give a file to root", Maybe, "open('mine', 'w'); os.chown('mine', 0, 0)"),
    ("gain rights by a set-uid program", Works, "libc.prctl(39, 0, 0, 0, 0) and stop('no new privileges')"),
    ("switch its system call filter off", Works, "libc.prctl(21, 0, 0, 0, 0) and stop('it is for good')"),
    ("raise its limits", Maybe, "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))"),
    ("raise its priority", Maybe, "os.setpriority(os.PRIO_PROCESS, 0, 0)"),
    ("leave a core", Maybe, "resource.getrlimit(resource.RLIMIT_CORE)[1] or stop('the limit is 0')"),
    // Namespaces and mounts
    ("make a user namespace", Maybe, "call('unshare', 0x10000000)"),
    ("the same by clone", Maybe, "clone(0x10000000)"),
    ("the same by clone3", Maybe, "call('clone3', ctypes.create_string_buffer(88), 88)"),
    ("make a mount namespace", Maybe, "call('unshare', 0x20000)"),
    ("enter another namespace", Maybe, "call('setns', os.open('/proc/self/ns/net', os.O_RDONLY), 0)"),
    ("mount", Maybe, "call('mount', b'none', b'.', b'tmpfs', 0, 0)"),
    ("mount in the newer way", Maybe, "call('fsopen', b'tmpfs', 0)"),
    ("unmount", Maybe, "call('umount2', b'/tmp', 2)"),
    ("change the root", Maybe, "os.chroot('.')"),
    ("rename the host", Maybe, "socket.sethostname('mine')"),
    // Other processes
    ("signal the server", Works, "os.kill(SERVER, 0)"),
    ("signal another session's program", Works, "os.kill(OTHER, 0)"),
    ("read the server's environment", Works, "open(f'/proc/{SERVER}/environ', 'rb').read(1)"),
    ("open the server's memory", Maybe, "open(f'/proc/{SERVER}/mem', 'rb')"),
    ("list another session's descriptors", Works, "os.listdir(f'/proc/{OTHER}/fd')"),
    ("trace what started it", Maybe, "call('ptrace', 16, PARENT, 0, 0)"),
    ("read the memory of what started it", Maybe, "open(f'/proc/{PARENT}/mem', 'rb')"),
    ("the same by another call", Maybe, "call('process_vm_readv', PARENT, 0, 0, 0, 0, 0)"),
    ("take a descriptor of what started it", Maybe, "call('pidfd_getfd', os.pidfd_open(PARENT), 0, 0)"),
    ("use an inherited descriptor", Maybe, "any(is_open(fd) for fd in range(5, 1024)) or stop('there is none')"),
    ("find the server's environment in its own", Maybe, "os.environ['CARGO_MANIFEST_DIR']"),
    // The network
    ("connect to the host's loopback", Works, "socket.create_connection(('127.0.0.1', PORT), 2)"),
    ("connect to a cloud's metadata", Maybe, "socket.create_connection(('169.254.169.254', 80), 1)"),
    ("connect to an abstract socket", Works, "socket.socket(socket.AF_UNIX).connect(b'\\0' + ABSTRACT.encode())"),
    ("connect to a socket in a file", Works, "socket.socket(socket.AF_UNIX).connect(SOCKET)"),
    ("the same from one of a pair", Works, "pair(socket.SOCK_DGRAM)[0].sendto(b'x', DATAGRAM)"),
    ("send raw packets", Maybe, "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    ("read the wire", Maybe, "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)"),
    ("use the kernel's cryptography", Maybe, "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)"),
    ("call the hypervisor", Maybe, "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)"),
    // Large parts of the kernel
    ("load a program into the kernel", Maybe, "call('bpf', 0, ctypes.create_string_buffer(128), 128)"),
    (
        "measure the kernel",
        Maybe,
        "call('perf_event_open', ctypes.create_string_buffer(b'\\1\\0\\0\\0\\x80', 128), 0, -1, -1, 0)",
    ),
    ("use io_uring", Maybe, "call('io_uring_setup', 1, ctypes.create_string_buffer(128))"),
    ("keep a key", Maybe, "call('add_key', b'user', b'a', b'a', 1, -3)"),
    ("read the session's keys", Maybe, "call('keyctl', 0, -3, 0)"),
    ("handle page faults itself", Maybe, "call('userfaultfd', 0)"),
    ("restart the machine", Maybe, "call('reboot', 0, 0, 0, 0)"),
];

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

const NUMBERS: [(&str, libc::c_long); 21] = [
    ("add_key", libc::SYS_add_key),
    ("bpf", libc::SYS_bpf),
    ("clone", libc::SYS_clone),
    ("clone3", libc::SYS_clone3),
    ("fsopen", libc::SYS_fsopen),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("keyctl", libc::SYS_keyctl),
    ("mount", libc::SYS_mount),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("ptrace", libc::SYS_ptrace),
    ("reboot", libc::SYS_reboot),
    ("setns", libc::SYS_setns),
    ("socket", libc::SYS_socket),
    ("syslog", libc::SYS_syslog),
    ("umount2", libc::SYS_umount2),
    ("unshare", libc::SYS_unshare),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("exit", libc::SYS_exit),
];

const PRELUDE: &str = r"
import ctypes, errno, os, resource, socket, stat, sys
libc = ctypes.CDLL(None, use_errno=True)
WORK, PARENT = os.getcwd(), os.getppid()
pair = lambda kind: socket.socketpair(socket.AF_UNIX, kind)
class Stop(Exception): pass
def stop(why): raise Stop(why)
def call(name, *args):
    args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *args)
    if result == -1: raise OSError(ctypes.get_errno(), name)
    return result
def clone(flags):
    if call('clone', flags | 17, 0, 0, 0, 0) == 0: os._exit(0)
def is_open(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True
def attempt(name, code):
    # In a process of its own: what one attempt changes is not there for the next.
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 1); os.close(reader)
        if writer != 1: os.close(writer)
        try: exec(code, globals()); answer = 'WORKED'
        except Stop as error: answer = str(error)
        except OSError as error: answer = errno.errorcode.get(error.errno, str(error))
        except BaseException as error: answer = type(error).__name__
        os.write(1, answer.encode()); os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1000).decode() or 'killed'
    os.close(reader); os.waitpid(pid, 0)
    print(name, answer, sep='\t', flush=True)
";

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

fn attempts_are_stopped(world: &World) {
    let bare = attempts(world, Level::None, Network::None, true);
    let works = ATTEMPTS.iter().filter(|(_, kind, _)| *kind == Works);
    for ((name, _, code), answer) in works.zip(&bare) {
        assert_eq!(answer, "WORKED", "without isolation, a program should {name}: {code}");
    }
    let results: Vec<_> = world.levels.iter().map(|&level| attempts(world, level, Network::None, false)).collect();
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

fn network_host_reaches_the_network_only(world: &World) {
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

fn programs_find_what_they_need(world: &World) {
    let code = r"
import os, socket, threading, subprocess, tempfile
word = os.read(3, 100); os.write(4, word.upper())
with open('/dev/fd/4', 'w') as again: again.write('!')
open('note', 'w').write('x'); print(oct(os.stat('note').st_mode & 0o777))
tempfile.NamedTemporaryFile().write(b'x')
thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()
print(subprocess.run(['sh', '-c', 'echo child $0', 'x'], capture_output=True, text=True).stdout.strip())
a, b = socket.socketpair(); a.send(b'pair'); print(b.recv(9).decode())
try: os.listdir('IMAGE'); open('IMAGE/new', 'w') if ISOLATED else print(0)
except OSError as error: print(error.errno)
print(sorted(os.environ)); print(os.environ['HOME'] == os.getcwd(), os.getuid() != 0)
";
    for level in world.levels.iter().copied().chain([Level::None]) {
        let mut policy = world.policy(level);
        policy.env = vec![("EXTRA".into(), "1".into())];
        let isolated = if level == Level::None { "False" } else { "True" };
        // Any directory that most machines have, and that a sandbox does not have by itself.
        let image = ["/opt", "/srv", "/mnt"].into_iter().find(|dir| std::fs::read_dir(dir).is_ok());
        policy.readonly = image.map(PathBuf::from).into_iter().collect();
        let command = Command::new("/usr/bin/python3").args([
            "-I",
            "-c",
            &code.replace("IMAGE", image.unwrap_or("/usr")).replace("ISOLATED", isolated),
        ]);
        let (mut child, mut ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
        ends.to.write_all(b"word").expect("the program reads it");
        let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("the program ends");
        let (mut text, mut answer) = (String::new(), String::new());
        ends.output.read_to_string(&mut text).expect("it prints text");
        ends.from.read_to_string(&mut answer).expect("it prints text");
        assert!(status.success(), "{level}: {status}: {text}");
        assert_eq!(answer, "WORD!", "{level}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..4], ["0o644", "thread", "child x", "pair"], "{level}");
        assert_eq!(lines[5], "['EXTRA', 'HOME', 'LANG', 'PATH', 'TMPDIR', 'USER']", "{level}");
        if level != Level::None {
            let refusal = if level.has_namespaces() { libc::EROFS } else { libc::EACCES };
            assert_eq!(lines[4], refusal.to_string(), "{level}");
            assert_eq!(lines[6], "True True", "{level}");
        }
        // The next sandbox of the session finds what this one has left.
        let (_, again) = world.python(&policy, "print(open('note').read())");
        assert_eq!(again, "x\n", "{level}");
    }
}

/// People clone, and keep their caches, below `/tmp`, which a sandbox has of its own.
fn an_image_below_tmp_is_shown_and_follows_no_link(world: &World) {
    let root = PathBuf::from(format!("/tmp/agb-image-{}", std::process::id()));
    let image = root.join("deep/image");
    std::fs::create_dir_all(&image).expect("/tmp can be written");
    std::fs::write(image.join("word"), "image\n").expect("it is ours");
    for level in world.levels.iter().copied() {
        for shared in [false, true] {
            let mut policy = world.policy(level);
            policy.readonly = vec![image.clone()];
            if shared {
                let tmp = policy.workdir.with_extension("tmp");
                std::fs::create_dir(&tmp).expect("the parent is ours");
                std::fs::set_permissions(&tmp, PermissionsExt::from_mode(0o777)).expect("it is ours");
                policy.tmp = Some(tmp);
            }
            let code = format!(
                "import os, tempfile\nprint(open('{0}/word').read(), end='')\n\
                 try: open('{0}/new', 'w')\nexcept OSError as error: print(error.errno)\n\
                 tempfile.NamedTemporaryFile().write(b'x')\n\
                 try: os.rename('{1}', '/tmp/away'); os.symlink('/etc', '{1}')\nexcept OSError: pass\n",
                image.display(),
                root.display()
            );
            let (status, text) = world.python(&policy, &code);
            assert!(status.success(), "{level}: {text}");
            let refusal = if level.has_namespaces() { libc::EROFS } else { libc::EACCES };
            assert_eq!(text, format!("image\n{refusal}\n"), "{level}");
            // In a /tmp that the session shares, there is a link now where the image's folder was.
            match world.spawn(&policy, &Command::new("/usr/bin/true")) {
                Ok(_) => assert!(!shared || !level.has_namespaces(), "{level}: a link was followed"),
                Err(SpawnError::Failed { stage: Stage::Mount, errno, .. }) => {
                    assert!(shared && [libc::ENOTDIR, libc::ELOOP].contains(&errno), "{level}: {errno}");
                }
                Err(error) => panic!("{level}: {error}"),
            }
        }
    }
    std::fs::remove_dir_all(&root).expect("it is ours");
}

fn limits_hold(world: &World) {
    let code = r"
import os, errno
def attempt(name, action):
    try: action(); print(name, 'WORKED')
    except MemoryError: print(name, 'MemoryError')
    except OSError as error: print(name, errno.errorcode[error.errno])
def fill(path, size):
    with open(path, 'wb') as file:
        for _ in range(size >> 20): file.write(bytes(1 << 20)); file.flush()
def bomb():
    for _ in range(200):
        if os.fork() == 0: os.read(5, 1)
keep = os.pipe(); os.dup2(keep[0], 5) if keep[0] != 5 else None
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
attempt('memory', lambda: bytearray(100 << 20))
attempt('file', lambda: fill('big', 9 << 20))
attempt('tmp', lambda: [fill('/tmp/%d' % i, 7 << 20) for i in range(4)])
attempt('open', lambda: [os.dup(1) for _ in range(200)])
attempt('processes', bomb)
";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.memory = 64 << 20;
        policy.limits.processes = 20;
        policy.limits.open_files = 64;
        policy.limits.file_size = 8 << 20;
        policy.limits.tmp_size = 16 << 20;
        let (status, text) = world.python(&policy, code);
        assert!(status.success(), "{level}: {status}: {text}");
        let mut expected = vec!["memory MemoryError", "file EFBIG", "open EMFILE", "processes EAGAIN"];
        if level.has_namespaces() {
            expected.insert(2, "tmp ENOSPC");
        }
        let lines: Vec<&str> = text.lines().filter(|line| level.has_namespaces() || !line.starts_with("tmp")).collect();
        assert_eq!(lines, expected, "{level}");
    }
}

fn failures_name_the_step(world: &World) {
    for level in world.levels.iter().copied().chain([Level::None]) {
        let policy = world.policy(level);
        match world.spawn(&policy, &Command::new("/usr/bin/nothing-here")) {
            Err(SpawnError::Failed { stage: Stage::Exec, errno: libc::ENOENT, detail }) => {
                assert_eq!(detail, "/usr/bin/nothing-here");
            }
            other => panic!("{level}: {:?}", other.map(|(child, _)| child)),
        }
        let long = Command::new("/usr/bin/true").args(["x".repeat(1 << 20)]);
        let error = world.spawn(&policy, &long).map(|(child, _)| child).expect_err("it is too long");
        assert!(matches!(error, SpawnError::TooLarge { .. }), "{level}: {error}");
        let (mut child, _ends) = world.spawn(&policy, &Command::new("/usr/bin/true")).expect("the next one starts");
        assert!(child.wait().expect("waiting works").success(), "{level}");
        let shell = Command::new("/bin/sh").args(["-c", "kill -SEGV $$"]);
        let (mut child, _ends) = world.spawn(&policy, &shell).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(child.wait().expect("waiting works").signal(), Some(libc::SIGSEGV), "{level}");
    }
}

fn interrupt_reaches_the_group(world: &World) {
    let code = r"
import os, time
try: print('ready', flush=True); os.system('sleep 1000'); time.sleep(1000)
except KeyboardInterrupt: print('interrupted', flush=True)
";
    for level in world.levels.iter().copied().chain([Level::None]) {
        let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
        let (mut child, mut ends) =
            world.spawn(&world.policy(level), &command).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(line(&mut ends.output), "ready");
        // `system` ignores the signal in Python itself as long as the shell runs: the first is for the shell.
        while child.wait_timeout(Duration::from_millis(50)).expect("waiting works").is_none() {
            let _ = child.signal_group(libc::SIGINT);
        }
        assert_eq!(line(&mut ends.output), "interrupted", "{level}");
        assert!(child.wait().expect("waiting works").success(), "{level}");
        assert!(child.signal_group(libc::SIGINT).is_err(), "{level}: it is gone");
    }
}

/// A program that leaves children, grandchildren and daemons behind, all of which carry the mark.
fn family(mark: &str) -> Command {
    let code = format!(
        r"
import os, time
for i in range(50):
    if os.fork() == 0:
        if i % 2: os.setsid()
        if i % 3 == 0 and os.fork(): os._exit(0)
        os.execv('/usr/bin/sleep', ['{mark}', '1000'])
print('ready', flush=True)
time.sleep(1000)
"
    );
    Command::new("/usr/bin/python3").args(["-I", "-S", "-c", &code])
}

/// The processes that have a word as their name.
fn marked(mark: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("there is /proc");
    let lines = entries.flatten().filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.starts_with(mark.as_bytes())).count()
}

fn nothing_outlives_a_sandbox(world: &World) {
    for level in world.levels.iter().copied().chain([Level::None]) {
        for by_drop in [false, true] {
            let mark = format!("agb-family-{}-{level}-{by_drop}", std::process::id());
            let (mut child, mut ends) =
                world.spawn(&world.policy(level), &family(&mark)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(line(&mut ends.output), "ready");
            await_marked(&mark, 50);
            let start = Instant::now();
            if by_drop {
                drop(child);
                await_marked(&mark, 0);
            } else {
                child.kill_all();
                let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("it ends");
                let took = start.elapsed();
                assert_eq!(status.signal(), Some(libc::SIGKILL), "{level}");
                assert_eq!(marked(&mark), 0, "{level}: `wait` says that nothing runs any more");
                println!("{level}: 51 processes ended after {:.1} ms", took.as_secs_f64() * 1e3);
            }
        }
    }
}

fn await_marked(mark: &str, wanted: usize) {
    let start = Instant::now();
    while marked(mark) != wanted {
        assert!(start.elapsed() < PATIENCE, "{mark}: {} processes run, and {wanted} should", marked(mark));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn nothing_outlives_the_launcher(world: &World) {
    for level in world.levels.iter().copied().chain([Level::None]) {
        for by_kill in [false, true] {
            let launcher = Launcher::start("/proc/self/exe").expect("the launcher starts");
            let mark = format!("agb-orphans-{}-{level}-{by_kill}", std::process::id());
            let (mut child, mut ends) =
                spawn(&launcher, &world.policy(level), &family(&mark)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(line(&mut ends.output), "ready");
            await_marked(&mark, 50);
            if by_kill {
                let pid = i32::try_from(launcher.id()).expect("a process number is an int");
                // SAFETY: a system call on integers; the launcher is a child of ours that is not reaped yet.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            } else {
                drop(launcher);
            }
            assert!(child.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}");
            await_marked(&mark, 0);
        }
    }
}

fn starts_are_fast(world: &World) {
    const ROUNDS: usize = 40;
    let code = ["-I", "-S", "-c", "print(1)"];
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    let mut plain = Vec::new();
    let mut sandboxed: Vec<(Vec<Duration>, Vec<Duration>)> = vec![Default::default(); world.levels.len()];
    let policies: Vec<Policy> = world.levels.iter().map(|&level| world.policy(level)).collect();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut command = std::process::Command::new("/usr/bin/python3");
        let output = command.args(code).env_clear().stdout(std::process::Stdio::piped()).spawn();
        let mut child = output.expect("there is Python");
        child.stdout.take().expect("it is piped").read_exact(&mut [0]).expect("it prints");
        plain.push(start.elapsed());
        child.wait().expect("it is our child");
        for (policy, (started, printed)) in policies.iter().zip(&mut sandboxed) {
            let start = Instant::now();
            let command = Command::new("/usr/bin/python3").args(code);
            let (mut child, mut ends) = world.spawn(policy, &command).unwrap_or_else(|error| panic!("{error}"));
            started.push(start.elapsed());
            ends.output.read_exact(&mut [0]).expect("it prints");
            printed.push(start.elapsed());
            child.wait().expect("waiting works");
        }
    }
    println!("plain: first output after {:.1} ms", median(plain));
    for (level, (started, printed)) in world.levels.iter().zip(sandboxed) {
        println!("{level}: started after {:.1} ms, first output after {:.1} ms", median(started), median(printed));
    }
}
