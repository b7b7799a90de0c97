//! `GET /healthz`, `/readyz` and `/metrics`: for those who look after the server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Shared;

/// `GET /healthz`: the process answers. Says nothing else, so nobody needs a key.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: it takes new sessions; not while it ends. Whether there is room for one is a matter of limits.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.sessions.is_open() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "ending\n").into_response()
    }
}

/// `GET /metrics`, with the API key like every other call. Not even this machine goes without: behind a reverse proxy
/// everybody comes from here. Prometheus sends it with `authorization: {credentials_file: …}`.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let text = shared.metrics.text(&shared.sessions.census());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}
