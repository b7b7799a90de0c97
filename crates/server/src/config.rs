//! What a server is told before it starts. Every default has its reason beside it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use agb_egress::Outside;
use agb_protocol::Language;
use agb_protocol::Secret;

use crate::contexts::ContextSettings;
use crate::image::Images;
use crate::isolation::Isolation;
use crate::keys::ApiKey;
use crate::network::Network;
use crate::tls::TlsFiles;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Everything a server is told before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The keys that the HTTP calls may carry.
    pub api_keys: Vec<ApiKey>,
    /// A file with more of them, a line each: a name, white space, the key; `#` before comments. It is read again when
    /// it changes.
    pub api_keys_file: Option<PathBuf>,
    /// The certificate with which [`Server::serve`](crate::Server::serve) encrypts; without one it does not. It is
    /// read again when it changes.
    pub tls: Option<TlsFiles>,
    /// Where clients reach this server, when that is not what they say in `Host` (a reverse proxy that rewrites it).
    /// An `http` or `https` URL without a trailing slash.
    pub public_url: Option<String>,
    /// The origins whose web pages may use this server, such as `https://app.example.org`; `*` for all. None: those of
    /// this machine (`localhost`, `127.0.0.1`, `[::1]`, any port).
    pub allow_origins: Vec<String>,
    /// Interpreters to use, whatever an image says. A language that is not in here is the image's, or else is looked
    /// for in the usual places.
    pub interpreters: BTreeMap<Language, PathBuf>,
    /// The images that sessions can be created from.
    pub images: Images,
    /// The folder below which the sessions' folders are made. The server makes a private one of its own in it, and
    /// removes it at its end.
    pub data_dir: PathBuf,
    /// Contexts: files that outlive sessions.
    pub contexts: ContextSettings,
    /// The folder for what is compiled once and used by every session: what runs inside Java. Only the server's user may
    /// write there.
    pub cache_dir: PathBuf,
    /// How programs are isolated.
    pub isolation: Isolation,
    /// What programs reach over the network.
    pub network: Network,
    /// What lies behind [`Network::Allow`]: the internet, or for tests something else.
    pub outside: Outside,
    /// What each program may use up.
    pub sandbox: agb_sandbox::Limits,
    /// Whether Python is started once for each image, with its libraries imported, and copied for each session, where
    /// programs have namespaces and no network of the host's. On: a session starts twenty times faster, and shares that
    /// memory; it costs as much as one session that has imported pandas.
    pub zygotes: bool,
    /// The executable that makes sandboxes; its `main` must begin with [`agb_sandbox::main_if_helper`].
    pub launcher: PathBuf,
    /// What is kept ready before anybody needs it.
    pub warm: Warm,
    /// What is too much, too long, too often.
    pub limits: Limits,
}

impl Config {
    /// The defaults, with this key under the name [`ApiKey::DEFAULT_NAME`].
    pub fn new(api_key: Secret) -> Self {
        Self {
            api_keys: vec![ApiKey { name: ApiKey::DEFAULT_NAME.to_owned(), secret: api_key }],
            api_keys_file: None,
            tls: None,
            public_url: None,
            allow_origins: Vec::new(),
            interpreters: BTreeMap::new(),
            images: Images::default(),
            data_dir: std::env::temp_dir(),
            contexts: ContextSettings::default(),
            cache_dir: agb_kernel::default_cache(),
            isolation: Isolation::Auto,
            network: Network::None,
            outside: Outside::internet(),
            sandbox: agb_sandbox::Limits::default(),
            zygotes: true,
            launcher: "/proc/self/exe".into(),
            warm: Warm::default(),
            limits: Limits::default(),
        }
    }

    /// Loopback, any free port: a server that runs strangers' code is not put on a network by accident.
    pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
}

