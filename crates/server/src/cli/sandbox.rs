//! What programs may use up, as options.

use clap::Args;

/// What programs may use up; each default's reason is in the documentation of `agb_sandbox::Limits`.
#[derive(Args)]
#[command(next_help_heading = "Limits of programs")]
pub(super) struct SandboxArgs {
    /// Maximum memory of all programs of a session together; above it, the largest program is killed.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().total_memory, value_name = "BYTES")]
    session_memory: u64,
    /// Maximum private memory of a process; allocations above it fail.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().memory, value_name = "BYTES")]
    process_memory: u64,
    /// Maximum number of processes and threads of an interpreter, and of a session's commands together.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().processes, value_name = "N")]
    processes: u64,
    /// Maximum number of open files of a process.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().open_files, value_name = "N")]
    open_files: u64,
    /// Maximum number of watches of files (inotify instances) of an interpreter, and of a session's commands together; programs get
    /// an error at it. Only at the level `namespaces`.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().inotify_instances, value_name = "N")]
    inotify_instances: u64,
    /// Maximum size of a file.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().file_size, value_name = "BYTES")]
    file_size: u64,
    /// Maximum disk space of a session, temporary files included. Programs that go on writing above it are killed, and those
    /// that start above it can only remove files.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().disk, value_name = "BYTES")]
    disk: u64,
    /// Maximum number of files and directories of a session, likewise.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().files, value_name = "N")]
    files: u64,
    /// Open files and memory mappings of all processes of a session together; programs that have more are killed.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().mappings, value_name = "N")]
    session_mappings: u64,
    /// Maximum number of open files of all processes of a session together, and never more than a quarter of the machine's
    /// (`fs.file-max`); programs that have more are killed.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().total_open_files, value_name = "N")]
    session_open_files: u64,
    /// Maximum number of sockets in a session's own network, those that wait to be accepted and closed ones that still send
    /// included; programs of a session that has more are killed. Never more than an eighth of what the machine has: of TCP
    /// `net.ipv4.tcp_max_orphans`, of all kinds twice `fs.file-max`.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().total_connections, value_name = "N")]
    session_connections: u64,
    /// Maximum number of descriptors that all processes of a session watch by `epoll`, and never more than an eighth of a user's
    /// (`fs.epoll.max_user_watches`); programs that watch more are killed.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().total_watches, value_name = "N")]
    session_watches: u64,
    /// Maximum number of busy sessions of the kernel's own that programs of a session make by `setsid`; programs that have more
    /// are killed. Counted where each has a share of the processors (`kernel.sched_autogroup_enabled` is 1, and no control
    /// groups for processors).
    #[arg(long, default_value_t = agb_sandbox::Limits::default().total_setsids, value_name = "N")]
    session_setsids: u64,
    /// Locks of parts of files that all processes of a session hold together; programs that have more are killed.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().locks, value_name = "N")]
    session_locks: u64,
    /// Maximum shared memory (`/dev/shm`) of an interpreter or a command.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().tmp_size, value_name = "BYTES")]
    shared_memory: u64,
    /// Maximum number of processes and threads of all programs of a session together. With control groups (see
    /// `agb-server doctor`) programs get errors at it; without them, those that have the most are killed above it.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().total_processes, value_name = "N")]
    session_processes: u64,
    /// Maximum number of processors that a session uses, such as 1.5; 0 means all. Requires control groups, with which
    /// sessions share busy processors evenly in any case.
    #[arg(long, default_value_t = f64::from(agb_sandbox::Limits::default().cpus) / 1000.0, value_name = "CPUS")]
    session_cpus: f64,
    /// Nice value of programs, relative to the server's.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().nice, value_name = "N",
        value_parser = clap::value_parser!(u8).range(0..=19))]
    nice: u8,
}

impl SandboxArgs {
    pub(super) fn limits(&self) -> Result<agb_sandbox::Limits, String> {
        const MOST: f64 = 100_000.0;
        let cpus = self.session_cpus;
        if !(cpus == 0.0 || (0.01..=MOST).contains(&cpus)) {
            return Err(format!("--session-cpus {cpus}: give 0 for no limit, or a number from 0.01 to {MOST}"));
        }
        let cpus = (cpus * 1000.0).round() as u32;
        Ok(agb_sandbox::Limits {
            total_memory: self.session_memory,
            memory: self.process_memory,
            processes: self.processes,
            open_files: self.open_files,
            inotify_instances: self.inotify_instances,
            file_size: self.file_size,
            disk: self.disk,
            files: self.files,
            mappings: self.session_mappings,
            total_open_files: self.session_open_files,
            total_connections: self.session_connections,
            total_watches: self.session_watches,
            total_setsids: self.session_setsids,
            locks: self.session_locks,
            tmp_size: self.shared_memory,
            total_processes: self.session_processes,
            cpus,
            nice: self.nice,
            ..agb_sandbox::Limits::default()
        })
    }
}
