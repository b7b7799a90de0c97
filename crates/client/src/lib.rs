//! Run code in [AGB](https://agb.cloud) sessions and read what it prints while it runs.
//!
//! ```no_run
//! use agb_client::{Agb, CreateSession, RunEvent};
//! use futures_util::StreamExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), agb_client::Error> {
//! let agb = Agb::from_env()?; // AGB_API_KEY and AGB_ENDPOINT, from the environment or a .env file
//! let session = agb.create(CreateSession { image_id: "agb-code-space-1".into(), ..Default::default() }).await?;
//!
//! let mut run = session.code().run("for i in range(3): print(i)", "python").stream()?;
//! while let Some(event) = run.next().await {
//!     match event {
//!         RunEvent::Stdout(text) => print!("{text}"),
//!         RunEvent::Stderr(text) => eprint!("{text}"),
//!         _ => {}
//!     }
//! }
//! let result = run.finish().await;
//! println!("success: {}, {:.2} s", result.success, result.execution_time);
//!
//! let result = session.code().run("6 * 7", "python").await?; // without streaming
//! println!("{:?}", result.main_result());
//! session.delete().await?;
//! # Ok(())
//! # }
//! ```
//!
//! With the endpoint `local` (`AGB_ENDPOINT=local`) a server on this machine is started, no key needed.
//!
//! # Commands, files and contexts
//! ```no_run
//! # use agb_client::{Agb, CreateSession, RunCommand};
//! # use agb_client::agb_core::operations::files::WriteMode;
//! # async fn example(session: agb_client::Session) -> Result<(), agb_client::Error> {
//! let output = session.execute(RunCommand::new("python --version")).await?;
//! println!("{}: {}", output.exit_code, output.stdout);
//! session.files().write("/tmp/a.txt", "hello", WriteMode::Overwrite).await?;
//! assert_eq!(session.files().read("/tmp/a.txt").await?, b"hello");
//! let context = Agb::from_env()?.contexts().create("project").await?; // files that outlive sessions
//! # Ok(())
//! # }
//! ```
//!
//! # What it does for you
//! * **One WebSocket a session**, opened at the first run that streams, shared by all of them, opened anew when it is
//!   lost. A half-open connection is noticed by its silence.
//! * **Back-pressure.** What you do not read is held back, up to the program's own writes where the service knows
//!   `flow`; elsewhere reading the socket pauses. Memory stays bounded.
//! * **An honest end.** A run has one result, and what goes wrong in it is in it: [`Execution::success`],
//!   [`Execution::error`]. Code that was sent is never sent a second time.
//! * **Transport fallback.** A run is found again after a lost connection; where no WebSocket gets through it has an event
//!   stream, where that is not offered either a plain call, if nothing of it was sent ([`RunEvent::Unstreamed`]).
//! * **Drop is cancel.** A [`Run`] that is dropped stops its program where the service can.
//! * **Secrets stay inside.** Keys and tokens are [`Secret`]s; no error and no log line (`tracing`, targets `agb::…`)
//!   holds one, nor a URL's query.
//!
//! # How it is built
//! Everything that decides is in `agb-core`, which has no socket and no clock. This crate brings both: `drive.rs` carries
//! out what a session asks for over its socket, `http.rs` sends its operations, `plain.rs` is the last transport fallback,
//! `local.rs` starts the local server. It needs a tokio runtime with I/O and time; one thread is enough.

mod agb;
mod answer;
mod api;
mod clock;
mod code;
mod command;
mod connection;
mod contexts;
mod drive;
pub mod error;
mod events;
mod file_reader;
mod file_watch;
mod file_writer;
mod files;
mod folder_reader;
mod frame_walk;
mod http;
mod link;
mod link_call;
mod local;
mod log;
mod network;
mod options;
mod plain;
mod procedures;
mod proxy;
mod random;
mod received;
mod run;
mod session;
mod socket;
mod tls;
mod transfer;
mod wire;

pub use agb_core;
pub use agb_core::operations::{
    ClientInfo, CommandInfo, CommandOutput, CreateSession, ListSessions, ProgramInfo, RunCommand, SessionData,
    SessionDetails, SessionMetrics, SessionNetwork, SessionOptions, SessionPage, SessionStatus, Tool, ToolResult,
};
pub use agb_core::result::{Execution, KilledBy, Logs, RichResult, RunFailure, RunStatus};
pub use agb_core::{
    Batch, DisconnectReason, Language, Mark, Piece, RemoteError, RunError, Secret, SessionConfig, Stamp, Stream,
    StreamEvent,
};
pub use bytes::Bytes;

pub use crate::agb::Agb;
pub use crate::answer::{Rooms, SharedRoom};
pub use crate::code::{AttachBuilder, Code, IntoLanguage, RunBuilder};
pub use crate::command::{CommandBuilder, Commands};
pub use crate::contexts::{Contexts, SessionContexts};
pub use crate::error::Error;
pub use crate::file_reader::FileReader;
pub use crate::file_watch::FileWatch;
pub use crate::file_writer::FileWriter;
pub use crate::files::Files;
pub use crate::folder_reader::FolderReader;
pub use crate::link_call::{LinkAnswer, LinkCall};
pub use crate::log::Log;
pub use crate::options::Options;
pub use crate::received::{PartSink, Received};
pub use crate::run::{Run, RunControl, RunEvent};
pub use crate::session::Session;
pub use crate::socket::SocketLimits;

/// How this client calls itself to servers.
pub(crate) const USER_AGENT: &str = concat!("agb-client/", env!("CARGO_PKG_VERSION"));
