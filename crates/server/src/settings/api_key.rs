//! A key that HTTP calls carry.

use agb_protocol::Secret;

/// A key that HTTP calls may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// For logs and limits: letters, digits, `.`, `-` and `_`, at most 64. No secret.
    pub name: String,
    /// The key.
    pub secret: Secret,
}

impl ApiKey {
    /// The name of a key that was given without one.
    pub const DEFAULT_NAME: &str = "default";
    /// 16 random characters of base 32 are 80 bits: at a million guesses a second, 20 billion years.
    pub const LEAST_ON_NETWORK: usize = 16;
}
