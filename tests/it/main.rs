//! End to end: real clients, a real server, real interpreters.

mod server;
mod transcripts;
