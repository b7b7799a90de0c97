//! End to end: real clients, a real server, real interpreters.

mod encrypted;
mod lossy;
mod quickstart;
mod readme;
mod server;
mod transcripts;
