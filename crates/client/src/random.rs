//! Randomness, which the core has none of.

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher};

/// A seed for one session's ids and jitter. Two sessions with one seed would use the same ids.
pub(crate) fn seed() -> u64 {
    // A system without its own randomness still has what the hash maps use; ids need to differ, not to be secret.
    getrandom::u64().unwrap_or_else(|_| RandomState::new().build_hasher().finish())
}

/// An id for a call: 32 hexadecimal digits, as on the WebSocket.
pub(crate) fn id() -> String {
    let mut id = String::with_capacity(32);
    let _ = write!(id, "{:016x}{:016x}", seed(), seed()); // a string takes everything
    id
}
