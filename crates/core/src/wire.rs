//! The client's half of the WebSocket wire.
//!
//! [`incoming`] reads what a service says, [`outgoing`] writes what a client says. What both sides share is in
//! [`agb_protocol`], the server's half ([`service`]) as well. A mistake that both sides share would be invisible between
//! them: the transcripts in `tests/transcripts`, written by hand from the protocol, are the check.
//!
//! Every reader here is total: any text gives a value, never a panic.
//!
//! A frame has three readers for one reason, speed: `envelope` recognises the second chunk of a stream by its first,
//! `scan` reads a chunk in any envelope, [`incoming`] reads every frame. Tests hold the fast ones to the last. A
//! page reads chunks in JavaScript (`host.js`), before they become Rust strings: it is built without the fast ones (the
//! feature `fast-chunks`).

pub(crate) mod envelope;
pub mod incoming;
mod origin;
pub mod outgoing;
mod scan;

pub use agb_protocol::{ACK_WITHIN, DEFAULT_TARGET, Extensions, SDK, service};
pub(crate) use agb_protocol::{object, text};
