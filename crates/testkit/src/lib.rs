//! Helpers for tests and measurements. Nothing here is published.
//!
//! * [`load`]: a service that speaks the wire and answers each run with as much output as the socket takes. It is what
//!   `cargo xtask bench client` measures clients against; the program `agb-load` serves it.
//! * [`proxy`]: a TCP proxy with faults on a seeded schedule, to put between a real client and a real server.

pub mod load;
pub mod proxy;
