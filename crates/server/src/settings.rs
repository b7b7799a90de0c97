//! What a server is told before it starts. Each default has its reason beside it.

mod config;
mod contexts;
mod isolation;
mod limits;
mod links;
mod network;
mod warm;

pub use self::config::Config;
pub use self::contexts::ContextSettings;
pub use self::isolation::Isolation;
pub use self::limits::{InvalidLimits, Limits};
pub use self::links::LinkSettings;
pub use self::network::{Network, UnknownNetwork};
pub use self::warm::Warm;
pub use crate::cluster::{ClusterSettings, Placement, RegistryUrl};
pub use crate::duration::seconds;

use std::path::PathBuf;

use agb_protocol::Secret;
use clap::Args;

/// The extensions to AGB's wire that this server knows, by their names in the protocol.
pub const EXTENSIONS: &[&str] = &[
    "resume",
    "flow",
    "cancel",
    "stdin",
    "stdinSeq",
    "http",
    "heartbeat",
    "browserAccess",
    "files",
    "command",
    "fileWatch",
    "sessionOptions",
    "folders",
];

/// Those of them that a gateway has for sessions of any service.
pub(crate) const GATEWAY_EXTENSIONS: [&str; 6] = ["resume", "flow", "cancel", "http", "heartbeat", "browserAccess"];

/// Those that a gateway has for sessions whose service has them: it passes on what they are about.
pub(crate) const PASSED_EXTENSIONS: [&str; 6] = ["stdin", "files", "command", "fileWatch", "sessionOptions", "folders"];

/// A key that HTTP calls may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// For logs and limits: letters, digits, `.`, `-` and `_`, at most 64. No secret.
    pub name: String,
    /// The key.
    pub secret: Secret,
}

impl ApiKey {
    /// The name of a key that was given without one.
    pub const DEFAULT_NAME: &str = "default";
    /// 16 random characters of base 32 are 80 bits: at a million guesses a second, 20 billion years.
    pub const LEAST_ON_NETWORK: usize = 16;
}

/// Where certificate and key lie, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and after it those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The settings of a gateway: a server that runs no program itself.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Gateway")]
pub struct UpstreamSettings {
    /// Runs no program here: sessions are those of this AGB-compatible service, such as <https://sdk-api.agb.cloud>.
    ///
    /// What this server adds stands in front of them: access for pages, runs that survive a lost connection, watching.
    /// Its clients give the upstream's API keys, which are passed on. None: programs run on this machine.
    #[arg(long = "upstream", id = "upstream", value_name = "URL")]
    pub url: Option<String>,
    /// A file with the upstream's API key, which the gateway uses for all its clients: these give this server's own keys
    /// (--api-key, --api-keys-file) then.
    ///
    /// None: a gateway that has no key can lose none.
    #[arg(long = "upstream-key-file", requires = "upstream", value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}