/// Interpreters that are ready, each in a sandbox of its own, for sessions that come. Each default has its reason beside
/// it.
#[derive(Clone, Debug)]
pub struct Warm {
    /// How many of Python in the default image there are although nobody has used it. One: the first program of a
    /// laptop's day starts at once, for about 8 MiB.
    pub at_start: usize,
    /// How many there are at most of one kind; none at all at 0. 8: that many sessions may come at once; where more come
    /// in a second than can be made, a larger pool is as empty.
    pub most: usize,
    /// What all of them may take, bytes, as far as is known of each language; an eighth of what is free if that is less.
    /// 512 MiB: eight Pythons and a few of the larger ones.
    pub memory: u64,
    /// How long one is kept for a language since it was used last. 300 s, as long as an idle session lives.
    pub keep: Duration,
    /// Where the system says what memory is free.
    #[doc(hidden)]
    pub meminfo: PathBuf,
}

impl Default for Warm {
    fn default() -> Self {
        Self {
            at_start: 1,
            most: 8,
            memory: 512 * MIB as u64,
            keep: Duration::from_secs(300),
            meminfo: "/proc/meminfo".into(),
        }
    }
}

/// What is too much, too long, too often.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions at once. 100 idle Python kernels fit into a laptop's memory; more is a leak more often than a wish.
    pub max_sessions: usize,
    /// A session that nothing has used for so long is released. 300 s is what AGB does.
    pub idle_timeout: Duration,
    /// The longest `timeout` that a session may be created with: a day, so that a forgotten one ends eventually.
    pub max_idle_timeout: Duration,
    /// Time a run has when it does not say: the documented 60 s.
    pub default_run_timeout: Duration,
    /// The longest time a run may ask for: a day, for the same reason as above.
    pub max_run_timeout: Duration,
    /// Body of an HTTP call. A 10 MiB file is 14 MiB as base64 in one `write_file`; 16 MiB lets that through.
    pub max_body: usize,
    /// Message of a WebSocket client. The same as a body: the same program must fit through either door.
    pub max_message: usize,
    /// Header lines of a request. Browsers and proxies together send 30; 100 is what most servers take.
    pub max_headers: usize,
    /// Head of a request, bytes, 8192 at least. `createSession` has labels and statistics in its address; 64 KiB is
    /// eight times what proxies let through.
    pub max_head: usize,
    /// Time for a TLS handshake, the head of a request, and then for its body. Nobody honest needs 30 s on a line that
    /// is any use.
    pub read_timeout: Duration,
    /// TCP connections at once. Far above what the sessions need, far below the usual 1024 descriptors.
    pub max_connections: usize,
    /// TCP connections at once from one address, so that no one client has all the seats. This machine's own are not
    /// counted: all clients of a reverse proxy on it come from there.
    pub max_connections_per_address: usize,
    /// Calls a second of one API key, and of each session's tokens, in the long run. Two cores answer a few thousand.
    pub calls_per_second: u32,
    /// Calls at once before that counts: a test suite that starts everything at once is no attack.
    pub calls_burst: u32,
    /// Runs and calls at once in one session. Each waits or runs in one of four kernels; more than 256 are a program's mistake.
    pub max_runs: usize,
    /// Programs and arguments of what goes on in one session, in all. A hundred large notebooks' worth.
    pub max_held: usize,
    /// Objects that a Java program may hold, in bytes. A few million of them; Java itself takes 60 MiB more.
    pub java_heap: usize,
    /// Output of one run that is kept while its viewer is behind. Four reads of a pipe: enough to keep the socket
    /// busy, little enough for a thousand runs.
    pub run_buffer: usize,
    /// Output of one program that is taken in a second, bytes, in the long run; 0: as fast as it comes. As an interpreter
    /// has it by default ([`agb_kernel::KernelLimits`]): a program above it waits, and loses nothing.
    pub output_rate: u64,
    /// How long a run that was started with `resume` stays for a client that comes back, once it has ended. 60 s: a
    /// client gives up looking for the server after 30 s, and a page needs some seconds to be loaded again.
    pub resume_retention: Duration,
    /// How long such a run goes on while nobody looks. 300 s, as long as an idle session lives: whoever has not come
    /// back by then has given the session up, too.
    pub unwatched_time: Duration,
    /// Output of such a run that is kept in memory until its client has acknowledged it. 2 MiB: twice our client's
    /// window, so that the file is for runs that nobody looks at.
    pub replay_memory: usize,
    /// And beyond that in a file in the session's folder. 64 MiB: five minutes of 200 KiB a second. What does not fit
    /// either makes the program wait.
    pub replay_spool: u64,
    /// How many may watch one run beside its owner, and how many runs one of their connections may watch. 32: a class
    /// looks on, and an event is handed to all of them before the next one is taken. What a run keeps for them, however
    /// many they are, is as much again as `replay_memory`.
    pub max_watchers: usize,
    /// The largest `window` a client gets. 16 MiB is a tenth of a second of the fastest program on the fastest link.
    pub max_window: u64,
    /// Frame to a client that asked for no extension. The published Python client closes the connection above 1 MiB.
    pub max_frame: usize,
    /// Frame to a client that asked for extensions, so one of ours. A page of figures fits, a runaway result does not.
    pub max_extended_frame: usize,
    /// Logs that an answer of `run_code` or `shell` carries. It is held in memory whole, several times.
    pub max_tool_output: usize,
    /// The server's own WebSocket pings. 20 s is what both published clients do; proxies cut at 60 s and above.
    pub heartbeat: Duration,
    /// A WebSocket client from which nothing came for so long, not even an answer to a ping, is gone. A callback may
    /// well keep a single-threaded client busy for a minute.
    pub silence_timeout: Duration,
    /// A client that takes no byte for so long is gone. As above.
    pub write_timeout: Duration,
    /// How long a session's own token opens it. Those who have the API key get a new one from the second half of this
    /// on. A day, as for sessions; a client that is in use for longer fetches its session anew.
    pub token_time: Duration,
    /// How long an access lasts that a page is given (`browserAccess`). 15 min: longer than a page takes to load, short
    /// enough for a token that was seen by somebody.
    pub access_time: Duration,
    /// The longest time that an access may be asked for: a day, as for sessions.
    pub max_access_time: Duration,
    /// How long runs may go on once the server was told to stop. 5 s: container runtimes kill after 10 s, and its own
    /// end takes some of them. A second signal ends it at once, and so does the end of `--exit-with-stdin`.
    pub drain: Duration,
    /// How long the server's end waits for its sessions to end. Kernels are killed after a second or two anyway.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_sessions: 100,
            idle_timeout: Duration::from_secs(300),
            max_idle_timeout: Duration::from_secs(24 * 3600),
            default_run_timeout: Duration::from_secs(60),
            max_run_timeout: Duration::from_secs(24 * 3600),
            max_body: 16 * MIB,
            max_message: 16 * MIB,
            max_headers: 100,
            max_head: 64 * KIB,
            read_timeout: Duration::from_secs(30),
            max_connections: 800,
            max_connections_per_address: 200,
            calls_per_second: 1000,
            calls_burst: 2000,
            max_runs: 256,
            max_held: 64 * MIB,
            java_heap: 256 * MIB,
            run_buffer: 256 * KIB,
            output_rate: agb_kernel::KernelLimits::default().output_rate,
            resume_retention: Duration::from_secs(60),
            unwatched_time: Duration::from_secs(300),
            replay_memory: 2 * MIB,
            replay_spool: 64 * MIB as u64,
            max_watchers: 32,
            max_window: 16 * MIB as u64,
            max_frame: MIB - 1,
            max_extended_frame: 16 * MIB,
            max_tool_output: 16 * MIB,
            heartbeat: Duration::from_secs(20),
            silence_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(120),
            token_time: Duration::from_secs(24 * 3600),
            access_time: Duration::from_secs(15 * 60),
            max_access_time: Duration::from_secs(24 * 3600),
            drain: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}
