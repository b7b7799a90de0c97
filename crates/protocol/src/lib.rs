//! The types of the AGB wire that the client, the server and the kernels share.
//!
//! The client's core ([`agb-core`](../agb_core/index.html)) adds the state machine that uses them; the server adds
//! sessions and kernels. Nothing here knows a socket, a clock or an executor.
//!
//! # Modules
//! | module | what is in it |
//! | --- | --- |
//! | [`service`] | the server's half of the WebSocket: requests as they are read, frames as they are written |
//! | [`object`], [`fields`], [`text`] | JSON read and written without a tree of values |
//! | [`codes`] | the stable codes of all errors |
//! | [`command`] | shell commands that are followed as runs |
//! | [`language`], [`secret`], [`random`] | what their names say |
//!
//! The names of the protocol's fields are known to this crate and to the client's half in `agb_core::wire` only. The
//! transcripts in `tests/transcripts`, written by hand from the protocol, check both.

mod access;
pub mod codes;
pub mod command;
mod extensions;
mod failure;
pub mod fields;
mod finish;
pub mod language;
#[cfg(feature = "mime-bundle")]
mod mime_bundle;
pub mod object;
pub mod random;
pub mod secret;
pub mod service;
mod status;
mod stream;
pub mod text;

pub use access::AccessScope;
pub use extensions::Extensions;
pub use failure::{RunFailure, UNNAMED_FAILURE};
pub use finish::Finish;
pub use language::Language;
#[cfg(feature = "mime-bundle")]
pub use mime_bundle::MimeBundle;
pub use secret::Secret;
pub use status::{KilledBy, RunStatus};
pub use stream::Stream;

/// The tool server that runs code when the session's tool list names none (wire part 1).
pub const DEFAULT_TARGET: &str = "wuying_codespace";

/// How the client calls itself in `source`, and the service calls it in `target`.
pub const SDK: &str = "SDK";

/// A client with `resume` or `flow` acknowledges after this many bytes at the latest: texts of all kinds, and a fixed
/// cost for each event. A service that keeps less than several times as much would wait for the client while the client
/// waits for it. 256 KiB: a quarter of our window, and some frames of the largest chunks.
pub const ACK_WITHIN: usize = 256 * 1024;
