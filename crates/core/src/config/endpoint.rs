//! Where the service is.

use std::fmt;

/// A service to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A server on this machine that the SDK starts itself.
    Local,
    /// A service that is there already.
    Remote(BaseUrl),
}

/// The documented default.
const DEFAULT_HOST: &str = "sdk-api.agb.cloud";

impl Endpoint {
    /// Reads a host or a URL. Without a scheme it means https; `local` means [`Local`](Self::Local).
    ///
    /// # Errors
    /// [`BadEndpoint`] says what is wrong, and nothing of the text, which may be a key in the wrong place.
    pub fn parse(text: &str) -> Result<Self, BadEndpoint> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("local") {
            return Ok(Self::Local);
        }
        BaseUrl::parse(text).map(Self::Remote)
    }

    /// The base URL; `None` for a local server, which has none before it is started.
    #[must_use]
    pub fn base_url(&self) -> Option<&BaseUrl> {
        match self {
            Self::Local => None,
            Self::Remote(base) => Some(base),
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::Remote(BaseUrl(["https://", DEFAULT_HOST].concat()))
    }
}

/// An `http` or `https` URL to which a path can be appended: no user, query or fragment, no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Reads a host or a URL.
    ///
    /// # Errors
    /// [`BadEndpoint`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadEndpoint> {
        let (scheme, rest) = match text.trim().split_once("://") {
            None => ("https", text.trim()),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            Some(_) => return Err(BadEndpoint::Scheme),
        };
        if rest.is_empty() {
            return Err(BadEndpoint::Empty);
        }
        if rest.contains(['?', '#']) {
            return Err(BadEndpoint::Query);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(BadEndpoint::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        if !is_host(host) {
            return Err(BadEndpoint::Host);
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte)) {
            return Err(BadEndpoint::Path);
        }
        let mut url = [scheme, "://", &host.to_ascii_lowercase()].concat();
        if let Some(port) = port {
            url.push(':');
            url.push_str(&port.to_string());
        }
        url.push_str(path.trim_end_matches('/'));
        Ok(Self(url))
    }

    /// The URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Splits `host:port`, where an IPv6 host stands in brackets.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), BadEndpoint> {
    let end = authority.find(']').unwrap_or(0);
    let Some(colon) = authority[end..].find(':').map(|at| at + end) else {
        return Ok((authority, None));
    };
    let digits = &authority[colon + 1..];
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadEndpoint::Port);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(BadEndpoint::Port),
        Ok(port) => Ok((&authority[..colon], Some(port))),
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets. Names outside ASCII are written in their `xn--` form.
fn is_host(host: &str) -> bool {
    let all = |text: &str, extra: &[u8]| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
    };
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|inner| inner.parse::<core::net::Ipv6Addr>().is_ok()),
        None => all(host, b"-._") && !host.starts_with('.') && !host.contains(".."),
    }
}

/// What is wrong with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadEndpoint {
    /// There is no host.
    #[error("it names no host")]
    Empty,
    /// Neither `http` nor `https`.
    #[error("its scheme is neither http nor https")]
    Scheme,
    /// A user name or password before the host.
    #[error("it has a user name or password; the API key is set apart from it")]
    UserInfo,
    /// A query or a fragment.
    #[error("it has a query (?) or a fragment (#), which a base URL cannot have")]
    Query,
    /// The host is none.
    #[error("its host is neither a name in ASCII nor an address")]
    Host,
    /// The port is none.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// The path has characters that a URL cannot have.
    #[error("its path holds characters that a URL cannot have")]
    Path,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_and_urls() {
        for (text, expected) in [
            ("sdk-api.agb.cloud", "https://sdk-api.agb.cloud"),
            (" Example.COM:8443 ", "https://example.com:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("HTTPS://Host/", "https://host"),
            ("https://host/prefix/A//", "https://host/prefix/A"),
            ("[::1]:80", "https://[::1]:80"),
            ("http://[2001:DB8::1]", "http://[2001:db8::1]"),
            ("localhost:1", "https://localhost:1"),
            ("my_host/%20", "https://my_host/%20"),
            ("http://local", "http://local"),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.base_url().map(BaseUrl::as_str), Some(expected));
        }
        for text in ["local", " LOCAL\n"] {
            assert_eq!(Endpoint::parse(text), Ok(Endpoint::Local));
        }
        assert_eq!(Endpoint::Local.base_url(), None);
        assert_eq!(Endpoint::default(), Endpoint::parse(DEFAULT_HOST).expect("it is a host"));
    }

    #[test]
    fn refuses_the_rest_without_repeating_it() {
        for (text, expected) in [
            ("", BadEndpoint::Empty),
            ("https://", BadEndpoint::Empty),
            ("ftp://SECRET", BadEndpoint::Scheme),
            ("://SECRET", BadEndpoint::Scheme),
            ("wss://SECRET", BadEndpoint::Scheme),
            ("https://SECRET@host", BadEndpoint::UserInfo),
            ("user:SECRET@host", BadEndpoint::UserInfo),
            ("host?key=SECRET", BadEndpoint::Query),
            ("https://host/#SECRET", BadEndpoint::Query),
            ("https:///SECRET", BadEndpoint::Host),
            ("SECRET key", BadEndpoint::Host),
            ("häuser.de", BadEndpoint::Host),
            ("a..b", BadEndpoint::Host),
            ("[::1", BadEndpoint::Port),
            ("[::1]x", BadEndpoint::Host),
            ("[zz]", BadEndpoint::Host),
            ("a\\b", BadEndpoint::Host),
            ("host:", BadEndpoint::Port),
            ("host:0", BadEndpoint::Port),
            ("host:65536", BadEndpoint::Port),
            ("host:+1", BadEndpoint::Port),
            ("mailto:SECRET", BadEndpoint::Port),
            ("::1", BadEndpoint::Port),
            ("host/a b", BadEndpoint::Path),
            ("host/ü", BadEndpoint::Path),
            ("host\r\nx: y", BadEndpoint::Port),
        ] {
            let error = Endpoint::parse(text).expect_err(text);
            assert_eq!(error, expected, "{text:?}");
            assert!(!format!("{error} {error:?}").contains("SECRET"));
        }
    }
}
