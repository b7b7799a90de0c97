//! The server's certificate and its private key.

use std::path::PathBuf;

/// Where certificate and key lie, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and after it those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}
