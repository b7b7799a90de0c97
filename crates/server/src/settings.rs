//! What a server is told before it starts. Each default has its reason beside it.

mod api_key;
mod config;
mod contexts;
mod duration;
mod isolation;
mod limits;
mod links;
mod network;
mod tls_files;
mod warm;

pub use self::api_key::ApiKey;
pub use self::config::Config;
pub use self::contexts::ContextSettings;
pub use self::isolation::Isolation;
pub use self::limits::{InvalidLimits, Limits};
pub use self::links::LinkSettings;
pub use self::network::{Network, UnknownNetwork};
pub use self::tls_files::TlsFiles;
pub use self::warm::Warm;

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
];
