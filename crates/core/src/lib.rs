//! The core of an AGB client: everything it decides, and nothing it does.
//!
//! AGB runs code in sandboxes and streams what it prints over a WebSocket while it runs. This crate is the part of a
//! client that is the same in Node, in a browser and in Rust: the wire types, the state machine of a session's
//! connection and runs, the HTTP operations as plain data, results, errors and configuration. It has **no socket, no
//! clock, no executor, no `async`, no randomness and no `cfg(target)`**: a driver brings those. `agb-client` drives it
//! with tokio, `agb-wasm` in a browser.
//!
//! # The seam
//! A [`Session`] has verbs that change it, one that drains it, and one place to wait:
//!
//! ```no_run
//! # use agb_core::{Capabilities, Input, Instant, LinkId, Output, Secret, Session, SessionConfig};
//! # enum Happening { Socket(LinkId, Input<'static>), Deadline }
//! # fn wait(_: Option<Instant>, _: bool) -> Happening { Happening::Deadline }
//! # fn now() -> Instant { Instant::ORIGIN }
//! # let config = SessionConfig::new("wss://example.org", Secret::new("token"));
//! let mut session = Session::new(config, Capabilities::NATIVE, 7);
//! loop {
//!     let (deadline, read) = loop {
//!         match session.poll_output() {
//!             Output::Open(link, request) => { /* open a socket; say Opened or Lost */ }
//!             Output::Send(link, text) => { /* hand it to the socket; say Backlog */ }
//!             Output::Ping(link) => { /* a ping frame */ }
//!             Output::Close(link, code) => { /* close it and forget it */ }
//!             Output::Event(event) => { /* wake whoever waits */ }
//!             Output::Idle { deadline, read } => break (deadline, read),
//!         }
//!     };
//!     match wait(deadline, read) {
//!         Happening::Socket(link, input) => session.handle_input(now(), link, input),
//!         Happening::Deadline => session.handle_timeout(now()),
//!     }
//! }
//! ```
//!
//! # The contract
//! 1. **After every change, call [`Session::poll_output`] until it says [`Output::Idle`]. Only there may a driver
//!    wait.**
//! 2. `now` comes from one monotonic clock. A driver has no timer but the one deadline; it parses nothing, retries
//!    nothing and drops no output.
//! 3. A link dies once: by [`Input::Lost`] from below or by [`Output::Close`] from above. What an old link still says
//!    is ignored.
//! 4. Each [`Output::Open`] is answered by [`Input::Opened`] or [`Input::Lost`], unless a `Close` came first.
//! 5. Everything that decides lives here: dialing, back-off and jitter, heartbeat and silence, deadlines, resuming and
//!    acknowledging, limits, and what happens to runs when a link breaks.
//! 6. [`Event`] is a hint; data is pulled with [`Session::read`]. Every run has one end, and it comes last
//!    ([`Batch::end`]).
//! 7. When `read` is false and the transport can pause reading, it pauses. In a browser it cannot: there the extension
//!    `flow` bounds what is unread, and against a service without it a limit with an honest
//!    [`RunError::Overflow`].
//! 8. No call blocks, allocates without a limit from [`SessionConfig`], or panics on what a peer sent. A panic is our
//!    bug, never bad input.
//! 9. The application's code never runs while the session is borrowed.
//!
//! # When the connection breaks
//! A run is sent once, over the session's WebSocket, under an id that the client made. What happens to it when that is
//! lost depends on what the service has said it knows, in this order:
//!
//! 1. `resume`: a new WebSocket, and the run from the event behind the last that came. A start whose answer was lost is
//!    said again, and finds the run that goes on.
//! 2. `http`: after [`SessionConfig::socket_attempts`] WebSockets in a row that came to nothing, or a refused handshake,
//!    the same with an event stream for each run ([`EventsRequest`]), for the rest of the session.
//! 3. Neither, and the run was never sent: it ends with [`RunError::Unreachable`], and the driver may make the plain
//!    HTTP call in its stead ([`StreamEvent::Unstreamed`], [`Execution::into_stream`](result::Execution::into_stream)).
//!    `agb-client` does, in Rust and in Node.
//! 4. Neither, and it was sent: [`RunError::Interrupted`], with what had come. Nobody knows its outcome, and it is not
//!    run again.
//!
//! Input for a program goes the same way as its output, with numbers, where the service has `stdinSeq`: what is not
//! confirmed is said again ([`SessionConfig::input_limit`] bounds what is kept for that), and each piece arrives once.
//! Elsewhere a cut may lose input, and [`StreamEvent::InputUncertain`] says so.
//!
//! [`StreamEvent::Interrupted`] and [`StreamEvent::Reconnected`] tell of it as it happens. Every wait has a bound:
//! opening ([`open_timeout`](SessionConfig::open_timeout)), looking for the service
//! ([`give_up`](SessionConfig::give_up)), silence ([`silence`](SessionConfig::silence)), a run's own time and a grace
//! after it. A program that waits for its turn (event `accepted`) or says nothing is waited for as long as the service
//! gives signs of life.
//!
//! # Modules
//! | module | what is in it |
//! | --- | --- |
//! | [`io`] | the seam's types |
//! | [`session`] | the state machine |
//! | [`run`], [`command`], [`batch`] | what a run is, what it yields, how it ends |
//! | [`wire`] | the WebSocket's messages: the only place that knows the field names |
//! | [`operations`], [`http`] | the HTTP calls as plain data |
//! | [`procedure`], [`by_name`] | what takes several calls, and all of it by name for language bindings |
//! | [`result`] | what a caller gets, and every shape that `run_code` answers in |
//! | [`codes`] | the stable codes of all errors |
//! | [`config`], [`language`], [`secret`], [`error`], [`time`] | what their names say |

pub mod batch;
pub mod by_name;
pub mod command;
pub mod config;
mod disconnect_reason;
pub mod error;
pub mod http;
pub mod io;
mod json;
pub mod operations;
pub mod procedure;
pub mod result;
mod rich_result;
pub mod run;
pub mod session;
pub mod time;
mod tool_result;
pub mod wire;

pub use agb_protocol::command::TerminalSize;
pub use agb_protocol::{Language, Secret, codes, language, secret};
pub use batch::{Batch, Mark, Piece, Stamp, Stream};
pub use command::CommandRequest;
pub use disconnect_reason::DisconnectReason;
pub use io::{
    Capabilities, Event, EventsRequest, ExternalChunk, Input, LinkId, OpenRequest, Output, State, StreamCall,
};
pub use run::{Finish, Rejected, RemoteError, RunEnd, RunError, RunId, RunRequest, StreamEvent, Violation};
pub use session::{Session, SessionConfig};
pub use time::Instant;
pub use wire::Extensions;
