//! Tests on virtual time: no socket, no sleep.

mod bench;
mod external;
mod fallback;
mod input;
mod peer;
mod reading;
mod script;
mod stalling;
mod stamps;
mod stopping;
mod stream_calls;
mod walk;
