//! Tests on virtual time: no socket, no sleep.

mod bench;
mod held;
mod input;
mod ladder;
mod peer;
mod script;
mod stamps;
mod walk;
