//! Tests on virtual time: no socket, no sleep.

mod bench;
mod held;
mod peer;
mod script;
mod walk;
