//! The one way out of a sandbox: an HTTP proxy that connects to named domains and to nothing else.
//!
//! ```text
//! program in a sandbox ── http_proxy=127.0.0.1:3128 ──► EgressProxy (one a sandbox) ──► Outside ──► the internet
//!                                                         │ Allow: is it a domain that was named?
//!                                                         └ Outside: is the address public? Connect to this one
//! ```
//!
//! The sandbox has a network of its own with nothing in it but its loopback device. A [`EgressProxy`] answers there: the
//! socket that it listens on was made in the sandbox's network and handed out, so that nothing has to run in there.
//!
//! Invariants:
//! * A name is allowed, or nothing happens: it is not even resolved. No rule can allow an address.
//! * The name is resolved here, once, and the address that was checked is the one that is connected to. Whatever a name
//!   resolves to, loopback, private, link-local, shared, multicast and other special addresses, a cloud's metadata
//!   service and this machine itself are never reached.
//! * What is refused is answered, with what would allow it, and remembered for the run's result ([`EgressProxy::refusals`]).
//! * What the program sends may be anything: it is answered or dropped. Nothing waits for ever, and memory is bounded.
//!
//! What it does not do: look into what is encrypted. A program that may talk to one name of a server that has several
//! may ask it for another.

mod address;
mod allow;
mod name;
mod outside;
mod patient;
mod proxy;
mod tunnel;

pub use address::is_public;
pub use allow::{Allow, BadRule};
pub use name::{BadName, Name};
pub use outside::{DialError, MOST_CONNECTIONS, Outside};
pub use proxy::{EgressProxy, Limits, remove_hop_by_hop};
