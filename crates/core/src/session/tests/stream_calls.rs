//! What the answers to an event stream's HTTP calls mean.

use crate::disconnect_reason::DisconnectReason;
use crate::io::{Input, StreamCall};

#[test]
fn only_a_stream_is_a_stream() {
    let lost = |call: StreamCall, status, content_type| match call.judge(status, content_type) {
        Some(Input::Lost(reason)) => Some(reason),
        _ => None,
    };
    let stream = "text/event-stream";
    let long = "é".repeat(99);
    assert_eq!(StreamCall::Events.judge(200, stream), Some(Input::Opened));
    assert_eq!(StreamCall::Events.judge(200, "Text/Event-Stream; charset=utf-8"), Some(Input::Opened));
    assert_eq!(StreamCall::First.judge(200, "application/json"), Some(Input::Alive));
    assert_eq!(StreamCall::Send.judge(200, "application/json"), None);
    for call in [StreamCall::First, StreamCall::Send, StreamCall::Events] {
        for page in ["text/html", "text/html; charset=utf-8", "", "text/plain", &long] {
            if call != StreamCall::Events && !page.starts_with("text/html") {
                assert_eq!(lost(call, 200, page), None);
                continue;
            }
            let reason = lost(call, 200, page).expect("a login page is no stream");
            assert!(matches!(&reason, DisconnectReason::Broken(message) if message.contains("login page")), "{reason}");
        }
        for status in [204, 301, 500, 503] {
            assert_eq!(lost(call, status, stream), Some(DisconnectReason::refused(status, "")));
        }
        assert!(matches!(lost(call, 0, ""), Some(DisconnectReason::Broken(_))));
    }
    let gone =
        r#"{"requestId":"r-1","code":"InvalidMcpSession.NotFound","success":false,"message":"session s not found"}"#;
    let reason = lost(StreamCall::Events, 400, gone).expect("it is refused");
    assert_eq!(reason.to_string(), "session s not found (InvalidMcpSession.NotFound, HTTP 400, request r-1)");
    for page in ["<html>Forbidden</html>", "{}", "{\"success\":true}"] {
        let reason = lost(StreamCall::Events, 400, page).expect("it is refused");
        assert_eq!(reason, DisconnectReason::refused(400, ""), "a proxy may have answered");
    }
    for status in [400, 404, 413] {
        assert_eq!(StreamCall::Send.judge(status, "text/html"), None, "it is said of this alone");
        assert_eq!(lost(StreamCall::First, status, ""), Some(DisconnectReason::refused(status, "")));
        assert_eq!(lost(StreamCall::Events, status, ""), Some(DisconnectReason::refused(status, "")));
    }
}
