//! The client against peers on the loopback interface.

mod calls;
mod encrypted;
mod fallback;
mod keep_alive;
mod local;
mod network;
mod peer;
mod procedures;
mod secrets;
mod service;
mod streaming;
