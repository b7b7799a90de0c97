//! Random names and nonces.

use std::fs::File;
use std::io::{self, Read};

/// 128 random bits.
pub(crate) fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(agb_protocol::random::hex(&bytes))
}
