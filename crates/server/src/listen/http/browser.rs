//! Web pages as clients: which origins may call, what CORS says about it, and the guard against DNS rebinding.
//!
//! A program says no `Origin` and is not asked for one: what it may do is for its key to say. A browser says the
//! origin of the page with every WebSocket and every call from elsewhere, and cannot be made to lie by the page. So the
//! origin must be one of those that the server was told of, by default only pages of this machine. A page that reached
//! this server under a name of its own (DNS rebinding) is found out by its `Host`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use thiserror::Error;

use super::Shared;
use super::error::ApiError;

/// The origins whose pages may use a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    /// Empty: those of this machine.
    allowed: Vec<String>,
}

/// An origin that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no origin: give the scheme, the host and, unless it is the usual one, the port, such as https://app.example.org"
)]
pub struct InvalidOrigin(String);

impl Origins {
    /// Reads `--allow-origin`, several times. `*` allows every page.
    pub(crate) fn parse(origins: &[String]) -> Result<Self, InvalidOrigin> {
        let allowed = origins.iter().map(|origin| {
            let clean = origin.trim().trim_end_matches('/').to_ascii_lowercase();
            let good = clean == "*" || clean == "null" || host_of(&clean).is_some_and(|host| !host.is_empty());
            if good { Ok(clean) } else { Err(InvalidOrigin(origin.chars().take(200).collect())) }
        });
        Ok(Self { allowed: allowed.collect::<Result<_, _>>()? })
    }

    fn allow(&self, origin: &str) -> bool {
        if self.allowed.is_empty() {
            return host_of(origin).is_some_and(is_loopback);
        }
        self.allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }

    fn name_host(&self, host: &str) -> bool {
        self.allowed.iter().any(|allowed| host_of(allowed).is_some_and(|named| named.eq_ignore_ascii_case(host)))
    }
}

/// Checks a page's origin and the name under which it reached us. Programs pass.
pub(super) fn check(shared: &Shared, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("(not text)");
    if !shared.origins.allow(origin) {
        return Err(ApiError::WrongOrigin(shorten(origin)));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = without_port(host);
    let is_ours = is_loopback(name)
        || as_address(name).is_some()
        || shared.address.as_ref().is_some_and(|address| address.is_host(host))
        || shared.origins.name_host(name);
    if is_ours { Ok(()) } else { Err(ApiError::WrongHost(shorten(host))) }
}

/// Answers preflights, refuses pages that may not call, and lets the others read the answers.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    // A page cannot read why a WebSocket was refused; the WebSocket's own route tells it in another way.
    if request.uri().path().starts_with("/ws/") {
        return next.run(request).await;
    }
    if let Err(error) = check(&shared, request.headers()) {
        return error.into_response();
    }
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else { return next.run(request).await };
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight { preflight(request.headers()) } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("content-range, etag, retry-after, x-request-id"),
    );
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    response
}

fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let fixed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, if-match, if-none-match, if-range, range, upload-complete, upload-offset, x-access-token",
        ),
        // Chromium's own limit is two hours; ten minutes forget a changed --allow-origin soon enough.
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    // A page from the internet that calls a server in a private network has to be let in explicitly.
    if asked.contains_key("access-control-request-private-network") {
        headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    }
    response
}

/// The host of `scheme://host:port`.
fn host_of(origin: &str) -> Option<&str> {
    let (scheme, rest) = origin.split_once("://")?;
    let is_origin = !scheme.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']);
    is_origin.then(|| without_port(rest))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || as_address(&host).is_some_and(|address| address.is_loopback())
}

fn as_address(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn shorten(text: &str) -> String {
    text.chars().take(200).collect()
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
