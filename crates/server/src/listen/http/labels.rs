//! The calls about labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use agb_protocol::fields::{Field, Fields};
use axum::extract::State;
use serde_json::json;

use super::Shared;
use super::answer::Answer;
use super::error::ApiError;
use super::params::Params;

/// A session's labels.
pub(super) type Labels = BTreeMap<String, String>;

/// Labels tell sessions apart; what is larger is data.
const MAX_LABELS: usize = 64;
/// As above, for a key or a value.
const MAX_LABEL: usize = 1024;

/// `POST /sdk/SetLabel`
pub(super) async fn set(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    // `Labels` is what the published clients write.
    let read = |params: &Params| {
        let given = match params.object("Labels")? {
            None => params.object("labels")?,
            given => given,
        };
        parse(Some(given.ok_or(ApiError::Missing("Labels"))?), "Labels")
    };
    let (labels, _params) = params.read(Some(&session), read).await?;
    session.set_labels(labels);
    session.touch();
    Ok(Answer::default())
}

/// `GET /sdk/GetLabel`
pub(super) async fn get(State(shared): State<Arc<Shared>>, params: Params) -> Result<Answer, ApiError> {
    let session = shared.find(&params.required("sessionId")?)?;
    let labels = json!(session.labels()).to_string();
    Ok(Answer::new(json!({ "labels": labels })))
}

/// Reads labels: an object of texts.
pub(super) fn parse(given: Option<Fields>, name: &'static str) -> Result<Labels, ApiError> {
    let given = given.unwrap_or_default();
    if given.len() > MAX_LABELS {
        return Err(ApiError::invalid(name, format!("there are more than {MAX_LABELS}")));
    }
    given
        .into_iter()
        .map(|(key, value)| match value {
            _ if key.trim().is_empty() => Err(ApiError::invalid(name, "a key is empty")),
            _ if key.len() > MAX_LABEL => {
                Err(ApiError::invalid(name, format!("a key has more than {MAX_LABEL} bytes")))
            }
            Field::Text(value) if value.len() <= MAX_LABEL => Ok((key, value)),
            Field::Text(_) => {
                Err(ApiError::invalid(name, format!("the value of {key:?} has more than {MAX_LABEL} bytes")))
            }
            Field::Json(_) => Err(ApiError::invalid(name, format!("the value of {key:?} is not a text"))),
        })
        .collect()
}
