//! placeholder
pub mod batch;
pub mod io;
pub mod language;
mod rng;
pub mod run;
pub mod secret;
pub mod session;
pub mod time;
pub mod wire;
pub mod config;
pub mod error;
pub mod http;
pub mod operations;
pub mod result;

pub use batch::{Batch, Mark, Piece, Stream};
pub use io::{Capabilities, Event, Input, LinkId, Loss, OpenRequest, Output, Push, State};
pub use language::Language;
pub use run::{Finish, Rejected, RemoteError, RunEnd, RunError, RunId, RunRequest, StreamEvent, Violation};
pub use secret::Secret;
pub use session::{Session, SessionConfig};
pub use time::Instant;
