//! The envelope of every answer.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::random;

/// An answer that is not an error.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    data: Value,
    beside: Map<String, Value>,
}

impl Answer {
    /// An answer with this `data`.
    pub(crate) fn new(data: Value) -> Self {
        Self { data, beside: Map::new() }
    }

    /// Puts a field beside `data`.
    pub(crate) fn beside(mut self, name: &str, value: Value) -> Self {
        self.beside.insert(name.to_owned(), value);
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut fields = self.beside;
        fields.insert("data".to_owned(), self.data);
        // The message stays empty: the published client shows it instead of a tool's own error where there is one.
        let mut response = envelope(StatusCode::OK, "ok", "", Some(fields));
        response.extensions_mut().insert(Code("ok"));
        response
    }
}

/// The code in an answer's envelope, for those that count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code(pub(super) &'static str);

/// `{"requestId","code","message","success","httpStatusCode","data"}`, with the request id as a header as well.
pub(super) fn envelope(status: StatusCode, code: &str, message: &str, fields: Option<Map<String, Value>>) -> Response {
    let request_id = random::request_id();
    if status != StatusCode::OK {
        tracing::debug!(request_id, %status, code, message, "refused");
    }
    let success = fields.is_some();
    let mut body = fields.unwrap_or_else(|| Map::from_iter([("data".to_owned(), Value::Null)]));
    body.insert("requestId".to_owned(), json!(request_id));
    body.insert("code".to_owned(), json!(code));
    body.insert("message".to_owned(), json!(message));
    body.insert("success".to_owned(), json!(success));
    body.insert("httpStatusCode".to_owned(), json!(status.as_u16()));
    respond(status, Body::from(Value::Object(body).to_string()), &request_id)
}

/// The same around what is written as it goes out.
#[derive(Serialize)]
pub(super) struct WrittenEnvelope<'a, T> {
    code: &'a str,
    data: &'a T,
    #[serde(rename = "httpStatusCode")]
    status: u16,
    message: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
    success: bool,
}

impl<'a, T: Serialize> WrittenEnvelope<'a, T> {
    /// That of an answer that is not an error.
    pub(super) fn new(data: &'a T, request_id: &'a str) -> Self {
        Self { code: "ok", data, status: StatusCode::OK.as_u16(), message: "", request_id, success: true }
    }

    /// The answer, once it was written.
    pub(super) fn respond(&self, body: Body) -> Response {
        let mut response = respond(StatusCode::OK, body, self.request_id);
        response.extensions_mut().insert(Code("ok"));
        response
    }
}

fn respond(status: StatusCode, body: Body, request_id: &str) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    response
}
