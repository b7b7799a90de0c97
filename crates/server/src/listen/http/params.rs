//! The parameters of a call: its query and its body, read without trust.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Query, Request};
use axum::http::{Method, header};
use http_body_util::BodyExt;
use serde_json::{Map, Value};

use super::Shared;
use super::error::ApiError;
use crate::settings::Limits;

/// The parameters of a call. A name is looked for in the body first, then in the query: clients differ.
#[derive(Debug, Default)]
pub(crate) struct Params {
    query: BTreeMap<String, String>,
    body: Map<String, Value>,
}

impl Params {
    /// A text, if there is one that is not empty. A number is taken as its text.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, ApiError> {
        let text = match self.body.get(name) {
            None | Some(Value::Null) => self.query.get(name).cloned(),
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) => return Err(ApiError::invalid(name, "it must be a text")),
        };
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// A text that must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<String, ApiError> {
        self.text(name)?.ok_or(ApiError::Missing(name))
    }

    /// A whole number, also as a text.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<u64>, ApiError> {
        self.text(name)?
            .map(|text| {
                text.trim().parse().map_err(|_| ApiError::invalid(name, "it must be a whole number, 0 or more"))
            })
            .transpose()
    }

    /// An object, also as a text of JSON.
    pub(crate) fn object(&self, name: &'static str) -> Result<Option<Map<String, Value>>, ApiError> {
        if let Some(Value::Object(object)) = self.body.get(name) {
            return Ok(Some(object.clone()));
        }
        let Some(text) = self.text(name)? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(Value::Object(object)) => Ok(Some(object)),
            Ok(_) => Err(ApiError::invalid(name, "it must be a JSON object, as a text")),
            Err(error) => Err(ApiError::invalid(name, format!("it must be a JSON object, as a text: {error}"))),
        }
    }

    /// A list, also as a text of JSON.
    pub(crate) fn list(&self, name: &'static str) -> Result<Option<Vec<Value>>, ApiError> {
        if let Some(Value::Array(items)) = self.body.get(name) {
            return Ok(Some(items.clone()));
        }
        let Some(text) = self.text(name)? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(Value::Array(items)) => Ok(Some(items)),
            _ => Err(ApiError::invalid(name, "it must be a JSON list, as a text or not")),
        }
    }

    /// The body as it came.
    pub(crate) fn into_body(self) -> Value {
        Value::Object(self.body)
    }

    /// Whether there is something under this name that is not null, empty or false.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        match self.body.get(name) {
            None => self.query.get(name).is_some_and(|text| !text.is_empty() && text != "false"),
            Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
            Some(Value::Bool(true) | Value::Number(_)) => true,
        }
    }
}

impl FromRequest<Arc<Shared>> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
            .map(|Query(pairs)| pairs.into_iter().collect())
            .map_err(|_| ApiError::invalid("query", "it is not a list of name=value"))?;
        let body = match *request.method() {
            Method::GET | Method::HEAD => Map::new(),
            _ => parse(&read(request, &shared.config.limits).await?)?,
        };
        Ok(Self { query, body })
    }
}

fn parse(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::Malformed("it is another kind of JSON".to_owned())),
        Err(error) => Err(ApiError::Malformed(error.to_string())),
    }
}

/// Reads a body within the limits of size and time.
async fn read(request: Request, limits: &Limits) -> Result<Bytes, ApiError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
        .unwrap_or(0);
    let too_large = announced > limits.max_body as u64;
    let mut body = request.into_body();
    let (mut bytes, mut dropped) = (Vec::new(), 0);
    let reading = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| ApiError::Malformed("the connection broke within it".to_owned()))?;
            let Ok(data) = frame.into_data() else { continue };
            if too_large || bytes.len() + data.len() > limits.max_body {
                bytes = Vec::new();
                dropped += data.len();
                // Some of the rest is read all the same: a client that is still writing would not see the answer.
                if dropped > DRAINED {
                    break;
                }
            } else {
                bytes.extend_from_slice(&data);
            }
        }
        Ok::<(), ApiError>(())
    };
    match tokio::time::timeout(limits.read_timeout, reading).await {
        Ok(result) => result?,
        Err(_) => return Err(ApiError::TooSlow { seconds: limits.read_timeout.as_secs() }),
    }
    if too_large || dropped > 0 {
        return Err(ApiError::TooLarge { limit: limits.max_body });
    }
    Ok(bytes.into())
}

/// What is read of a body that is too large anyway, so that the client comes to hear of it.
const DRAINED: usize = 64 * 1024 * 1024;
