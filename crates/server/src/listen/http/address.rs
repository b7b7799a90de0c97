//! Where a client reaches this server: what `wsUrl` and `linkUrl` begin with.

use axum::http::{HeaderMap, header};
use thiserror::Error;

use crate::shorten::shown;

/// What this server's URLs begin with, from the client's side: `http://host:port`, no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    secure: bool,
    /// Host, port, and a path in front if a proxy has one.
    rest: String,
}

/// A public URL that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a public URL: it must begin with http:// or https://, name a host, and have no query")]
pub struct InvalidPublicUrl(String);

impl Address {
    /// Reads `--public-url`.
    pub(crate) fn parse(url: &str) -> Result<Self, InvalidPublicUrl> {
        let invalid = || InvalidPublicUrl(shown(url));
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(invalid()),
        };
        let rest = rest.trim_end_matches('/');
        let host = rest.split('/').next().unwrap_or("");
        let clean = rest.chars().all(|c| c.is_ascii_graphic() && !"?#@\"\\<>".contains(c));
        if !is_host(host) || !clean {
            return Err(invalid());
        }
        Ok(Self { secure, rest: rest.to_owned() })
    }

    /// What the request itself says: `Host`, and `X-Forwarded-Proto` of a proxy; without the latter, whether it came
    /// `encrypted`. None without a usable host.
    pub(crate) fn of_request(headers: &HeaderMap, encrypted: bool) -> Option<Self> {
        let host = headers.get(header::HOST)?.to_str().ok()?;
        let proto = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
        let proto = proto.and_then(|list| list.split(',').next()).map(str::trim);
        let secure = proto.map_or(encrypted, |proto| proto.eq_ignore_ascii_case("https"));
        is_host(host).then(|| Self { secure, rest: host.to_owned() })
    }

    /// Whether its host, with the port where it has one, is this.
    pub(super) fn is_host(&self, host: &str) -> bool {
        self.rest.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(host))
    }

    /// The same scheme and port at another host.
    pub(crate) fn with_host(&self, host: &str) -> Self {
        let own = self.rest.split('/').next().unwrap_or_default();
        let port = own.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = port.map(|(_, port)| format!(":{port}")).unwrap_or_default();
        Self { secure: self.secure, rest: format!("{host}{port}") }
    }

    /// The URL of a path, for HTTP.
    pub(crate) fn http(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.secure { "https" } else { "http" }, self.rest)
    }

    /// The URL of a path, for WebSocket.
    pub(crate) fn ws(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.secure { "wss" } else { "ws" }, self.rest)
    }
}

/// Host and port, or something that could pass for it; nothing that could end a URL's authority early.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 255
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_public_urls() {
        let address = Address::parse("https://agb.example.org/code/").expect("a URL");
        assert_eq!(address.ws("/ws/1"), "wss://agb.example.org/code/ws/1");
        assert_eq!(address.http("/x"), "https://agb.example.org/code/x");
        for bad in ["", "agb.example.org", "ftp://x", "http://", "http:///x", "http://a b", "http://u@h", "http://h?q"]
        {
            assert_eq!(Address::parse(bad), Err(InvalidPublicUrl(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn follows_the_request() {
        let mut headers = HeaderMap::new();
        assert_eq!(Address::of_request(&headers, false), None);
        headers.insert(header::HOST, "[::1]:8000".parse().expect("a value"));
        assert_eq!(Address::of_request(&headers, false).map(|a| a.ws("")), Some("ws://[::1]:8000".into()));
        assert_eq!(Address::of_request(&headers, true).map(|a| a.ws("")), Some("wss://[::1]:8000".into()));
        headers.insert("x-forwarded-proto", "https, http".parse().expect("a value"));
        assert_eq!(Address::of_request(&headers, false).map(|a| a.ws("")), Some("wss://[::1]:8000".into()));
        headers.insert(header::HOST, "evil/@x".parse().expect("a value"));
        assert_eq!(Address::of_request(&headers, false), None);
    }
}
