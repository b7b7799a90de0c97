//! Tests on virtual time: no socket, no sleep.

mod bench;
mod held;
mod input;
mod ladder;
mod peer;
mod reading;
mod script;
mod stamps;
mod stopping;
mod walk;
