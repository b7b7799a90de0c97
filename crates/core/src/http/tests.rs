use serde_json::json;

use super::*;
use crate::disconnect_reason::DisconnectReason;
use crate::error::{Malformed, Refusal};

fn base() -> BaseUrl {
    BaseUrl::parse("http://h:1/p").expect("it is a URL")
}

fn open(status: u16, header: Option<&str>, body: &str) -> Result<String, ApiError> {
    let response = HttpResponse::new(status, header.map(str::to_owned), body.as_bytes().to_vec());
    Envelope::open(&response).map(|envelope| envelope.request_id)
}

#[test]
fn urls_are_encoded() {
    let request = |path: &str| HttpRequest::new(Method::Get, path, Repeat::Safe);
    assert_eq!(request("/a").url(&base()), "http://h:1/p/a");
    assert_eq!(
        request("/a").query("x", "1").query_some("y", Some("ä&=?/ +%")).query_some("z", None::<String>).url(&base()),
        "http://h:1/p/a?x=1&y=%C3%A4%26%3D%3F%2F%20%2B%25"
    );
    assert_eq!(request("https://l/x?t=1").query("y", "").url(&base()), "https://l/x?t=1&y=");
}

#[test]
fn every_byte_survives_the_encoding() {
    let text: String = (0..=0x7FF).filter_map(char::from_u32).chain(['€', '😀']).collect();
    let mut encoded = String::new();
    encode(&text, &mut encoded);
    assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
    let mut bytes = Vec::new();
    let mut rest = encoded.as_str();
    while let Some(c) = rest.chars().next() {
        let length = if c == '%' { 3 } else { 1 };
        bytes.push(if c == '%' { u8::from_str_radix(&rest[1..3], 16).unwrap() } else { c as u8 });
        rest = &rest[length..];
    }
    assert_eq!(String::from_utf8(bytes).unwrap(), text);
}

#[test]
fn the_key_goes_to_the_endpoint_only() {
    let key = Secret::from("SECRET");
    let value = |request: &HttpRequest, name: &str| {
        let headers = request.all_headers(&key);
        headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.expose().to_owned())
    };
    let mut request = HttpRequest::new(Method::Post, "/mcp", Repeat::Unsafe);
    assert_eq!(value(&request, "authorization").as_deref(), Some("Bearer SECRET"));
    assert_eq!(value(&request, "content-type").as_deref(), Some("application/json"));
    request.path = String::from("https://link.example/callTool");
    request.headers.push(("x-access-token", Secret::from("token")));
    assert_eq!(value(&request, "authorization"), None);
    assert_eq!(value(&request, "x-access-token").as_deref(), Some("token"));
}

#[test]
fn debug_shows_no_secret() {
    let mut request = HttpRequest::new(Method::Post, "https://h/x?token=SECRET", Repeat::Unsafe).query("q", "SECRET");
    request.headers.push(("x-access-token", Secret::from("SECRET")));
    request.body = Some(String::from("SECRET"));
    let response = HttpResponse::new(200, None, b"SECRET".to_vec());
    let shown = format!("{request:?} {response:?}");
    assert!(!shown.contains("SECRET") && shown.contains("https://h/x"), "{shown}");
}

#[test]
fn long_calls_are_given_their_time() {
    let mut request = HttpRequest::new(Method::Post, "/mcp", Repeat::Unsafe);
    let minute = Duration::from_secs(60);
    assert_eq!(request.time_limit(minute), minute);
    request.expected = Duration::from_secs(30);
    assert_eq!(request.time_limit(minute), minute);
    request.expected = minute;
    assert_eq!(request.time_limit(minute), Duration::from_secs(75));
    request.expected = Duration::MAX;
    assert_eq!(request.time_limit(minute), Duration::MAX);
}

