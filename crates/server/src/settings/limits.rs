//! What is too much, too long, too often: one definition of each limit, with its default, its reason, its flag and its
//! documentation.

use std::time::Duration;

use agb_protocol::ACK_WITHIN;
use clap::{Args, FromArgMatches};
use thiserror::Error;

use super::duration::{seconds, seconds_or_none};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What is too much, too long, too often.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Sessions at once.
    ///
    /// Sessions at once. 100 idle Python kernels fit into a laptop's memory; more is a leak more often than a wish.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub max_sessions: usize,
    /// Release a session that was idle for so long, unless it was created with another time.
    ///
    /// A session that nothing has used for so long is released. 300 s is what AGB does.
    #[arg(long, default_value = "300", value_parser = seconds, value_name = "SECONDS")]
    pub idle_timeout: Duration,
    /// The longest idle time that a session may ask for.
    ///
    /// The longest `timeout` that a session may be created with: a day, so that a forgotten one ends eventually.
    #[arg(long, default_value = "86400", value_parser = seconds, value_name = "SECONDS")]
    pub max_idle_timeout: Duration,
    /// Time for a run that does not say.
    ///
    /// Time a run has when it does not say: the documented 60 s.
    #[arg(long = "run-timeout", default_value = "60", value_parser = seconds, value_name = "SECONDS")]
    pub default_run_timeout: Duration,
    /// The longest time that a run may ask for.
    ///
    /// The longest time a run may ask for: a day, for the same reason as above.
    #[arg(long, default_value = "86400", value_parser = seconds, value_name = "SECONDS")]
    pub max_run_timeout: Duration,
    /// Body of an HTTP call.
    ///
    /// Body of an HTTP call. A 10 MiB file is 14 MiB as base64 in one `write_file`; 16 MiB lets that through.
    #[arg(long, default_value_t = 16 * MIB, value_name = "BYTES")]
    pub max_body: usize,
    /// Message of a WebSocket client.
    ///
    /// Message of a WebSocket client. The same as a body: the same program must fit through either door.
    #[arg(long, default_value_t = 16 * MIB, value_name = "BYTES")]
    pub max_message: usize,
    /// Header lines of a request; more are refused (HTTP 431).
    ///
    /// Header lines of a request. Browsers and proxies together send 30; 100 is what most servers take.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub max_headers: usize,
    /// Head of a request; a larger one is refused (HTTP 431).
    ///
    /// Head of a request, bytes, 8192 at least. `createSession` has labels and statistics in its address; 64 KiB is
    /// eight times what proxies let through.
    #[arg(long, default_value_t = 64 * KIB, value_name = "BYTES")]
    pub max_head: usize,
    /// Time for a TLS handshake, for the head of a request, and for its body.
    ///
    /// Time for a TLS handshake, the head of a request, and then for its body. Nobody honest needs 30 s on a line that
    /// is any use.
    #[arg(long, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub read_timeout: Duration,
    /// TCP connections at once; more wait.
    ///
    /// TCP connections at once. Far above what the sessions need, far below the usual 1024 descriptors.
    #[arg(long, default_value_t = 800, value_name = "N")]
    pub max_connections: usize,
    /// TCP connections at once from one address; more are closed. Those from this machine are not counted.
    ///
    /// TCP connections at once from one address, so that no one client has all the seats. This machine's own are not
    /// counted: all clients of a reverse proxy on it come from there.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_connections_per_address: usize,
    /// Calls a second of one API key, and of each session's tokens; more are refused (HTTP 429, Retry-After).
    ///
    /// Calls a second of one API key, and of each session's tokens, in the long run: its own, its accesses that run
    /// programs, and those that watch, each kind apart. Two cores answer a few thousand.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub calls_per_second: u32,
    /// Calls at once before that counts.
    ///
    /// Calls at once before that counts: a test suite that starts everything at once is no attack.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    pub calls_burst: u32,
    /// Runs and calls at once in one session.
    ///
    /// Runs and calls at once in one session. Each waits or runs in one of four kernels; more than 256 are a program's
    /// mistake.
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub max_runs: usize,
    /// Programs and arguments of what goes on in one session, in all.
    ///
    /// Programs and arguments of what goes on in one session, in all. A hundred large notebooks' worth.
    #[arg(long, default_value_t = 64 * MIB, value_name = "BYTES")]
    pub max_held: usize,
    /// Requests under way, unfinished messages and answers that are not taken, of all sessions together.
    ///
    /// 1 GiB: eight sessions' worth. On a machine with less give a quarter of what it has.
    #[arg(long, default_value_t = 1024 * MIB, value_name = "BYTES")]
    pub buffers: usize,
    /// The same, of one session.
    ///
    /// 128 MiB: a few of the largest answers, such as a file of 16 MiB whose every byte JSON writes as six.
    #[arg(long, default_value_t = 128 * MIB, value_name = "BYTES")]
    pub session_buffers: usize,
    /// WebSockets and event streams of one session at once: with its own token, and as many with accesses that run
    /// programs, and with those that watch.
    ///
    /// 200, as of one address: behind a reverse proxy that limit does not see who comes. Each kind apart: who watches
    /// cannot keep out those that may do more.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_connections_per_session: usize,
    /// Accesses that one session gives out at once (`browserAccess`).
    ///
    /// 200: a class and its teachers. Each lasts for a while, and costs a hundred bytes.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_accesses: usize,
    /// File tools of one session that work at the same time; more wait.
    ///
    /// 4, as many as kernels: all sessions share 512 threads for files.
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub max_file_tools: usize,
    /// Watches of files in one session at the same time.
    ///
    /// 32: what an editor with several windows needs. The kernel gives a user 128 by default (`fs.inotify.max_user_instances`).
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub max_watches: usize,
    /// Folders that one watch of files follows.
    ///
    /// 8192: what the kernel gives a user by default at least (`fs.inotify.max_user_watches`); a project with its
    /// dependencies has some thousand. Files cost nothing.
    #[arg(long, default_value_t = 8192, value_name = "N")]
    pub max_watched_folders: usize,
    /// Objects that a Java program may hold.
    ///
    /// Objects that a Java program may hold, in bytes. A few million of them; Java itself takes 60 MiB more.
    #[arg(long, default_value_t = 256 * MIB, value_name = "BYTES")]
    pub java_heap: usize,
    /// Output of a run that is kept while its subscriber is behind.
    ///
    /// Output of one run that is kept while its subscriber is behind. Four reads of a pipe: enough to keep the socket
    /// busy, little enough for a thousand runs.
    #[arg(long, default_value_t = 256 * KIB, value_name = "BYTES")]
    pub run_buffer: usize,
    /// Output of a program that is taken in a second, in the long run; one that prints faster waits. 0: no limit.
    ///
    /// Output of one program that is taken in a second, bytes, in the long run; 0: as fast as it comes. As an
    /// interpreter has it by default ([`agb_kernel::KernelLimits`]): a program above it waits, and loses nothing.
    #[arg(long, default_value_t = agb_kernel::KernelLimits::default().output_rate, value_name = "BYTES")]
    pub output_rate: u64,
    /// How long a run that was started with `resume` can still be resumed once it has ended.
    ///
    /// How long a run that was started with `resume` stays for a client that comes back, once it has ended. 60 s: a
    /// client gives up looking for the server after 30 s, and a page needs some seconds to be loaded again.
    #[arg(long, default_value = "60", value_parser = seconds, value_name = "SECONDS")]
    pub resume_retention: Duration,
    /// How long such a run goes on while no client looks.
    ///
    /// How long such a run goes on while nobody looks. 300 s, as long as an idle session lives: whoever has not come
    /// back by then has given the session up, too.
    #[arg(long, default_value = "300", value_parser = seconds, value_name = "SECONDS")]
    pub unwatched_time: Duration,
    /// Output of such a run that is kept in memory until its client has acknowledged it.
    ///
    /// Output of such a run that is kept in memory until its client has acknowledged it. 2 MiB: twice our client's
    /// window, so that the file is for runs that nobody looks at.
    #[arg(long, default_value_t = 2 * MIB, value_name = "BYTES")]
    pub replay_memory: usize,
    /// And beyond that in a file; then the program waits. Both together: 1.5 MiB at least.
    ///
    /// And beyond that in a file in the session's folder. 64 MiB: five minutes of 200 KiB a second. What does not fit
    /// either makes the program wait.
    #[arg(long, default_value_t = 64 * MIB as u64, value_name = "BYTES")]
    pub replay_spool: u64,
    /// The files of all runs of one session together; then their programs wait.
    ///
    /// The files of all runs of one session together, those that have ended and can be resumed included. 1 GiB: 16 runs
    /// that nobody reads, and half of what a session's programs may have on disk (`--disk`).
    #[arg(long, default_value_t = 1024 * MIB as u64, value_name = "BYTES")]
    pub session_spool: u64,
    /// How many may watch one run beside its owner, and how many runs one of their connections may watch.
    ///
    /// How many may watch one run beside its owner, and how many runs one of their connections may watch. 32: a class
    /// looks on, and an event is handed to all of them before the next one is taken. What a run keeps for them, however
    /// many they are, is as much again as `replay_memory`.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub max_watchers: usize,
    /// The largest flow-control window that a client gets; 256 KiB at least.
    ///
    /// The largest `window` a client gets. 16 MiB is a tenth of a second of the fastest program on the fastest link.
    #[arg(long, default_value_t = 16 * MIB as u64, value_name = "BYTES")]
    pub max_window: u64,
    /// Frame to a client that asked for no extension.
    ///
    /// Frame to a client that asked for no extension. The published Python client closes the connection above 1 MiB.
    #[arg(long, default_value_t = MIB - 1, value_name = "BYTES")]
    pub max_frame: usize,
    /// Frame to a client that asked for extensions.
    ///
    /// Frame to a client that asked for extensions, so one of ours. A page of figures fits, a runaway result does not.
    #[arg(long, default_value_t = 16 * MIB, value_name = "BYTES")]
    pub max_extended_frame: usize,
    /// Logs in the answer of a tool; more is left out, and the answer says so.
    ///
    /// Logs that an answer of `run_code` or `shell` carries. It is held in memory whole, several times.
    #[arg(long, default_value_t = 16 * MIB, value_name = "BYTES")]
    pub max_tool_output: usize,
    /// WebSocket pings.
    ///
    /// The server's own WebSocket pings. 20 s is what both published clients do; proxies cut at 60 s and above.
    #[arg(long, default_value = "20", value_parser = seconds, value_name = "SECONDS")]
    pub heartbeat: Duration,
    /// A WebSocket client that is silent for so long, pings included, is gone.
    ///
    /// A WebSocket client from which nothing came for so long, not even an answer to a ping, is gone. A callback may
    /// well keep a single-threaded client busy for a minute.
    #[arg(long, default_value = "120", value_parser = seconds, value_name = "SECONDS")]
    pub silence_timeout: Duration,
    /// A client that takes nothing for so long, or too little (--write-rate), is gone.
    ///
    /// A client that is waited for so long, in all, until it has taken enough is gone. As above.
    #[arg(long, default_value = "120", value_parser = seconds, value_name = "SECONDS")]
    pub write_timeout: Duration,
    /// What a client takes of what waits for it, bytes a minute; who takes less within --write-timeout is gone.
    ///
    /// What a client takes at least, bytes a minute of the time that is waited for it. 60,000 is a fifth of what the
    /// slowest mobile line carries: who takes less only holds what is kept for it.
    #[arg(long, default_value_t = 60_000, value_name = "BYTES")]
    pub write_rate: u64,
    /// How long a session's own token opens it; with the API key a new one is had from half of this on.
    ///
    /// How long a session's own token opens it. Those who have the API key get a new one from the second half of this
    /// on. A day, as for sessions; a client that is in use for longer fetches its session anew.
    #[arg(long, default_value = "86400", value_parser = seconds, value_name = "SECONDS")]
    pub token_time: Duration,
    /// How long an access lasts that a page is given, unless it is asked for with another time.
    ///
    /// How long an access lasts that a page is given (`browserAccess`). 15 min: longer than a page takes to load, short
    /// enough for a token that was seen by somebody.
    #[arg(long, default_value = "900", value_parser = seconds, value_name = "SECONDS")]
    pub access_time: Duration,
    /// The longest time that an access may be asked for.
    ///
    /// The longest time that an access may be asked for: a day, as for sessions.
    #[arg(long, default_value = "86400", value_parser = seconds, value_name = "SECONDS")]
    pub max_access_time: Duration,
    /// How long runs may go on after SIGINT or SIGTERM; a second signal ends them at once.
    ///
    /// How long runs may go on once the server was told to stop. 5 s: container runtimes kill after 10 s, and its own
    /// end takes some of them. A second signal ends it at once, and so does the end of `--exit-with-stdin`.
    #[arg(long, default_value = "5", value_parser = seconds_or_none, value_name = "SECONDS")]
    pub drain: Duration,
    /// How long the server's own end may take.
    ///
    /// How long the server's end waits for its sessions to end. Kernels are killed after a second or two anyway.
    #[arg(long, default_value = "5", value_parser = seconds, value_name = "SECONDS")]
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    /// Those of a command line that names none.
    fn default() -> Self {
        let matches = Self::augment_args(clap::Command::new("limits")).get_matches_from([""; 0]);
        Self::from_arg_matches(&matches).expect("each limit has a default that its own parser takes")
    }
}

