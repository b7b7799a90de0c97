//! What a program may use up.

/// The limits of one sandbox. Each default has its reason beside it.
///
/// They hold for everything that runs in the sandbox, except where "each process" or "session" is said. The sandboxes
/// of one slot are a session. The system's kernel enforces them; those of a session by control groups, where the machine
/// has them for the server ([`ControlGroups`](crate::ControlGroups)), and a thread of the server's always watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Private writable memory of each process in bytes. One that would exceed it gets an error from the kernel and
    /// goes on. Shared memory is not counted, and neither is what several processes have together.
    ///
    /// 1 GiB: pandas with a few million rows; Java starts with 480 MiB at its own defaults, Node.js with
    /// WebAssembly with 64 MiB; and a laptop holds several.
    pub memory: u64,
    /// Processes and threads. Commands that [share theirs](crate::Command::share_processes) have so many together. Where
    /// programs of several sandboxes have one user, which the kernel would count together, they are counted at each look, and a
    /// sandbox that has more is killed.
    ///
    /// 256: Java has about 30 threads and Node.js 11, a numerical library one per core, and a build or a parallel
    /// test run some dozens; a fork bomb of 256 is not noticed elsewhere.
    pub processes: u64,
    /// Open files of each process.
    ///
    /// 1024: what programs expect everywhere, and as many as `select` can handle.
    pub open_files: u64,
    /// Watches of files (`inotify_init`) of an interpreter, and of a session's commands together. Each may hold 16,384 events
    /// (`fs.inotify.max_queued_events`) that nobody reads, up to 8 MiB of the kernel's memory, which without control groups counts
    /// for nobody. Only where a sandbox has a user namespace; elsewhere there is the kernel's own limit for a user.
    ///
    /// 16: a development server, a type checker and some followed files (`tail -f`) at once, and 128 MiB at worst.
    pub inotify_instances: u64,
    /// Bytes in one file, or in one piece of shared memory.
    ///
    /// 1 GiB: a data set that fits into `memory`; a program that writes for ever stops here.
    pub file_size: u64,
    /// Bytes in `/tmp`, `/var/tmp` and `/dev/shm` together. They are kept in memory. Ignored at the levels without
    /// namespaces. With a directory of the session's for temporary files it is `/dev/shm` only.
    ///
    /// 256 MiB: room for a downloaded package or a rendered video, and with `memory` together a laptop's worth.
    pub tmp_size: u64,
    /// Files in `/tmp`, `/var/tmp` and `/dev/shm` together. Each costs about 1 KiB of the kernel's memory.
    ///
    /// 65,536: unpacked packages and a `node_modules` or two.
    pub tmp_files: u64,
    /// Bytes of memory of all processes of a session's sandboxes together, whatever kind it is: of what has no file,
    /// and shared memory. Looked at five times a second; the largest sandbox is killed. Control groups keep it exactly,
    /// and count what the kernel has for the session, too; files that are only cached make room.
    ///
    /// 2 GiB: two programs at the limit of `memory`; the four interpreters of a session at rest take 0.3 GiB.
    pub total_memory: u64,
    /// Bytes that a session has in its working directory and its directory for temporary files together. Looked at
    /// while its programs are busy, and after the last has ended. They are killed when it is more, and still grows. What starts
    /// while it is more can only remove files ([`Command::even_when_full`](crate::Command::even_when_full)), or is refused.
    ///
    /// 2 GiB: a few data sets and an environment of Python's; a laptop's disk holds a hundred of them half full.
    pub disk: u64,
    /// Files and directories there, likewise.
    ///
    /// 200,000: four large `node_modules`, and little enough to be counted, and removed, in seconds.
    pub files: u64,
    /// Open files and memory mappings of a session's processes together. Files without a name are looked for among them
    /// while the session's programs are busy; they are killed when there are more, since nobody could say then what they
    /// have on disk.
    ///
    /// 2,000,000: a thousand processes with a thousand files and a thousand mappings each (Java has 600), and looked through
    /// in about a second.
    pub mappings: u64,
    /// Open files of a session's processes together. Counted at each look, five times a second while its programs are busy;
    /// the sandboxes that have the most are killed when there are more. No more than a quarter of what the machine has for all
    /// (`fs.file-max`), whatever is set.
    ///
    /// 65,536: a hundred programs with some hundreds each. A machine with 8 GB of memory has 800,000 for everybody, and
    /// programs of a session that may have `open_files` each would take them in two seconds.
    pub total_open_files: u64,
    /// Sockets in a session's own network, of any kind: open, waiting to be accepted, or closed with something still to send. A
    /// program can have those without an open file, and the kernel has a number of them for everybody. Counted at each look; all
    /// programs of the session are killed when there are more. No more than an eighth of what the machine has for all, whatever
    /// is set: of TCP `net.ipv4.tcp_max_orphans`, of all kinds together twice `fs.file-max`.
    ///
    /// 16,384: a load test of a session's own server has some thousands; a connection inside of it has two.
    pub total_connections: u64,
    /// What a session's programs watch by `epoll`: descriptors, in each `epoll` that watches them. The kernel has a number of
    /// them for each user, which may be the server's own, and 200 bytes for each. Counted while the session's programs are
    /// busy; the sandboxes that have the most are killed when there are more. No more than an eighth of a user's
    /// (`fs.epoll.max_user_watches`), whatever is set, and no more than a 64th while the server's user has none left.
    ///
    /// 100,000: six times the sockets that a session may have, and 20 MB. A machine with 4 GB of memory has 900,000.
    pub total_watches: u64,
    /// The kernel's own sessions (`setsid`) that a session's programs make, beyond the one that each program is started in. Where
    /// `kernel.sched_autogroup_enabled` is 1 and no control group has the processors, each has a share of busy processors of
    /// its own, as large as all of a program that makes none. So those that have lately had time of the processors are counted at
    /// each look there, and only there, and the sandboxes that have the most are killed when there are more.
    ///
    /// 64: a terminal with many windows, a browser, or a test run that starts each of its servers by it has some dozens. With 60
    /// that are busy, a small cell of another session takes 0.16 s on two processors, at most 0.8 s.
    pub total_setsids: u64,
    /// Locks of parts of files (`fcntl`) that a session's processes hold together. The kernel takes 192 bytes for each, and
    /// counts them for nobody. Counted while the session's programs are busy; they are killed when there are more.
    ///
    /// 100,000: 19 MiB, which a process makes in about ten seconds. A database of SQLite's takes about five for each of its
    /// connections.
    pub locks: u64,
    /// Processes and threads of a session's sandboxes together. Control groups keep it exactly. Without them they are counted
    /// at each look, and the sandboxes that have the most are killed when there are more.
    ///
    /// 1024: four interpreters that have all of their `processes`.
    pub total_processes: u64,
    /// Processor time of a session in thousandths of a processor: 1500 is one and a half. 0: no limit. Needs control
    /// groups. Programs that have used up their part of a tenth of a second wait for the next.
    ///
    /// 0: with control groups sessions share busy processors evenly, whatever they run, and nobody waits for a
    /// processor that is idle.
    pub cpus: u32,
    /// How far the program's scheduling priority is below the server's, 0 to 19.
    ///
    /// 5: under full load the server gets three times a program's share and stays responsive; on an idle machine it
    /// costs nothing.
    pub nice: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            processes: 256,
            open_files: 1024,
            inotify_instances: 16,
            file_size: 1 << 30,
            tmp_size: 256 << 20,
            tmp_files: 65_536,
            total_memory: 2 << 30,
            disk: 2 << 30,
            files: 200_000,
            mappings: 2_000_000,
            total_open_files: 65_536,
            total_connections: 16_384,
            total_watches: 100_000,
            total_setsids: 64,
            locks: 100_000,
            total_processes: 1024,
            cpus: 0,
            nice: 5,
        }
    }
}
