use serde_json::json;

use super::*;
use crate::operations::Tool;
use crate::operations::fixtures::{body, endure, fine, line, read};

fn session() -> SessionData {
    let server = String::from("fs");
    SessionData {
        session_id: String::from("s-1"),
        image_id: Some(String::from("i")),
        link_url: Some(String::from("https://link.example/base/")),
        token: Secret::from("SECRET"),
        tools: vec![
            Tool { name: String::from("read_file"), server, ..Tool::default() },
            Tool { name: String::from("unserved"), ..Tool::default() },
        ],
        ..SessionData::default()
    }
}

fn call(session: &SessionData, name: &str) -> CallTool {
    CallTool {
        name: name.to_owned(),
        arguments: object([("path", "/a".into())]),
        route: ToolRoute::choose(session, name, String::from("q-1")),
    }
}

#[test]
fn the_link_is_taken_when_everything_for_it_is_there() {
    let is_link = |session: &SessionData, tool: &str| matches!(call(session, tool).route, ToolRoute::Link { .. });
    assert!(is_link(&session(), "read_file"));
    assert!(!is_link(&session(), "unserved"));
    assert!(!is_link(&session(), "unknown"));
    assert!(!is_link(&SessionData { token: Secret::default(), ..session() }, "read_file"));
    assert!(!is_link(&SessionData { tools: Vec::new(), ..session() }, "read_file"));
    for url in [None, Some(""), Some("file:///etc"), Some("link.example"), Some("https://u:p@h"), Some("https://h?x")] {
        assert!(!is_link(&SessionData { link_url: url.map(str::to_owned), ..session() }, "read_file"), "{url:?}");
    }
}

#[test]
fn the_request_through_the_link() {
    let request = call(&session(), "read_file").request();
    assert_eq!(line(&request), "POST https://link.example/base/callTool");
    assert_eq!(
        body(&request),
        json!({"args": {"path": "/a"}, "server": "fs", "requestId": "q-1", "tool": "read_file", "token": "SECRET"})
    );
    assert_eq!(request.headers, [("x-access-token", Secret::from("SECRET"))]);
    let headers = request.all_headers(&Secret::from("KEY"));
    assert!(headers.iter().all(|(_, value)| !value.expose().contains("KEY")));
    assert_eq!(request.repeat, Repeat::Unsafe);
    assert!(!format!("{request:?}{:?}", call(&session(), "read_file")).contains("SECRET"));
}

#[test]
fn the_request_through_the_gateway() {
    let known = call(&SessionData { link_url: None, ..session() }, "read_file").request();
    assert_eq!(line(&known), "POST https://h/mcp?autoGenSession=false&imageId=i");
    assert_eq!(
        body(&known),
        json!({"name": "read_file", "args": "{\"path\":\"/a\"}", "sessionId": "s-1", "server": "fs"})
    );
    let unknown = call(&SessionData { image_id: None, ..session() }, "unknown").request();
    assert_eq!(line(&unknown), "POST https://h/mcp?autoGenSession=false");
    assert_eq!(body(&unknown), json!({"name": "unknown", "args": "{\"path\":\"/a\"}", "sessionId": "s-1"}));
}

#[test]
fn a_tool_is_given_the_time_that_its_arguments_ask_for() {
    for (arguments, expected) in [
        (json!({}), Duration::ZERO),
        (json!({"timeout_s": 90}), Duration::from_secs(90)),
        (json!({"timeout_s": 0.5, "timeout_ms": 9}), Duration::from_millis(500)),
        (json!({"timeout_ms": 1500}), Duration::from_millis(1500)),
        (json!({"timeout_s": -1}), Duration::ZERO),
        (json!({"timeout_s": 1e300}), Duration::ZERO),
        (json!({"timeout_s": "90"}), Duration::ZERO),
    ] {
        let Value::Object(arguments) = arguments else { unreachable!("object literals") };
        let call = CallTool { arguments, ..call(&session(), "run_code") };
        assert_eq!(call.request().expected, expected);
    }
}

#[test]
fn answers_are_read_in_every_quoting_on_both_ways() {
    let result = json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "isError": true});
    let below = json!({"result": result});
    let quoted = json!({"result": result.to_string()});
    for session in [session(), SessionData { link_url: None, ..session() }] {
        for data in [
            result.clone(),
            json!(result.to_string()),
            below.clone(),
            json!(below.to_string()),
            json!(json!(below.to_string()).to_string()),
            quoted.clone(),
        ] {
            let answer = read(&call(&session, "read_file"), data);
            assert_eq!((answer.is_error, answer.text().as_str()), (true, "a\nb"));
            assert_eq!(answer.content_json(), result["content"].to_string());
        }
    }
}

#[test]
fn odd_content_is_kept() {
    let call = call(&session(), "read_file");
    let answer = read(&call, json!({"content": [{"blob": "AA=="}, 3, {"text": 1}, {"text": "t"}]}));
    assert_eq!((answer.texts(), answer.binary(), answer.is_error), (vec!["t"], Some("AA=="), false));
    assert_eq!(answer.content.len(), 4);
    let data = read(&call, json!({"content": [{"type": "image", "data": "BB=="}]}));
    assert_eq!(data.binary(), Some("BB=="));
    assert_eq!(read(&call, json!("just text")).text(), "just text");
    assert_eq!(read(&call, json!({"content": "x", "isError": true})).text(), "x");
    for data in [json!(null), json!({}), json!([]), json!({"content": 1}), json!({"result": null})] {
        assert_eq!(call.parse(&fine(data)).unwrap_err().code(), "MALFORMED");
    }
}

#[test]
fn the_link_has_its_own_request_id_and_blames_the_token() {
    let call = call(&session(), "read_file");
    let answer = |status: u16, header: Option<&str>, body: &str| {
        call.parse(&HttpResponse::new(status, header.map(str::to_owned), body.as_bytes().to_vec()))
    };
    let data = r#"{"data":{"content":[]}}"#;
    assert_eq!(answer(200, None, data).unwrap().request_id, "q-1");
    assert_eq!(answer(200, Some("h"), data).unwrap().request_id, "h");
    let error = answer(401, None, "").unwrap_err();
    assert_eq!(error.code(), "INVALID_TOKEN");
    assert!(error.to_string().contains("get the session again"), "{error}");
    let echoed = answer(403, None, r#"{"code":"C","message":"bad SECRET"}"#).unwrap_err();
    assert_eq!(echoed.code(), "C");
    assert!(!echoed.to_string().contains("SECRET"));
}

#[test]
fn endures_hostile_answers() {
    endure(&call(&session(), "read_file"));
    endure(&call(&SessionData { link_url: None, ..session() }, "read_file"));
}
