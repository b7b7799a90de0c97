//! The calls that list and call tools with the API key.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::Shared;
use super::answer::Answer;
use super::error::ApiError;
use super::params::Params;
use super::written::written;
use crate::tools;

/// `POST /mcp/listTools`
pub(super) async fn list(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    shared.config.images.find(params.text("imageId")?.as_deref())?;
    Ok(Answer::new(json!(tools::list())))
}

/// `POST /mcp`
pub(super) async fn call(State(shared): State<Arc<Shared>>, params: Params) -> Result<Response, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    let tool = tools::find(&params.required("name")?)?;
    let read = |params: &Params| Ok(params.object("args")?.unwrap_or_default());
    let (args, _params) = params.read(Some(&session), read).await?;
    let answer = tool.call(&session, args).await?;
    let bytes = answer.size();
    let write = move || written(&answer, answer.charge());
    tools::apart(session.budget(), bytes, write).await.ok_or(ApiError::Defect)?
}
