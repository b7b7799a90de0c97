//! What a session's own token opens: its WebSocket and its link.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::json;

use super::Shared;
use super::answer::Answer;
use super::browser;
use super::error::ApiError;
use super::params::Params;
use crate::auth::access::{AccessGrant, Denied};
use crate::auth::tokens::Verdict;
use crate::listen::listener::ConnectionPermit;
use crate::listen::websocket::Connection;
use crate::session::{Session, Stage};
use crate::tools;

/// Bytes of a WebSocket that are read at once. Acknowledgements have a hundred, programs a few thousand; what is larger
/// is read in parts. It is memory of each client, and is cleared before each read: with the usual 128 KiB a waiting run
/// takes 125 KiB instead of 30, and each acknowledgement clears all of them.
const READ_BUFFER: usize = 8 * 1024;

/// `GET /ws/{sessionId}`
///
/// A browser can neither set a header nor see the status of a handshake that was refused. So its token comes as a
/// sub-protocol beside the one that is selected, and a refusal is a connection that is closed with a code and a reason.
pub(super) async fn connect(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    permit: Option<Extension<Arc<ConnectionPermit>>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let entry = browser::check(&shared, &headers).and_then(|()| enter(&shared, path, &headers));
    let is_browser = offered(&headers).any(|protocol| protocol == PROTOCOL);
    let entry = match entry {
        Err(error) if !is_browser => return Err(error),
        entry => entry,
    };
    let limits = &shared.config.limits;
    let upgrade = upgrade.map_err(|rejection| ApiError::NoUpgrade(rejection.body_text()))?;
    Ok(upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .max_message_size(limits.max_message)
        .max_frame_size(limits.max_message)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a WebSocket handshake broke off"))
        .on_upgrade(async move |socket| {
            match entry {
                Ok(Entry { session, grant }) => Connection::serve(socket, session, grant).await,
                Err(error) => Connection::turn_away(socket, &error).await,
            }
            drop(permit);
        }))
}

/// `POST /link/{sessionId}/callTool`
pub(super) async fn call(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    params: Params,
) -> Result<Answer, ApiError> {
    let Entry { session, grant } = enter(&shared, path, &headers)?;
    grant.may_run()?;
    let tool = tools::find(&params.required("tool")?)?;
    let args = params.object("args")?.unwrap_or_default();
    let answer = tool.call(&session, args).await?;
    Ok(Answer::new(json!({ "result": answer.to_json() })))
}

/// The sub-protocol that browsers' clients speak.
const PROTOCOL: &str = "agb.v1";
/// Before a token among the sub-protocols that are offered.
const TOKEN_PROTOCOL: &str = "agb.token.";

/// A session, and what its visitor may do in it.
pub(super) struct Entry {
    pub(super) session: Arc<Session>,
    pub(super) grant: AccessGrant,
}

/// Finds the session and checks the token. Without any token nobody learns whether the session exists.
pub(super) fn enter(
    shared: &Shared,
    path: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
) -> Result<Entry, ApiError> {
    let Path(id) = path.map_err(|_| ApiError::NoRoute("such path".to_owned()))?;
    let token = match headers.get("x-access-token") {
        Some(token) => token.to_str().map_err(|_| Denied::Unknown)?,
        None => offered(headers).find_map(|protocol| protocol.strip_prefix(TOKEN_PROTOCOL)).ok_or(ApiError::NoToken)?,
    };
    let session = shared.find(&id)?;
    let grant = match session.check_token(token) {
        Verdict::Good => AccessGrant::of_owner(),
        Verdict::Expired => return Err(Denied::OwnExpired.into()),
        Verdict::Unknown => shared.accesses.check(&id, token)?,
    };
    session.bucket().take().map_err(|wait| ApiError::TooOften { wait })?;
    if session.stage() != Stage::Running {
        return Err(ApiError::SessionEnding(id));
    }
    Ok(Entry { session, grant })
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim)
}
