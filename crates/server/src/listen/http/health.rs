//! `GET /healthz`, `/readyz` and `/metrics`: for those who look after the server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{ApiError, Shared};
use crate::cluster::Standing;

/// `GET /healthz`: the process answers. Says nothing else, so nobody needs a key.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: it takes new sessions; not while it ends, nor before its cluster knows it. Whether there is room for
/// one is a matter of limits. A registry that is away later does not count: then no server of the cluster were ready.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let not = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    if !shared.sessions.is_open() {
        return not("ending\n".to_owned());
    }
    let Some(cluster) = &shared.cluster else { return "ready\n".into_response() };
    match cluster.standing() {
        Standing::Good | Standing::Doubtful => "ready\n".into_response(),
        Standing::Joining if cluster.away().is_some() => not("joining: the registry does not answer\n".to_owned()),
        Standing::Joining => not("joining\n".to_owned()),
        Standing::Draining => not("draining\n".to_owned()),
        Standing::Condemned => not("declared lost\n".to_owned()),
    }
}

/// `GET /cluster/alive`: which run of a server this is. The others ask when the registry has not heard of it for a
/// while; like [`live`] it is open to everybody, and opens nothing. One that is about to join says that it is none of
/// those on record.
pub(super) async fn alive(State(shared): State<Arc<Shared>>) -> Result<Response, ApiError> {
    let cluster = shared.cluster.as_ref().ok_or_else(|| ApiError::NoRoute("/cluster/alive".to_owned()))?;
    Ok(match cluster.identity() {
        Some(inc) => format!("{inc}\n").into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "joining\n").into_response(),
    })
}

/// `GET /metrics`, with the API key like every other call. Not even this machine goes without: behind a reverse proxy
/// everybody comes from here. Prometheus sends it with `authorization: {credentials_file: …}`.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let sessions = shared.sessions.census();
    let cluster = shared.cluster.as_ref().map(|cluster| {
        let max = shared.config.limits.max_sessions as u64;
        cluster.census(max.saturating_sub(sessions.sessions as u64), &shared.keys.fingerprint())
    });
    let text = shared.metrics.text(&sessions, cluster.as_ref());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}
