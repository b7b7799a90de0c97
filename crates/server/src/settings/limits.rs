//! What is too much, too long, too often: one definition of each limit, with its default, its reason, its flag and its
//! documentation.

use std::time::Duration;

use agb_protocol::ACK_WITHIN;
use clap::{Args, FromArgMatches};
use thiserror::Error;

use crate::duration::{seconds, seconds_or_none};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What is too much, too long, too often.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Maximum number of sessions at once.
    ///
    /// 100 idle Python kernels fit into a laptop's memory; more usually means a leak.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub max_sessions: usize,
    /// Idle timeout of a session that was created without one.
    ///
    /// A session that nothing uses for this long is released. 300 s is AGB's own value.
    #[arg(long, default_value = "300", value_parser = seconds, value_name = "SECONDS")]
    pub idle_timeout: Duration,
    /// The longest idle timeout that a session may be created with.
    ///
    /// One day, so that a forgotten session ends eventually.
    #[arg(long, default_value = "86400", value_parser = seconds, value_name = "SECONDS")]
    pub max_idle_timeout: Duration,
    /// Timeout of a run that was started without one.
    ///
    /// 60 s is AGB's documented value.
    #[arg(long = "run-timeout", default_value = "60", value_parser = seconds, value_name = "SECONDS")]
    pub default_run_timeout: Duration,
    /// The longest timeout that a run may be started with.
    ///
    /// One day, so that a forgotten program ends eventually.
    #[arg(long, default_value = "86400", value_parser = seconds, value_name = "SECONDS")]
    pub max_run_timeout: Duration,
    /// Maximum size of an HTTP request's body.
    ///
    /// 16 MiB: a file of 10 MiB is 14 MiB as base64 in one `write_file` call.
    #[arg(long, default_value_t = 16 * MIB, value_name = "BYTES")]
    pub max_body: usize,
    /// Maximum size of a WebSocket message from a client.
    ///
    /// 16 MiB, as for a body: the same program fits through either transport.
    #[arg(long, default_value_t = 16 * MIB, value_name = "BYTES")]
    pub max_message: usize,
    /// Maximum number of header lines in a request; more are refused with HTTP 431.
    ///
    /// 100, as in most servers: browsers and proxies together send about 30.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub max_headers: usize,
    /// Maximum size of a request's head; a larger one is refused with HTTP 431.
    ///
    /// 64 KiB, eight times what proxies let through: `createSession` carries labels and statistics in its address. At
    /// least 8 KiB.
    #[arg(long, default_value_t = 64 * KIB, value_name = "BYTES")]
    pub max_head: usize,
    /// Time limit for a TLS handshake, for a request's head, and for its body.
    ///
    /// 30 s each: a client on any usable line needs less.
    #[arg(long, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub read_timeout: Duration,
    /// Maximum number of TCP connections at once; more wait.
    ///
    /// 800: far more than the sessions need, and fewer than the usual limit of 1024 descriptors.
    #[arg(long, default_value_t = 800, value_name = "N")]
    pub max_connections: usize,
    /// Maximum number of TCP connections at once from one address; more are closed.
    ///
    /// 200, so that no client takes all of them. Connections from this machine are not counted: a reverse proxy on it
    /// makes those of all its clients.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_connections_per_address: usize,
    /// Rate limit: calls a second with one API key, and with the tokens of one session.
    ///
    /// 1000: two cores answer a few thousand. More are refused with HTTP 429 and `Retry-After`; those over a WebSocket (starts
    /// and resumes of runs) wait.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub calls_per_second: u32,
    /// Calls at once before the rate limit applies.
    ///
    /// 2000: a test suite that starts everything at once is not an attack.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    pub calls_burst: u32,
    /// Maximum number of runs and calls at once in one session.
    ///
    /// 256: each waits or runs in one of four kernels, so more are a program's mistake.
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub max_runs: usize,
    /// Maximum number of commands that run at once on the server, those in the background included.
    ///
    /// 1000: each takes ten descriptors. Where the server may open few files it takes fewer commands, so that they have half
    /// of those files at most.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub max_commands: usize,
    /// Maximum size of the programs and arguments of one session's runs and calls, in all.
    ///
    /// 64 MiB: about a hundred large notebooks.
    #[arg(long, default_value_t = 64 * MIB, value_name = "BYTES")]
    pub max_held: usize,
    /// Maximum memory for requests in progress, incomplete messages and unread answers, of all sessions together.
    ///
    /// 1 GiB: eight sessions' worth. On a machine with less memory, give a quarter of it.
    #[arg(long, default_value_t = 1024 * MIB, value_name = "BYTES")]
    pub buffers: usize,
    /// The same for one session.
    ///
    /// 128 MiB: a few of the largest answers, such as a file of 16 MiB whose every byte JSON writes as six.
    #[arg(long, default_value_t = 128 * MIB, value_name = "BYTES")]
    pub session_buffers: usize,
    /// Maximum number of WebSockets and event streams of one session at once.
    ///
    /// 200, as for one address: behind a reverse proxy that limit cannot tell clients apart.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_connections_per_session: usize,
    /// Maximum number of access tokens that one session gives out at once (`browserAccess`).
    ///
    /// 200: a class and its teachers. Each expires, and costs about a hundred bytes.
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_accesses: usize,
    /// Maximum number of file tools of one session that work at the same time; more wait.
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
    /// Maximum size of a Java program's heap.
    ///
    /// 256 MiB: a few million objects. The virtual machine itself takes about 60 MiB more.
    #[arg(long, default_value_t = 256 * MIB, value_name = "BYTES")]
    pub java_heap: usize,
    /// Output of a run that is buffered while its subscriber is behind.
    ///
    /// 256 KiB, four reads of a pipe: enough to keep the socket busy, and little enough for a thousand runs.
    #[arg(long, default_value_t = 256 * KIB, value_name = "BYTES")]
    pub run_buffer: usize,
    /// Rate limit for a program's output: bytes a second in the long run; 0 means none.
    ///
    /// 64 MiB, as a kernel has it by default ([`agb_kernel::KernelLimits`]). A program above it waits in its own
    /// `write`, and loses nothing.
    #[arg(long, default_value_t = agb_kernel::KernelLimits::default().output_rate, value_name = "BYTES")]
    pub output_rate: u64,
    /// How long a run that was started with `resume` can be resumed after its end.
    ///
    /// 60 s: a client stops reconnecting after 30 s, and a page needs some seconds to load again.
    #[arg(long, default_value = "60", value_parser = seconds, value_name = "SECONDS")]
    pub resume_retention: Duration,
    /// How long such a run goes on while no client is connected to it.
    ///
    /// 300 s, as long as an idle session lives: a client that has not come back by then has given up the session, too.
    #[arg(long, default_value = "300", value_parser = seconds, value_name = "SECONDS")]
    pub unwatched_time: Duration,
    /// Output of such a run that is kept in memory until its client acknowledges it.
    ///
    /// 2 MiB: twice our client's window, so that only runs without a client need the file.
    #[arg(long, default_value_t = 2 * MIB, value_name = "BYTES")]
    pub replay_memory: usize,
    /// Output beyond that, which is kept in a file of the session's folder; then the program waits.
    ///
    /// 64 MiB: five minutes of 200 KiB a second. Both together must be at least 1.5 MiB.
    #[arg(long, default_value_t = 64 * MIB as u64, value_name = "BYTES")]
    pub replay_spool: u64,
    /// The files of all runs of one session together; then their programs wait.
    ///
    /// The files of all runs of one session together, those that have ended and can be resumed included. 1 GiB: 16 runs
    /// that nobody reads, and half of what a session's programs may have on disk (`--disk`).
    #[arg(long, default_value_t = 1024 * MIB as u64, value_name = "BYTES")]
    pub session_spool: u64,
    /// Maximum number of observers of one run, and of runs that one of their connections may watch.
    ///
    /// 32: a class. An event is handed to all of them before the next one is taken. For all of its observers together a
    /// run keeps as much again as `--replay-memory`.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub max_watchers: usize,
    /// The largest flow-control window that a client gets; at least 256 KiB.
    ///
    /// 16 MiB: a tenth of a second of the fastest program on the fastest link.
    #[arg(long, default_value_t = 16 * MIB as u64, value_name = "BYTES")]
    pub max_window: u64,
    /// Maximum size of a frame to a client that asked for no extension.
    ///
    /// One byte less than 1 MiB: the published Python client closes the connection above 1 MiB.
    #[arg(long, default_value_t = MIB - 1, value_name = "BYTES")]
    pub max_frame: usize,
    /// Maximum size of a frame to a client that asked for extensions.
    ///
    /// 16 MiB: a page of figures fits, a runaway result does not.
    #[arg(long, default_value_t = 16 * MIB, value_name = "BYTES")]
    pub max_extended_frame: usize,
    /// Maximum size of the output in an answer of `run_code` or `shell`; the answer says what is left out.
    ///
    /// 16 MiB: an answer is held in memory whole, several times.
    #[arg(long, default_value_t = 16 * MIB, value_name = "BYTES")]
    pub max_tool_output: usize,
    /// Interval of the server's WebSocket pings.
    ///
    /// 20 s, as in both published clients; proxies cut idle connections after 60 s and more.
    #[arg(long, default_value = "20", value_parser = seconds, value_name = "SECONDS")]
    pub heartbeat: Duration,
    /// Time after which a WebSocket client that sends nothing, not even a pong, is disconnected.
    ///
    /// 120 s: a callback may keep a single-threaded client busy for a minute.
    #[arg(long, default_value = "120", value_parser = seconds, value_name = "SECONDS")]
    pub silence_timeout: Duration,
    /// Time after which a client that reads nothing, or too little (`--write-rate`), is disconnected.
    ///
    /// 120 s of waiting in all, for the same reason as `--silence-timeout`.
    #[arg(long, default_value = "120", value_parser = seconds, value_name = "SECONDS")]
    pub write_timeout: Duration,
    /// The least that a client must read of what waits for it: bytes a minute.
    ///
    /// 60,000: a fifth of what the slowest mobile line carries. A client that reads less within `--write-timeout` is
    /// disconnected.
    #[arg(long, default_value_t = 60_000, value_name = "BYTES")]
    pub write_rate: u64,
    /// How long a session's token is valid.
    ///
    /// One day, as for sessions. With the API key a new token can be had from the second half of this time on; a client
    /// that is in use for longer fetches its session again.
    #[arg(long, default_value = "86400", value_parser = seconds, value_name = "SECONDS")]
    pub token_time: Duration,
    /// How long an access token for a page is valid, unless it is asked for with another time (`browserAccess`).
    ///
    /// 15 min: longer than a page takes to load, and short enough for a token that somebody has seen.
    #[arg(long, default_value = "900", value_parser = seconds, value_name = "SECONDS")]
    pub access_time: Duration,
    /// The longest time that an access token may be asked for.
    ///
    /// One day, as for sessions.
    #[arg(long, default_value = "86400", value_parser = seconds, value_name = "SECONDS")]
    pub max_access_time: Duration,
    /// How long runs may go on after SIGINT or SIGTERM; a second signal ends them at once.
    ///
    /// 5 s: container runtimes kill after 10 s, and the shutdown takes some of them. The end of standard input with
    /// `--exit-with-stdin` ends them at once, too.
    #[arg(long, default_value = "5", value_parser = seconds_or_none, value_name = "SECONDS")]
    pub drain: Duration,
    /// How long the shutdown waits for sessions to end.
    ///
    /// 5 s: kernels are killed after one or two seconds anyway.
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
