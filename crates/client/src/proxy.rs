//! Forward proxies: which one a connection goes through, and the tunnel through it.
//!
//! HTTP calls and event streams are sent by reqwest, WebSockets by us. Both follow the same rule, that of
//! [`hyper_util`]'s matcher, which reqwest uses as well: `HTTPS_PROXY` for `https:` and `wss:`, `HTTP_PROXY` for `http:`
//! and `ws:`, else `ALL_PROXY`, all in lower case too, and `NO_PROXY` with names, suffixes and CIDR blocks. This machine
//! is never reached through a proxy. Messages name the proxy and the variable, and never its password.

use std::sync::OnceLock;
use std::time::Duration;

use agb_core::DisconnectReason;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::tls::Trust;
use crate::wire::{self, Wire, broken};

/// How a client reaches the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ProxyChoice {
    /// By the environment's variables, else by the system's settings.
    #[default]
    Environment,
    /// Directly.
    None,
    /// Through this proxy.
    Url(String),
}

/// The proxies of a client.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    choice: ProxyChoice,
    matcher: OnceLock<Matcher>,
}

/// A proxy that a connection goes through.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    intercept: Intercept,
    /// What named it.
    source: &'static str,
}

impl Proxies {
    pub(crate) fn new(choice: ProxyChoice) -> Self {
        Self { choice, matcher: OnceLock::new() }
    }

    /// Whether what was chosen in code is the URL of a proxy.
    pub(crate) fn check(choice: &ProxyChoice) -> Result<(), String> {
        let ProxyChoice::Url(text) = choice else { return Ok(()) };
        let url = Url::parse(text).map_err(|error| format!("the proxy is not a URL: {error}"))?;
        match (url.scheme(), url.host_str()) {
            ("http" | "https", Some(host)) if !host.is_empty() => Ok(()),
            (scheme, _) => Err(format!("a proxy's URL begins with `http://` or `https://`, not with `{scheme}:`")),
        }
    }

    /// Gives reqwest the same proxies.
    pub(crate) fn apply(&self, builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, reqwest::Error> {
        Ok(match &self.choice {
            ProxyChoice::Environment => builder, // it reads the same variables
            ProxyChoice::None => builder.no_proxy(),
            ProxyChoice::Url(url) => builder.no_proxy().proxy(reqwest::Proxy::all(url)?),
        })
    }

    /// The proxy on the way to this URL.
    pub(crate) fn to(&self, url: &Url) -> Option<Proxy> {
        if self.choice == ProxyChoice::None || is_loopback(url) {
            return None;
        }
        let is_secure = matches!(url.scheme(), "https" | "wss");
        let scheme = if is_secure { "https" } else { "http" };
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        let address = format!("{scheme}://{}{port}/", url.host_str()?).parse().ok()?;
        let matcher = self.matcher.get_or_init(|| match &self.choice {
            ProxyChoice::Url(url) => Matcher::builder().all(url.as_str()).build(),
            _ => Matcher::from_system(),
        });
        let intercept = matcher.intercept(&address)?;
        Some(Proxy { intercept, source: self.source(is_secure) })
    }

    fn source(&self, is_secure: bool) -> &'static str {
        if matches!(self.choice, ProxyChoice::Url(_)) {
            return "the client's options";
        }
        let own = if is_secure { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        own.into_iter().chain(["ALL_PROXY", "all_proxy"]).find(is_set).unwrap_or("the system's settings")
    }
}

impl Proxy {
    /// How long reaching a proxy and opening a tunnel may take. Default 5 s: a proxy is near; one that is silent for so
    /// long is to be told of within seconds.
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

    /// For messages: its address, and what named it.
    pub(crate) fn name(&self) -> String {
        let uri = self.intercept.uri();
        let (host, port) = (uri.host().unwrap_or_default(), self.port());
        format!("the proxy {host}:{port} ({})", self.source)
    }

    fn is_secure(&self) -> bool {
        self.intercept.uri().scheme_str() == Some("https")
    }

    fn port(&self) -> u16 {
        self.intercept.uri().port_u16().unwrap_or(if self.is_secure() { 443 } else { 80 })
    }

