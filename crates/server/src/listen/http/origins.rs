//! The origins whose pages may use a server: those that `--allow-origin` names, else pages of this machine.

use std::net::IpAddr;

use thiserror::Error;

use crate::shorten::shown;

/// The origins whose pages may use a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    /// Empty: those of this machine.
    allowed: Vec<String>,
}

/// An origin that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not an origin: give the scheme, the host and, unless it is the usual one, the port, such as https://app.example.org"
)]
pub struct InvalidOrigin(String);

impl Origins {
    /// Reads `--allow-origin`, several times. `*` allows every page.
    pub(crate) fn parse(origins: &[String]) -> Result<Self, InvalidOrigin> {
        let allowed = origins.iter().map(|origin| {
            let clean = origin.trim().trim_end_matches('/').to_ascii_lowercase();
            let good = clean == "*" || clean == "null" || host_of(&clean).is_some_and(|host| !host.is_empty());
            if good { Ok(clean) } else { Err(InvalidOrigin(shown(origin))) }
        });
        Ok(Self { allowed: allowed.collect::<Result<_, _>>()? })
    }

    pub(super) fn allow(&self, origin: &str) -> bool {
        if self.allowed.is_empty() {
            return host_of(origin).is_some_and(is_loopback);
        }
        self.allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }

    pub(super) fn name_host(&self, host: &str) -> bool {
        self.allowed.iter().any(|allowed| host_of(allowed).is_some_and(|named| named.eq_ignore_ascii_case(host)))
    }
}

/// The host of `scheme://host:port`.
fn host_of(origin: &str) -> Option<&str> {
    let (scheme, rest) = origin.split_once("://")?;
    let is_origin = !scheme.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']);
    is_origin.then(|| without_port(rest))
}

pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || as_address(&host).is_some_and(|address| address.is_loopback())
}

pub(super) fn as_address(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_are_the_default() {
        let origins = Origins::default();
        for origin in [
            "http://localhost",
            "http://localhost:5173",
            "https://LOCALHOST:1",
            "http://127.0.0.1:8000",
            "http://127.9.9.9",
            "http://[::1]:5173",
            "http://app.localhost:3000",
        ] {
            assert!(origins.allow(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "localhost",
            "http://localhost.example.org",
            "https://example.org",
            "http://127.0.0.1.example.org",
            "http://localhost:5173/path",
            "http://user@localhost",
            "http://192.168.1.2",
        ] {
            assert!(!origins.allow(origin), "{origin}");
        }
    }

    #[test]
    fn named_origins_replace_the_default() {
        let named = |list: &[&str]| Origins::parse(&list.iter().map(|&origin| origin.to_owned()).collect::<Vec<_>>());
        let origins = named(&["https://app.example.org/", "http://localhost:5173"]).expect("they are origins");
        assert!(origins.allow("https://app.example.org") && origins.allow("http://localhost:5173"));
        assert!(!origins.allow("http://localhost:5174") && !origins.allow("http://app.example.org"));
        assert!(named(&["*"]).expect("every page").allow("https://anything.example"));
        for bad in ["", "example.org", "https://", "https://a/b", "https://u@a"] {
            assert_eq!(named(&[bad]), Err(InvalidOrigin(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn ports_are_told_from_addresses() {
        for (host, name) in [("a:1", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("::1", "::1")] {
            assert_eq!(without_port(host), name);
        }
    }
}
