//! Helpers for tests and measurements. Nothing here is published.
//!
//! * [`load`]: a service that speaks the wire and answers each run with as much output as the socket takes. It is what
//!   `cargo xtask bench client` measures clients against; the program `agb-load` serves it.

pub mod load;
