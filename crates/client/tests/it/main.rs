//! The client against peers on the loopback interface.

mod peer;
mod streaming;
