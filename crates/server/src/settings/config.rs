//! What a server is told before it starts. Every default has its reason beside it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use agb_egress::Outside;
use agb_protocol::Language;
use agb_protocol::Secret;

use super::{
    ApiKey, ClusterSettings, ContextSettings, Isolation, Limits, LinkSettings, Network, TlsFiles, UpstreamSettings,
    Warm,
};
use crate::images::Images;

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
    /// Links to ports of sessions.
    pub links: LinkSettings,
    /// Part 1 of the wire and nothing else, as AGB's own service speaks it: to test clients and gateways with.
    pub plain_wire: bool,
    /// The servers that this one acts as one with.
    pub cluster: ClusterSettings,
    /// Where sessions are, if not on this machine.
    pub upstream: UpstreamSettings,
    /// The folder for what is compiled once and used by every session: what runs inside Java and Python. Only the
    /// server's user may write there.
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
    /// Whether each run is a whole program, which ends as its language's own tool ends it: threads that the tool waits for
    /// are waited for, and what is to be called at the end is called. Off: a session's runs are parts of one program.
    pub ends_programs: bool,
    /// The file name of such a program, as the program sees it.
    pub program_name: Option<String>,
    /// What such a program finds behind its name, as of a command line.
    pub arguments: Vec<String>,
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
            links: LinkSettings::default(),
            plain_wire: false,
            cluster: ClusterSettings::default(),
            upstream: UpstreamSettings::default(),
            cache_dir: agb_kernel::default_cache(),
            isolation: Isolation::Auto,
            network: Network::None,
            outside: Outside::internet(),
            sandbox: agb_sandbox::Limits::default(),
            zygotes: true,
            ends_programs: false,
            program_name: None,
            arguments: Vec::new(),
            launcher: "/proc/self/exe".into(),
            warm: Warm::default(),
            limits: Limits::default(),
        }
    }

    /// Loopback, any free port: a server that runs strangers' code is not put on a network by accident.
    pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
}
