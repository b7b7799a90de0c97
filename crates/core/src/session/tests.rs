//! Tests on virtual time: no socket, no sleep.

mod bench;
mod held;
#[cfg(feature = "event-streams")]
mod ladder;
mod peer;
mod script;
mod stamps;
mod walk;
