//! What a session's own token opens: its WebSocket and its link.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::answer::Answer;
use super::error::ApiError;
use super::params::Params;
use crate::connection::Connection;
use crate::server::{Seat, Shared};
use crate::session::{Session, Stage};
use crate::tools;

/// `GET /ws/{sessionId}`
pub(super) async fn connect(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    seat: Option<Extension<Seat>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let session = open(&shared, path, &headers)?;
    let limits = &shared.config.limits;
    let upgrade = upgrade.map_err(|rejection| ApiError::NoUpgrade(rejection.body_text()))?;
    Ok(upgrade
        .max_message_size(limits.max_message)
        .max_frame_size(limits.max_message)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a WebSocket handshake broke off"))
        .on_upgrade(async move |socket| {
            Connection::serve(socket, session).await;
            drop(seat);
        }))
}

/// `POST /link/{sessionId}/callTool`
pub(super) async fn call(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    params: Params,
) -> Result<Answer, ApiError> {
    let session = open(&shared, path, &headers)?;
    let tool = tools::find(&params.required("tool")?)?;
    let args = params.object("args")?.unwrap_or_default();
    let answer = tool.call(&session, args).await?;
    Ok(Answer::new(json!({ "result": answer.to_json() })))
}

/// Finds the session and checks the token. Without any token nobody learns whether the session exists.
fn open(
    shared: &Shared,
    path: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
) -> Result<Arc<Session>, ApiError> {
    let Path(id) = path.map_err(|_| ApiError::NoRoute("such path".to_owned()))?;
    let token = headers.get("x-access-token").ok_or(ApiError::NoToken)?;
    let session = shared.find(&id)?;
    if !token.to_str().is_ok_and(|token| session.token().matches(token)) {
        return Err(ApiError::WrongToken);
    }
    if session.stage() != Stage::Running {
        return Err(ApiError::SessionEnding(id));
    }
    Ok(session)
}
