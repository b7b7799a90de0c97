//! End to end: real clients, a real server, real interpreters.

mod readme;
mod server;
mod transcripts;
