//! What the machine has a number of for everybody, and what of it is a session's at most.

use std::fs;
use std::sync::OnceLock;

use crate::sandbox_use::field;
use crate::tree;

/// How many processes and threads the machine has room for: numbers, and what the kernel's memory is enough for.
pub(crate) fn most_tasks() -> u64 {
    /// The kernel's default for numbers.
    const USUAL: u64 = 32_768;
    let read = |path: &str| number(path, 0).unwrap_or(USUAL);
    read("/proc/sys/kernel/pid_max").min(read("/proc/sys/kernel/threads-max"))
}

/// The number at a place of one of the kernel's short texts; of two with a slash between them the second.
pub(crate) fn number(path: &str, at: usize) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.split_ascii_whitespace().nth(at)?.rsplit('/').next()?.parse().ok()
}

/// How many open files there may be on the machine. `u64::MAX`: it does not say.
fn most_files() -> u64 {
    static MOST: OnceLock<u64> = OnceLock::new();
    *MOST.get_or_init(|| number("/proc/sys/fs/file-max", 0).unwrap_or(u64::MAX))
}

/// How many open files a session may have at most, whatever its limit: a quarter.
pub(crate) fn most_open_files() -> u64 {
    most_files() / 4
}

/// The same of open files and mappings, of which each may keep a file open: a half.
pub(crate) fn most_mappings() -> u64 {
    most_files() / 2
}

/// How many TCP connections a session may have at most, whatever its limit: an eighth of how many may be closed and still send.
pub(crate) fn most_connections() -> u64 {
    static MOST: OnceLock<u64> = OnceLock::new();
    *MOST.get_or_init(|| number("/proc/sys/net/ipv4/tcp_max_orphans", 0).unwrap_or(u64::MAX)) / 8
}

/// How many sockets of any kind a session may have at most, whatever its limit: an eighth of how many of `AF_UNIX` the machine
/// has.
pub(crate) fn most_sockets() -> u64 {
    most_files() / 4
}

/// Whether the kernel gives the processes of each `setsid` a share of busy processors of their own (autogroups), however many a
/// program makes. It does only for those that no control group of processors has.
pub(crate) fn gives_each_setsid_a_share() -> bool {
    number("/proc/sys/kernel/sched_autogroup_enabled", 0) == Some(1)
}

/// The sockets in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sockets {
    /// TCP connections and listeners.
    pub(crate) tcp: u64,
    /// Of all kinds, TCP included. A connection of `AF_UNIX` that waits to be accepted has two, and nobody has one of them open.
    pub(crate) all: u64,
}

/// The sockets in the network of a process. `None`: it has ended.
pub(crate) fn sockets(pid: i32) -> Option<Sockets> {
    // "sockets: used 12", and "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1", of which the first number alone is the network's own.
    let in_use = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/net/{file}")).ok();
    let text = read("sockstat")?;
    // A kernel may have no IPv6.
    let v6 = read("sockstat6").and_then(|text| in_use(&text, "TCP6:")).unwrap_or(0);
    let tcp = in_use(&text, "TCP:")? + v6;
    let all = if counts_sockets_of_networks() { in_use(&text, "sockets:")? } else { tcp };
    Some(Sockets { tcp, all })
}

/// Whether the kernel says of each network how many sockets it has, as since Linux 4.16, and not of the machine.
fn counts_sockets_of_networks() -> bool {
    static COUNTS: OnceLock<bool> = OnceLock::new();
    *COUNTS.get_or_init(|| {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut parts =
            release.split(|other: char| !other.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (4, 16)
    })
}

/// How many files a process has open. `threads`: how many it has. All of them have one table of files, since the filter of
/// system calls refuses others.
pub(crate) fn open_files(pid: i32, threads: u64) -> u64 {
    match open_files_of(pid) {
        // Nothing is to be seen of one whose first thread has ended.
        0 if threads > 1 => tree::threads(pid).into_iter().map(open_files_of).max().unwrap_or(0),
        found => found,
    }
}

fn open_files_of(thread: i32) -> u64 {
    let folder = format!("/proc/{thread}/fd");
    if has_sizes() {
        fs::metadata(folder).map_or(0, |meta| meta.len())
    } else {
        let count = || Ok(fs::read_dir(&folder)?.count() as u64);
        tree::looking_at(thread, count).unwrap_or(0)
    }
}

/// Whether the size of such a folder is its number of files, as since Linux 6.2: one call instead of one for each file.
fn has_sizes() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let _one = fs::File::open("/dev/null");
        fs::metadata("/proc/self/fd").is_ok_and(|meta| meta.len() > 0)
    })
}

