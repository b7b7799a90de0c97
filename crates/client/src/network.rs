//! The way to the network that all transports of a client share: its proxies, and what it trusts.

use crate::proxy::{Proxies, ProxyChoice};
use crate::tls::Trust;

/// Proxies and certificates. HTTP calls, event streams and WebSockets follow the same ones.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) proxies: Proxies,
    pub(crate) trust: Trust,
}

impl Network {
    /// # Errors
    /// What is wrong with the settings, for a person.
    pub(crate) fn new(choice: ProxyChoice, authorities: Vec<String>, with_bundled: bool) -> Result<Self, String> {
        Proxies::check(&choice)?;
        Trust::check(&authorities)?;
        Ok(Self { proxies: Proxies::new(choice), trust: Trust::new(authorities, with_bundled) })
    }
}
