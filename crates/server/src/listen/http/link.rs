//! What a session's own token opens: its WebSocket and its link.

use std::sync::Arc;

use agb_client::agb_core::operations::ToolResult;
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::Shared;
use super::browser;
use super::entry::{self, Entry, enter};
use super::error::ApiError;
use super::handshake::Handshake;
use super::params::{MAX_OF_READER, Params};
use super::written::written;
use crate::listen::listener::ConnectionPermit;
use crate::listen::websocket::Connection;
use crate::tools;

/// `GET /ws/{sessionId}`
///
/// A browser can neither set a header nor see the status of a handshake that was refused. So its token comes as a
/// sub-protocol beside the one that is selected, and a refusal is a connection that is closed with a code and a reason.
pub(super) async fn connect(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    permit: Option<Extension<Arc<ConnectionPermit>>>,
    handshake: Result<Handshake, ApiError>,
) -> Result<Response, ApiError> {
    let entry = browser::check(&shared, &headers).and_then(|()| {
        let Path(id) = path.map_err(|_| ApiError::NoRoute("such path".to_owned()))?;
        let entry = enter(&shared, &id, &headers)?;
        let permit = entry.session.connect(&entry.grant)?;
        Ok((entry, permit))
    });
    let is_browser = entry::offered(&headers).any(|protocol| protocol == PROTOCOL);
    let entry = match entry {
        Err(error) if !is_browser => return Err(error),
        entry => entry,
    };
    let limits = &shared.config.limits;
    // Whoever only watches has acknowledgements to send, and nothing larger.
    let may_run = entry.as_ref().is_ok_and(|(entry, _)| entry.grant.may_run().is_ok());
    let largest = if may_run { limits.max_message } else { limits.max_message.min(MAX_OF_READER) };
    Ok(handshake?.accept(PROTOCOL, largest, async move |socket| {
        match entry {
            Ok((Entry { session, grant }, _permit)) => {
                let socket_of = permit.as_ref().map(|permit| (permit.meter().clone(), permit.cut().clone()));
                Connection::serve(socket, session, grant, socket_of.unwrap_or_default()).await;
            }
            Err(error) => Connection::turn_away(socket, &error).await,
        }
        drop(permit);
    }))
}

/// `POST /link/{sessionId}/callTool`
pub(super) async fn call(
    Extension(Entry { session, .. }): Extension<Entry>,
    params: Params,
) -> Result<Response, ApiError> {
    let read = |params: &Params| Ok((params.required("tool")?, params.object("args")?.unwrap_or_default()));
    let ((name, args), _params) = params.read(Some(&session), read).await?;
    if let Some(upstream) = session.upstream().filter(|_| !tools::is_of_runs(&name, &session)) {
        let _activity = session.begin(args.memory_size())?;
        let (ToolResult { content, is_error }, held) = upstream.call_tool(&name, &args, session.budget()).await?;
        let answer = Called { result: ResultThere { content, is_error } };
        // A large one counts already, by what it takes.
        let bytes = held.bytes();
        let write = move || written(&answer, held.another());
        return tools::apart(session.budget(), bytes, write).await.ok_or(ApiError::Defect)?;
    }
    let tool = tools::find(&name)?;
    let result = tool.call(&session, args).await?;
    let bytes = result.size();
    let write = move || written(&Called { result: &result }, result.charge());
    tools::apart(session.budget(), bytes, write).await.ok_or(ApiError::Defect)?
}

/// What the call answers.
#[derive(Serialize)]
struct Called<T> {
    result: T,
}

/// A result of the upstream's.
#[derive(Serialize)]
struct ResultThere {
    content: Vec<Value>,
    #[serde(rename = "isError")]
    is_error: bool,
}

/// The sub-protocol that browsers' clients speak.
const PROTOCOL: &str = "agb.v1";
