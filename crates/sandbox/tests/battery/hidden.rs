//! Programs that hide what they use up: from whoever looks at their processes now and then.

use agb_sandbox::{Command, Exceeded};
use agb_testkit::profile::PrivilegeProfile;

use crate::limits::is_killed_for_its_disk;
use crate::world::{PATIENCE, World};

/// What the programs below do with files.
const FILL: &str = "
import ctypes, mmap, os, threading, time
def fill(file):
    for _ in range(60): file.write(bytes(1 << 20))
    file.flush()
def spin():
    while True: pass
def end_first_thread_and(action):
    thread = threading.Thread(target=action); thread.start()
    ctypes.CDLL(None).syscall(60, 0)
";

/// A process whose first thread has ended shows nothing under its number: no memory, no open files.
const BEHIND_A_DEAD_THREAD: &str = "
def work():
    file = open('f', 'wb'); os.unlink('f'); fill(file); spin()
end_first_thread_and(work)";

/// Each process is there for less time than is counted, and the next has the file.
const BY_PROCESSES_THAT_LIVE_SHORT: &str = "
file = open('f', 'wb'); os.unlink('f')
if os.fork() == 0:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        begin = time.process_time()
        if os.fstat(file.fileno()).st_size < 60 << 20: os.write(file.fileno(), bytes(1 << 20))
        if os.fork(): os._exit(0)
time.sleep(100)";

/// Only a part of the file is mapped, and it is not open any more. Python's own maps keep theirs open.
const MAPPED_IN_PART: &str = "
file = open('f', 'w+b'); fill(file); map = mmap.mmap(file.fileno(), 4096); os.unlink('f'); os.closerange(3, 100)
spin()";

/// Each file is hidden before anybody may have looked at it, and little of it is mapped.
const MANY_MAPPED_IN_PART: &str = "
maps = []
for i in range(70):
    file = os.open('f', os.O_RDWR | os.O_CREAT); os.write(file, bytes(1 << 20))
    maps.append(mmap.mmap(file, 4096)); os.unlink('f'); os.closerange(3, 100)
spin()";

/// Whether this process may see what a map is of, as only root can.
fn sees_maps() -> bool {
    let Ok(mut maps) = std::fs::read_dir("/proc/self/map_files") else { return false };
    maps.any(|entry| entry.is_ok_and(|entry| std::fs::metadata(entry.path()).is_ok()))
}

pub(crate) fn nothing_on_disk_is_hidden_by_how_processes_live(world: &World) {
    let mut ways = vec![
        ("behind a thread that has ended", BEHIND_A_DEAD_THREAD),
        ("by processes that live short", BY_PROCESSES_THAT_LIVE_SHORT),
        ("many mapped in part", MANY_MAPPED_IN_PART),
    ];
    if sees_maps() {
        ways.push(("mapped in part", MAPPED_IN_PART));
    }
    for &level in &world.levels {
        for (way, code) in &ways {
            is_killed_for_its_disk(world, level, way, &format!("{FILL}{code}"));
        }
    }
}

pub(crate) fn memory_counts_behind_a_thread_that_has_ended(world: &World) {
    let code = format!("{FILL}\nend_first_thread_and(lambda: [bytearray(b'x') * (150 << 20), spin()])");
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.total_memory = 64 << 20;
        let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", &code]);
        let (mut program, _ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
        let status = program.wait_timeout(PATIENCE).expect("waiting works");
        assert_eq!(program.exceeded(), Some(Exceeded::Memory(64 << 20)), "{level}: {status:?}");
    }
}

/// What waits in sockets is counted by nobody everywhere, so they hold little.
pub(crate) fn connections_hold_little(world: &World) {
    if PrivilegeProfile::active().is_some_and(PrivilegeProfile::is_in_container) {
        return println!("a container's /proc/sys may not be written: not tested");
    }
    let code = r"
import socket
listener = socket.socket(); listener.bind(('127.0.0.1', 0)); listener.listen()
one = socket.create_connection(listener.getsockname()); other = listener.accept()[0]
one.settimeout(0.5); sent = 0
try:
    while sent < 16 << 20: sent += one.send(bytes(1 << 16))
except TimeoutError: pass
print(sent)
";
    for level in world.levels.iter().copied().filter(|level| level.has_namespaces()) {
        let (status, text) = world.python(&world.policy(level), code);
        let sent: u64 = text.trim().parse().unwrap_or_else(|_| panic!("{level}: {status}: {text}"));
        // Of two ends, each with as much as other sockets have.
        assert!(sent <= 1 << 20, "{level}: {sent} bytes wait in a connection");
    }
}
