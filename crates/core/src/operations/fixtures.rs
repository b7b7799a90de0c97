//! What the operations' tests share.

use serde_json::{Value, json};

use crate::config::BaseUrl;
use crate::error::ApiError;
use crate::http::{Answered, HttpRequest, HttpResponse, Operation};
use crate::operations::SessionData;
use crate::secret::Secret;

/// A session with a link that has this extension.
pub(super) fn linked(extension: &str) -> SessionData {
    SessionData {
        link_url: Some(String::from("https://h/link/s")),
        token: Secret::from("SECRET"),
        extensions: vec![extension.to_owned()],
        ..SessionData::default()
    }
}

/// An answer that worked, with these data.
pub(super) fn fine(data: Value) -> HttpResponse {
    let body = json!({"requestId": "r-1", "code": "ok", "success": true, "httpStatusCode": 200, "data": data});
    HttpResponse::new(200, None, body.to_string().into_bytes())
}

/// The document's answer for a session that is not there.
pub(super) fn not_found() -> HttpResponse {
    let body = json!({
        "requestId": "r-1", "code": "InvalidMcpSession.NotFound", "message": "session not found", "success": false,
        "httpStatusCode": 400,
    });
    HttpResponse::new(400, None, body.to_string().into_bytes())
}

/// Method and URL on one line.
pub(crate) fn line(request: &HttpRequest) -> String {
    let base = BaseUrl::parse("https://h").expect("it is a host");
    [request.method.as_str(), " ", &request.url(&base)].concat()
}

/// The body, read.
pub(crate) fn body(request: &HttpRequest) -> Value {
    request.body.as_deref().map_or(Value::Null, |body| serde_json::from_str(body).expect("bodies are JSON"))
}

/// Reads data that worked.
pub(super) fn read<O: Operation>(operation: &O, data: Value) -> O::Output {
    let answered = operation.parse(&fine(data)).expect("the data is readable");
    assert_eq!(answered.request_id, "r-1");
    answered.value
}

/// Every operation survives these, and takes none of them for something that is gone.
pub(super) fn endure<O: Operation>(operation: &O) {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e308),
        json!(""),
        json!("{"),
        json!("\"{}\""),
        json!([]),
        json!([[], {}, null, 1, "x"]),
        json!({}),
        json!({"sessionId": [], "toolList": {"a": 1}, "labels": 7, "content": "x", "result": [], "success": "no"}),
        json!({"sessionId": {"a": 1}, "toolList": "[[[", "labels": "[1]", "content": [1, null, {"text": 2}]}),
    ];
    let texts = ["", "null", "[]", "<html>", "\u{0}", "{\"success\":true,\"data\":\"\\ud800\"}"];
    let bodies = odd
        .iter()
        .map(|data| json!({"success": true, "data": data, "count": data, "nextToken": data}).to_string())
        .chain(texts.map(str::to_owned))
        .chain([["{\"success\":true,\"data\":", &"[".repeat(100_000)].concat()]);
    for text in bodies {
        for status in [0, 100, 200, 302, 400, 404, 500, u16::MAX] {
            let response = HttpResponse::new(status, None, text.clone().into_bytes());
            let outcome: Result<Answered<_>, ApiError> = operation.parse(&response);
            assert!(!matches!(outcome, Err(ApiError::NotFound(_))), "{status} {text}");
        }
    }
    assert!(matches!(operation.parse(&not_found()), Err(ApiError::NotFound(_))));
}
