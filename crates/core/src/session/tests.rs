//! Tests on virtual time: no socket, no sleep.

mod bench;
mod peer;
mod script;
mod walk;