/// Limits that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidLimits {
    /// A client would wait for the server while the server waits for its acknowledgement.
    #[error(
        "--max-window {given}: clients acknowledge what they have taken each {ACK_WITHIN} bytes: give that at least"
    )]
    Window {
        /// As it was given.
        given: u64,
    },
    /// Likewise.
    #[error(
        "--replay-memory {memory} and --replay-spool {spool}: clients acknowledge what they have taken each {ACK_WITHIN} \
         bytes, which are up to {} as they are kept: give that at least, together",
        Limits::LEAST_REPLAY
    )]
    Replay {
        /// As it was given.
        memory: usize,
        /// As it was given.
        spool: u64,
    },
}

impl Limits {
    /// What a client may leave unacknowledged, as it is kept: JSON has six bytes for one at worst.
    const LEAST_REPLAY: u64 = 6 * ACK_WITHIN as u64;

    /// Whether the limits go together.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn check(&self) -> Result<(), InvalidLimits> {
        if self.max_window < ACK_WITHIN as u64 {
            return Err(InvalidLimits::Window { given: self.max_window });
        }
        if (self.replay_memory as u64).saturating_add(self.replay_spool) < Self::LEAST_REPLAY {
            return Err(InvalidLimits::Replay { memory: self.replay_memory, spool: self.replay_spool });
        }
        Ok(())
    }
}
