//! Web pages as clients: which origins may call, what CORS says about it, and the guard against DNS rebinding.
//!
//! A program says no `Origin` and is not asked for one: what it may do is for its key to say. A browser says the
//! origin of the page with every WebSocket and every call from elsewhere, and cannot be made to lie by the page. So the
//! origin must be one of those that the server was told of, by default only pages of this machine. A page that reached
//! this server under a name of its own (DNS rebinding) is found out by its `Host`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::error::ApiError;
use super::origins::{as_address, is_loopback, without_port};
use crate::shorten::shown;

/// Checks a page's origin and the name under which it reached us. Programs pass.
pub(super) fn check(shared: &Shared, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("(not text)");
    if !shared.origins.allow(origin) {
        return Err(ApiError::WrongOrigin(shown(origin)));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = without_port(host);
    let is_ours = is_loopback(name)
        || as_address(name).is_some()
        || shared.address.as_ref().is_some_and(|address| address.is_host(host))
        || shared.origins.name_host(name);
    if is_ours { Ok(()) } else { Err(ApiError::WrongHost(shown(host))) }
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
