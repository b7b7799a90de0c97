//! A local server that speaks AGB's wire and really runs the code.
//!
//! ```text
//! HTTP ──────► http ──► sessions ──► session ─┬─► kernel (crate agb-kernel): one interpreter process a language
//! WebSocket ─► connection ──► run ────────────┘
//! ```
//!
//! One module per lifetime, each with its tasks in its own documentation:
//!
//! | module | what lives there | how long |
//! | --- | --- | --- |
//! | `server` | what its parts share, the orderly end | the process |
//! | `door` | TCP connections, TLS, who waits how long | the process |
//! | `sessions` | all sessions, the sweeper | the process |
//! | `session` | runs, and a room once it is used | from create to release, or until idle |
//! | `pool` | factory with an interpreter that is ready | the process |
//! | `room` | a host user, a folder, kernels | from a session's first use to its end |
//! | `connection` | one WebSocket | as long as the client stays |
//! | `run` | one program's events | the program, and until its subscriber has seen the end |
//!
//! Beside them: `http` (routes, envelope), `keys` (several, read again when their file changes), `rate` (how often a
//! key or a session may call), `metrics` (what is counted), `network` (what programs reach), `tools` (what `callTool` calls) and `image` (what sessions are created
//! from).
//!
//! Invariants:
//! * what a client sends may be anything: it is answered or dropped, never a panic, never a hang;
//! * nothing that a program prints is dropped while someone can still see it; where nobody takes it, the program
//!   waits in its own `write`, and no other run with it;
//! * keys and tokens are [`agb_protocol::Secret`]s: they are in no log and no error;
//! * the wire's field names are known to `agb_protocol` (WebSocket) and to `http` only.
//!
//! What it says beyond AGB's own wire, for clients that ask for an extension or look at extra fields:
//!
//! | where | what |
//! | --- | --- |
//! | session data | `extensions`: [`EXTENSIONS`]; `imageId`; `isolation`: the level at which programs are isolated |
//! | a run that asked for an extension (`resume`, `window`, `stdin`) | each event has `seq`, from 1, and `time`, milliseconds since the Unix epoch; the first is `accepted` with `extensions`, at once; `started` comes when the interpreter has the program |
//! | `"resume": true` in a start | the run outlives its connection. `run_code`, mode `resume`, `{afterSeq, ackSeq?, window?}` shows it from there on, over any connection of the session; the newest subscriber wins, the one before is told so. What lies between `ackSeq` and `afterSeq` has come and is not taken: it fills the new `window`, so that a client that reads slowly has no more to hold for each cut. First comes, without `seq`, an `accepted`, or a `started` where the interpreter has the program, since that may be silent for long. The same start said again finds the run; another program under its id is an error. What was acknowledged is forgotten, the rest is kept in memory and then in a file (`--replay-memory`, `--replay-spool`), and where both are full the program waits. Unwatched it goes on for `--unwatched-time` and then ends as `interrupted`; once over it stays for `--resume-retention`, unless more than `--max-runs` have ended since or it is acknowledged |
//! | `run_code`, mode `resume`, over an access with the scope `read` | watches: the run's owner keeps it and notices nothing, the program waits for no observer, an `ack` moves that observer's own window only. First comes an `accepted` without `seq`, since the program may be silent for long; then what the owner was shown, as far as it is kept: what is not acknowledged (without an owner at the other end all that is said, at once), and while somebody watches the newest events, `--replay-memory` bytes of them. `afterSeq` 0 begins with the oldest event that is kept, which its `seq` tells; from any other number on nothing is left out, or an error says so. Whoever falls behind what is kept gets an `error` on that run and may watch anew. A run without `resume` is watched from its next event on, for as long as its owner stays. An observer's `cancel` ends the watching only, its `stdin` is answered by `inputRefused`, its start by `NotAllowed`. It does not count as somebody who looks (`--unwatched-time`). At most `--max-watchers` a run, and as many runs a connection |
//! | `"stdin": true` in a start | the program may ask: event `inputRequest {prompt}`, answered by `stdin {data}` or `{eof: true}`; what does not fit is refused as a whole by the event `inputRefused {message}`. Without, input is at its end |
//! | `"inputSeq": n` in a `stdin` (`stdinSeq`) | the pieces of a run's input, its end too, have numbers, from 1. Each is taken once and in order: one that has been here is left out, and so is one behind a piece that is missing. Event `inputTaken {inputSeq}`, without `seq`, says how far it is, and so does the first event after a `resume` |
//! | `GET <linkUrl>/runs/<invocationId>/events?afterSeq=n&ackSeq=m&window=w`, `X-Access-Token` | the same run as server-sent events, each a whole frame; comments are signs of life |
//! | `POST <linkUrl>/runs/<invocationId>`, `X-Access-Token` | the `data` of a message about that run: a start (with `resume`), `ack`, `cancel`, `stdin`; saying it twice does no harm |
//! | `{"type":"ping"}` after an extension was asked for | is answered by `{"type":"pong"}` (`heartbeat`) |
//! | event `serverEnding {inSeconds}` | the server was told to stop: the run is interrupted then (`--drain`) |
//! | `error` events | `error` has `name`, `value`, `traceback` beside `code`, `message`, `traceId` |
//! | `stdout`, `stderr` events | `background: true` on what earlier runs have left behind and was written before this one |
//! | `end` | `reason`: `finished`, `failed`, `timeout`, `cancelled`, `interrupted` (by the server: nobody came back, the session was released, the server ends) or `killed`, this one with `killedBy: {exitCode?, signal?, outOfMemory?}`; `stateLost: true` when variables are gone |
//! | `run_code` (not streamed) | `error: {name, value, traceback}`, `reason`, `killedBy`, `stateLost` and `background: {stdout, stderr}`, likewise |
//! | `GET /healthz`, `/readyz` | for those who look after the server; no key |
//! | `GET /metrics` | for Prometheus, with the key |
//! | HTTP 429 | the envelope with a code `LimitExceeded.…`, and `Retry-After` in seconds |
//! | `token` of a session | lasts a day (`--token-time`); `getSession` gives a new one from the second half of that on |
//! | WebSocket close codes | 1008: too many messages that are no requests; 1009: a message above the limit; 4401, 4403: the token, or the page's origin, opens nothing (any more), or something else; 4404: the session was released, or never was |
//! | `POST <linkUrl>/browserAccess`, `X-Access-Token` of the session itself | body `scope` (`run`, `read`), `lastsS`, `renew`; `data` is `{sessionId, wsUrl, linkUrl, token, expiresAt, scope, extensions, target}`: a way into this session for a while, for a web page |
//! | WebSocket sub-protocols | `agb.v1` is selected where it is offered; `agb.token.<token>` is a browser's way to send the token. Such a client is never refused by an HTTP status, which browsers hide, but by a close code and a reason |
//! | `Origin` | pages of this machine by default, else those of `--allow-origin`; CORS for the HTTP calls; a `Host` that is not ours (DNS rebinding) is refused |
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use agb_server::{Config, Server};
//!
//! agb_sandbox::main_if_helper(); // first in `main`: the server starts this executable anew, to make sandboxes
//! let server = Server::new(Config::new("a key".into()))?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! println!("http://{}", listener.local_addr()?);
//! server.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
//! # Ok(())
//! # }
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("agb-server isolates what it runs by means of Linux, and is for Linux only");

mod auth;
mod contexts;
#[doc(hidden)]
pub mod fuzzing;
mod images;
mod links;
mod listen;
mod observe;
mod random;
mod run;
mod server;
mod session;
mod settings;
mod tools;
mod workspace;

pub use auth::keys::KeysError;
pub use images::{
    DefinitionError, Found, ImageReport, Images, ImagesError, Package, PrepareError, Progress, Survey, UnknownImage,
};
pub use listen::http::{InvalidOrigin, InvalidPublicUrl};
pub use listen::tls::TlsError;
pub use random::api_key;
pub use server::{ExposureError, Server, StartError};
pub use settings::{
    ApiKey, Config, ContextSettings, EXTENSIONS, InvalidLimits, Isolation, Limits, LinkSettings, Network, TlsFiles,
    UnknownNetwork, Warm,
};
pub use workspace::sandboxes::IsolationError;
