//! Tests on virtual time: no socket, no sleep.

mod bench;
mod held;
mod ladder;
mod peer;
mod script;
mod stamps;
mod walk;
