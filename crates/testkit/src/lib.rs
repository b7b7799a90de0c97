//! Helpers for tests and measurements. Nothing here is published.
//!
//! * [`etcd`]: members of etcd on free ports.
//! * [`load`]: a service that speaks the wire and answers each run with as much output as the socket takes. It is what
//!   `cargo xtask bench client` measures clients against; the program `agb-load` serves it.
//! * [`proxy`]: a TCP proxy with faults on a seeded schedule, to put between a real client and a real server.
//! * [`upstream`]: a service that speaks part 1 of the wire and misbehaves as each run's code says.
//! * [`balancer`]: a round-robin balancer of TCP connections, to put in front of several servers.
//! * [`profile`], [`escapes`]: for tests of the sandbox, this process started anew with the rights that a server has
//!   elsewhere, and the list of what was tried there.
//! * [`leftovers`]: what test runs that were killed have left in the temporary folder.

pub mod balancer;
#[cfg(target_os = "linux")]
pub mod escapes;
pub mod etcd;
#[cfg(target_os = "linux")]
pub mod leftovers;
pub mod load;
#[cfg(target_os = "linux")]
pub mod profile;
pub mod proxy;
mod serve;
pub mod upstream;
