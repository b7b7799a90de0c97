//! End to end: real clients, a real server, real interpreters.

agb_sandbox::helper_before_main!();

mod cluster;
mod commands;
mod deploy;
mod encrypted;
mod gateway;
mod intermediary;
mod load;
mod lossy;
mod lossy_work;
mod network;
mod peers;
mod quickstart;
mod readme;
mod server;
mod transcripts;