/// What changes when somebody takes much of what the machine has for all: open files, tasks and the kernel's own
/// memory, which much takes that no process has open. Three short reads.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    files: u64,
    tasks: u64,
    kernel: u64,
}

impl Machine {
    /// Whether much was taken since the last call: more than an eighth of what a session may have at most of the machine's open
    /// files, or that many tasks, or that much memory of the kernel's.
    pub(crate) fn has_leapt(&mut self) -> bool {
        /// Programs that start together are some hundreds.
        const TASKS: u64 = 256;
        /// Bytes: 20,000 connections that nobody accepts, or 300,000 watches of `epoll`.
        const KERNEL: u64 = 64 << 20;
        // "0.52 0.58 0.59 2/1523 98765": those that run, and all.
        let files = number("/proc/sys/fs/file-nr", 0).unwrap_or(0);
        let tasks = number("/proc/loadavg", 3).unwrap_or(0);
        let kernel = fs::read_to_string("/proc/meminfo").map_or(0, |text| field(&text, "SUnreclaim:"));
        let before = std::mem::replace(self, Self { files, tasks, kernel });
        let more_files = files.saturating_sub(before.files) > most_open_files() / 8;
        let more_tasks = tasks.saturating_sub(before.tasks) > TASKS;
        before.tasks > 0 && (more_files || more_tasks || kernel.saturating_sub(before.kernel) > KERNEL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_of_a_process_are_counted() {
        let own = i32::try_from(std::process::id()).expect("a process number is an int");
        let before = open_files(own, 1);
        let files: Vec<_> = (0..200).map(|_| fs::File::open("/dev/null").expect("it is there")).collect();
        let with = open_files(own, 1);
        // Other tests of this process open and close some meanwhile.
        assert!(before > 2 && with >= before + 150, "{before} {with}");
        assert_eq!((files.len(), open_files(-1, 1), open_files(-1, 2)), (200, 0, 0));
    }

    #[test]
    fn connections_that_nobody_accepts_are_counted() {
        let own = i32::try_from(std::process::id()).expect("a process number is an int");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let before = sockets(own).expect("it runs");
        for _ in 0..100 {
            drop(std::net::TcpStream::connect(address).expect("it waits to be accepted"));
        }
        let with = sockets(own).expect("it runs");
        // Others on the machine open and close some meanwhile.
        assert!(with.tcp >= before.tcp + 50 && with.all >= before.all + 50, "{before:?} {with:?}");
        assert_eq!(sockets(-1), None);
    }

    #[test]
    fn local_connections_that_nobody_accepts_are_counted() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
        let own = i32::try_from(std::process::id()).expect("a process number is an int");
        let name = format!("agb-machine-test-{own}");
        let address = SocketAddr::from_abstract_name(name).expect("it is short");
        let listener = UnixListener::bind_addr(&address).expect("nobody else has the name");
        let before = sockets(own).expect("it runs");
        // Rust's listeners let 128 wait, or as many as the machine allows.
        for _ in 0..100 {
            drop(UnixStream::connect_addr(&address).expect("it waits to be accepted"));
        }
        let with = sockets(own).expect("it runs");
        assert!(with.all >= before.all + 150, "{before:?} {with:?}");
        drop(listener);
        let after = sockets(own).expect("it runs");
        assert!(after.all < before.all + 100, "{before:?} {after:?}");
    }

    #[test]
    fn a_leap_is_told_once() {
        let mut machine = Machine::default();
        assert!(!machine.has_leapt(), "nothing is known before");
        machine.files = 0;
        machine.tasks = 1;
        let is_busy = number_of_tasks() > 300;
        assert_eq!(machine.has_leapt(), is_busy || machine.files > most_open_files() / 8);
        assert!(machine.tasks > 1 && machine.files > 0);
    }

    fn number_of_tasks() -> usize {
        fs::read_dir("/proc")
            .expect("there is /proc")
            .flatten()
            .map(|entry| fs::read_dir(entry.path().join("task")).map_or(0, Iterator::count))
            .sum()
    }
}