    /// A connection to this host through the proxy (RFC 9110, section 9.3.6).
    pub(crate) async fn tunnel(&self, host: &str, port: u16, trust: &Trust) -> Result<Box<dyn Wire>, DisconnectReason> {
        match timeout(Self::TIMEOUT, self.open_tunnel(host, port, trust)).await {
            Ok(opened) => opened,
            Err(_) => {
                let seconds = Self::TIMEOUT.as_secs();
                Err(broken(format!("{} did not answer within {seconds} s: check that it is up", self.name())))
            }
        }
    }

    async fn open_tunnel(&self, host: &str, port: u16, trust: &Trust) -> Result<Box<dyn Wire>, DisconnectReason> {
        let uri = self.intercept.uri();
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            let kind = uri.scheme_str().unwrap_or_default();
            let message = format!("{} is of the kind `{kind}`: use an `http://` or `https://` proxy", self.name());
            return Err(DisconnectReason::ProxyRefused(message));
        }
        let name = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let tcp = wire::connect(name, self.port()).await;
        let tcp = tcp.map_err(|error| broken(format!("{} cannot be reached: {error}", self.name())))?;
        let mut wire: Box<dyn Wire> = if self.is_secure() { trust.connect(name, tcp).await? } else { Box::new(tcp) };
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
        if let Some(credentials) = self.intercept.basic_auth() {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(credentials.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let cut = |error| broken(format!("{} broke the connection: {error}", self.name()));
        wire.write_all(&request).await.map_err(cut)?;
        wire.flush().await.map_err(cut)?;
        let answered = wire::read_head(&mut wire).await;
        let (head, rest) = answered.map_err(|reason| broken(format!("{}: {reason}", self.name())))?;
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&head);
        parsed.map_err(|error| broken(format!("the answer of {} is not HTTP: {error}", self.name())))?;
        match response.code.unwrap_or_default() {
            // A tunnel is silent until we speak: what comes before would be a proxy's own.
            200..=299 if rest.is_empty() => Ok(wire),
            status => Err(self.refused(status, host)),
        }
    }

    /// What a refusal with this status means.
    pub(crate) fn refused(&self, status: u16, host: &str) -> DisconnectReason {
        let remedy = match status {
            407 => ": give its user and password in the proxy's URL (`http://user:password@host:port`)",
            403 => ": ask its administrator to allow the host, or name the host in NO_PROXY",
            _ => "",
        };
        let message = format!("{} refused a connection to {host} with HTTP status {status}{remedy}", self.name());
        match status {
            400..=499 if status != 408 && status != 429 => DisconnectReason::ProxyRefused(message),
            _ => broken(message),
        }
    }
}

/// An IPv6 host has brackets here.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_without_its_password() {
        let proxies = Proxies::new(ProxyChoice::Url("http://us%40er:s%3Acret@proxy.corp:3128".into()));
        for url in ["https://service/", "wss://service/", "http://service/", "ws://service/"] {
            let proxy = proxies.to(&Url::parse(url).expect("a URL")).expect("it goes through the proxy");
            assert_eq!(proxy.name(), "the proxy proxy.corp:3128 (the client's options)");
            assert!(!format!("{:?}", proxy.refused(407, "service")).contains("cret"));
            assert!(matches!(proxy.refused(407, "service"), DisconnectReason::ProxyRefused(_)));
            assert!(matches!(proxy.refused(502, "service"), DisconnectReason::Broken(_)));
        }
        for url in ["https://localhost/", "ws://127.0.0.1:8080/", "wss://[::1]/"] {
            assert!(proxies.to(&Url::parse(url).expect("a URL")).is_none(), "{url}");
        }
        assert!(Proxies::new(ProxyChoice::None).to(&Url::parse("https://service/").expect("a URL")).is_none());
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for text in ["", "proxy", "proxy:3128", "socks5://host:1", "ftp://x"] {
            assert!(Proxies::check(&ProxyChoice::Url(text.into())).is_err(), "{text}");
        }
        for choice in [ProxyChoice::Environment, ProxyChoice::None, ProxyChoice::Url("http://u:p@h:3128".into())] {
            assert_eq!(Proxies::check(&choice), Ok(()));
        }
    }
}
