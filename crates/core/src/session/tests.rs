//! Tests on virtual time: no socket, no sleep.

mod attaching;
mod bench;
mod dialing;
mod external;
mod fallback;
mod input;
mod losing;
mod peer;
mod reading;
mod script;
mod stalling;
mod stamps;
mod stopping;
mod stream_calls;
mod walk;
