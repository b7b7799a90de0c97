//! What a server is told before it starts. Each default has its reason beside it.

mod api_key;
mod command_name;
mod config;
mod contexts;
mod isolation;
mod limits;
mod links;
mod network;
mod tls_files;
mod upstream;
mod warm;

pub use self::api_key::ApiKey;
pub use self::command_name::command_name;
pub use self::config::Config;
pub use self::contexts::ContextSettings;
pub use self::isolation::Isolation;
pub use self::limits::{InvalidLimits, Limits};
pub use self::links::LinkSettings;
pub use self::network::{Network, UnknownNetwork};
pub use self::tls_files::TlsFiles;
pub use self::upstream::UpstreamSettings;
pub use self::warm::Warm;
pub use crate::cluster::{ClusterSettings, Placement, RegistryUrl};
pub use crate::duration::seconds;

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