#[test]
fn request_id_from_the_body_else_from_the_header() {
    for (header, body, expected) in [
        (Some("h"), json!({"requestId": "b", "success": true}), "b"),
        (Some("h"), json!({"requestId": "", "success": true}), "h"),
        (Some("h"), json!({"requestId": 7, "success": true}), "h"),
        (Some("h"), json!({}), "h"),
        (None, json!({"success": null}), ""),
    ] {
        assert_eq!(open(200, header, &body.to_string()), Ok(expected.to_owned()), "{body}");
    }
    assert_eq!(open(500, Some("h"), "").unwrap_err().request_id(), "h");
    assert_eq!(open(400, Some("h"), r#"{"code":"X","message":"m"}"#).unwrap_err().request_id(), "h");
}

#[test]
fn failures_are_sorted_by_blame() {
    let refusal = |code: &str, message: &str, status| Refusal {
        code: code.to_owned(),
        message: message.to_owned(),
        status,
        request_id: String::new(),
    };
    for (status, body, expected) in [
        (
            400,
            json!({"success": false, "code": "InvalidMcpSession.NotFound", "message": "session not found"}),
            ApiError::NotFound(refusal("InvalidMcpSession.NotFound", "session not found", 400)),
        ),
        (
            200,
            json!({"success": false, "code": "InvalidMcpSession.NotFound", "httpStatusCode": 400}),
            ApiError::NotFound(refusal("InvalidMcpSession.NotFound", "", 400)),
        ),
        (
            400,
            json!({"success": false, "code": "Bad", "message": "Image Not Found"}),
            ApiError::NotFound(refusal("Bad", "Image Not Found", 400)),
        ),
        (500, json!({"message": "driver not found"}), ApiError::Refused(refusal("", "driver not found", 500))),
        (401, json!({"success": false}), ApiError::Unauthorized(refusal("", "", 401))),
        (403, json!({"code": 403, "message": "no"}), ApiError::Unauthorized(refusal("403", "no", 403))),
        (
            403,
            json!({"success": false, "code": "InvalidFile.ReadOnly", "message": "the system's"}),
            ApiError::Refused(refusal("InvalidFile.ReadOnly", "the system's", 403)),
        ),
        (200, json!({"success": false}), ApiError::Refused(refusal("", "", 200))),
        (200, json!({"success": false, "httpStatusCode": 99999}), ApiError::Refused(refusal("", "", 200))),
        (429, json!({"success": true, "code": "Slow"}), ApiError::Refused(refusal("Slow", "", 429))),
    ] {
        assert_eq!(open(status, None, &body.to_string()), Err(expected), "{status} {body}");
    }
    assert!(matches!(open(401, None, "<html>"), Err(ApiError::Unauthorized(_))));
}

#[test]
fn what_is_no_envelope_is_malformed_and_says_so() {
    for (status, body, problem, start) in [
        (200, "", "it is empty", ""),
        (204, " \n", "it is empty", ""),
        (502, "<html><h1>Bad Gateway</h1></html>", "it is not JSON", "<html><h1>Bad Gateway</h1></html>"),
        (404, r#"{"detail":"Not Found"}"#, "it is an error without a code or a message", r#"{"detail":"…"}"#),
        (200, "[]", "it is not a JSON object", "[]"),
        (200, "null", "it is not a JSON object", "null"),
        (200, r#"{"data":{"token":"SECRET"#, "it is not JSON", r#"{"data":{"token":"…""#),
    ] {
        let expected =
            Malformed { status, problem: problem.to_owned(), start: start.to_owned(), request_id: String::new() };
        assert_eq!(open(status, None, body), Err(ApiError::Malformed(expected)), "{body}");
    }
    assert!(matches!(open(200, None, &"{\"data\":".repeat(50_000)), Err(ApiError::Malformed(_))));
}

#[test]
fn bodies_that_are_no_utf8_are_read() {
    let response = HttpResponse::new(200, None, b"{\"requestId\":\"a\xFF\"}".to_vec());
    assert_eq!(Envelope::open(&response).map(|envelope| envelope.request_id).as_deref(), Ok("a\u{fffd}"));
}

/// A stream's refusal is read by another reader than a plain call's.
#[test]
fn a_refused_stream_is_blamed_as_a_plain_call_is() {
    for body in [
        r#"{"requestId":"r","code":"InvalidMcpSession.NotFound","success":false,"message":"gone"}"#,
        r#"{"Code":"Quota","Message":"session not found","request_id":"x"}"#,
        r#"{"code":42,"message":"a number"}"#,
        r#"{"errorMessage":"only words"}"#,
        r#"{"code":"InvalidFile.ReadOnly","message":"a file"}"#,
        r#"{"detail":"another service"}"#,
        "{}",
        "<html>a proxy</html>",
    ] {
        for status in [400, 401, 403, 404, 429, 503] {
            let answer = HttpResponse { status, request_id_header: None, body: body.to_owned(), retry_after: None };
            let plain = Envelope::open(&answer).expect_err("it is a refusal");
            let plain = Some(plain.blame_token()).filter(|error| !matches!(error, ApiError::Malformed(_)));
            let refused = DisconnectReason::refused(status, body);
            let expected = plain.as_ref().map(|error| (error.name(), error.own_code()));
            assert_eq!(refused.refusal(), expected, "{status} {body}");
            if let Some(plain) = plain {
                assert_eq!(refused.to_string(), plain.to_string(), "{status} {body}");
            }
        }
    }
    assert_eq!(refusal_of_stream(401, ""), None);
}
