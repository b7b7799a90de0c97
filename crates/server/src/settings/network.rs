//! What programs reach over the network.

use std::fmt;
use std::str::FromStr;

use agb_egress::{Allow, BadRule};
use agb_sandbox::PROXY;
use data_encoding::BASE64;
use thiserror::Error;

/// What programs reach over the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    #[default]
    None,
    /// All that the server's machine reaches, its loopback services included.
    Host,
    /// These domains, by HTTP and HTTPS, and nothing else. Needs an isolation level with namespaces.
    Allow(Allow),
}

/// A text that is not a network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnknownNetwork {
    /// It is none of the three.
    #[error("{0:?} is not a network: use none, host, or allow=DOMAIN,… such as allow=example.org,*.example.net")]
    Kind(String),
    /// One of the domains is none.
    #[error(transparent)]
    Rule(#[from] BadRule),
}

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        match (text, text.strip_prefix("allow=")) {
            ("none", _) => Ok(Self::None),
            ("host", _) => Ok(Self::Host),
            (_, Some(rules)) => Ok(Self::Allow(rules.parse()?)),
            _ => Err(UnknownNetwork::Kind(text.chars().take(100).collect())),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Allow(rules) => write!(f, "allow={rules}"),
        }
    }
}

impl Network {
    /// As the sandbox knows it.
    pub(crate) fn of_sandbox(&self) -> agb_sandbox::Network {
        match self {
            Self::None => agb_sandbox::Network::None,
            Self::Host => agb_sandbox::Network::Host,
            Self::Allow(_) => agb_sandbox::Network::Proxy,
        }
    }

    /// What tells programs of the proxy, in every spelling that is in use.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let Self::Allow(_) = self else { return Vec::new() };
        let proxy = format!("http://{PROXY}");
        let mut env = Vec::new();
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            env.extend([name.to_owned(), name.to_uppercase()].map(|name| (name, proxy.clone())));
        }
        for name in ["no_proxy", "NO_PROXY"] {
            // A program's own servers are in its own network.
            env.push((name.to_owned(), "localhost,127.0.0.1,::1".to_owned()));
        }
        // Node asks its environment from version 24 on; before that a module of ours does it.
        env.push(("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned()));
        let module = BASE64.encode(include_bytes!("network.mjs"));
        env.push(("NODE_OPTIONS".to_owned(), format!("--import=data:text/javascript;base64,{module}")));
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_they_are_written() {
        for text in ["none", "host", "allow=index.test,*.files.test"] {
            assert_eq!(text.parse::<Network>().map(|network| network.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "all", "allow=", "allow=10.0.0.1", "allow=*"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
