//! Everything that can be wrong with an HTTP call: each gets a clear error in the envelope, with the right status.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{KEY, PATIENCE, Reply, TestServer};

const WITH_KEY: [(&str, &str); 13] = [
    ("POST", "/mcp/createSession"),
    ("POST", "/mcp/getSession"),
    ("POST", "/mcp/getSessionInfo"),
    ("POST", "/mcp/releaseSession"),
    ("POST", "/mcp/releaseSessionAsync"),
    ("POST", "/mcp/refreshSessionIdleTime"),
    ("POST", "/mcp/getMcpResource"),
    ("POST", "/mcp/listTools"),
    ("POST", "/mcp"),
    ("GET", "/sdk/ListSession"),
    ("POST", "/sdk/SetLabel"),
    ("GET", "/sdk/GetLabel"),
    ("GET", "/internet/getLink"),
];

#[tokio::test]
async fn every_route_wants_the_key_and_its_own_method() {
    let server = TestServer::start().await;
    for (method, path) in WITH_KEY {
        let request = |method: &str| server.http.request(method.parse().expect("a method"), server.url(path));
        let reply = Reply::of(request(method).send().await.expect("an answer")).await;
        reply.is_error(401, "InvalidApiKey.Missing", "authorization: Bearer");
        for key in ["", "wrong", &KEY[1..], &format!("{KEY}x")] {
            let reply = Reply::of(request(method).bearer_auth(key).send().await.expect("an answer")).await;
            assert_eq!(reply.status, 401, "{path} {key:?}");
        }
        let reply = Reply::of(request(method).header("authorization", KEY).send().await.expect("an answer")).await;
        reply.is_error(401, "InvalidApiKey.Missing", "Bearer");
        let wrong = if method == "GET" { "POST" } else { "GET" };
        let reply = Reply::of(request(wrong).bearer_auth(KEY).send().await.expect("an answer")).await;
        reply.is_error(405, "InvalidMethod.NotAllowed", path);
    }
    for path in ["/", "/mcp/", "/mcp/nothing", "/sdk", "/link/x", "/ws"] {
        server.post(path, json!({})).await.is_error(404, "InvalidPath.NotFound", path);
    }
    server.stop().await;
}

#[tokio::test]
async fn every_body_is_taken_apart_without_harm() {
    let server = TestServer::start().await;
    let bodies: [(&[u8], &str); 8] = [
        (b"{", "EOF"),
        (b"[]", "another kind"),
        (b"\"text\"", "another kind"),
        (b"null", "another kind"),
        (b"\xff\xfe", "line 1"),
        (b"{\"a\":1}}", "trailing"),
        (b"{\"sessionId\": \"\xc3\"}", "unicode"),
        (&[b'['; 100_000], "recursion"),
    ];
    for (method, path) in WITH_KEY.into_iter().filter(|(method, _)| *method == "POST") {
        for (body, part) in bodies {
            let request = server.http.request(method.parse().expect("a method"), server.url(path)).bearer_auth(KEY);
            let reply = Reply::of(request.body(body.to_vec()).send().await.expect("an answer")).await;
            reply.is_error(400, "InvalidBody.Malformed", part);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn every_parameter_is_checked() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let missing = "InvalidParameter.Missing";
    for path in ["getSession", "getSessionInfo", "releaseSession", "releaseSessionAsync", "getMcpResource"] {
        server.post(&format!("/mcp/{path}"), json!({})).await.is_error(400, missing, "sessionId");
        let reply = server.post(&format!("/mcp/{path}"), json!({ "sessionId": ["x"] })).await;
        reply.is_error(400, "InvalidParameter.Value", "sessionId");
    }
    for path in ["/sdk/GetLabel", "/internet/getLink"] {
        server.get(path, &[]).await.is_error(400, missing, "sessionId");
        server.get(path, &[("sessionId", "nope")]).await.is_error(400, "InvalidMcpSession.NotFound", "not found");
    }
    let id = session.id.as_str();
    for (name, bad, part) in
        [("port", "30099", "30100 to 30199"), ("port", "x", "port"), ("protocolType", "ftp", "wss")]
    {
        let reply = server.get("/internet/getLink", &[("sessionId", id), (name, bad)]).await;
        reply.is_error(400, "InvalidParameter.Value", part);
    }

    let reply = server.post("/mcp/createSession?imageId=ubuntu", json!({})).await;
    reply.is_error(400, "InvalidImage.NotFound", "\"ubuntu\" is not known");
    reply.is_error(400, "InvalidImage.NotFound", "agb-code-space-1, agb-code-space-2");
    server.post("/mcp/listTools?imageId=x", json!({})).await.is_error(400, "InvalidImage.NotFound", "x");
    let list = server.post("/mcp/listTools?imageId=agb-browser-use-1", json!({})).await.ok();
    assert!(list.as_str().expect("a text").starts_with('['));

    let value = "InvalidParameter.Value";
    for (body, part) in [
        (json!({ "timeout": 0 }), "timeout"),
        (json!({ "timeout": -1 }), "timeout"),
        (json!({ "timeout": 1.5 }), "timeout"),
        (json!({ "timeout": "soon" }), "timeout"),
        (json!({ "timeout": u64::MAX }), "timeout"),
        (json!({ "timeout": true }), "timeout"),
        (json!({ "labels": "[" }), "labels"),
        (json!({ "labels": "[]" }), "labels"),
        (json!({ "labels": { "a": 1 } }), "labels"),
        (json!({ "labels": { " ": "1" } }), "labels"),
        (json!({ "labels": { "a": "x".repeat(2000) } }), "labels"),
        (
            json!({ "labels": (0..100).map(|n| (n.to_string(), "x")).collect::<std::collections::BTreeMap<_, _>>() }),
            "labels",
        ),
    ] {
        server.post("/mcp/createSession", body).await.is_error(400, value, part);
    }
    server.post("/mcp/createSession", json!({ "sessionId": "x" })).await.is_error(
        400,
        "InvalidMcpSession.NotFound",
        "x",
    );
    let reply = server.post("/mcp/createSession", json!({ "contextId": "x" })).await;
    reply.is_error(501, "NotSupported.Local", "persistenceDataList");
    for mounts in [json!([{}]), json!([1]), json!({}), json!([{ "contextId": "x", "path": "/a", "policy": [] }])] {
        let reply = server.post("/mcp/createSession", json!({ "persistenceDataList": mounts })).await;
        reply.is_error(400, value, "persistenceDataList");
    }
    for query in [("maxResults", "0"), ("maxResults", "1000"), ("maxResults", "x"), ("nextToken", "x"), ("labels", "x")]
    {
        server.get("/sdk/ListSession", &[query]).await.is_error(400, value, query.0);
    }
    server.post(&format!("/sdk/SetLabel?sessionId={id}"), json!({})).await.is_error(400, missing, "Labels");

    let call = |body: serde_json::Value| server.post("/mcp?autoGenSession=false", body);
    call(json!({ "name": "shell" })).await.is_error(400, missing, "sessionId");
    call(json!({ "sessionId": id })).await.is_error(400, missing, "name");
    call(json!({ "sessionId": id, "name": "rm" })).await.is_error(400, "InvalidTool.NotFound", "run_code, shell");
    call(json!({ "sessionId": id, "name": "shell", "args": "{" })).await.is_error(400, value, "args");
    call(json!({ "sessionId": id, "name": "shell", "args": "3" })).await.is_error(400, value, "args");
    // A tool's own complaint is an answer; its text is what the caller sees.
    let data = call(json!({ "sessionId": id, "name": "shell", "args": "{}" })).await.ok();
    assert_eq!(
        (&data["isError"], data["content"][0]["text"].as_str()),
        (&json!(true), Some("shell needs command: give it in args"))
    );
    server.stop().await;
}

#[tokio::test]
async fn the_link_and_the_socket_want_the_session_token() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let url = format!("{}/callTool", session.link_url);
    let call = |token: Option<String>, body: serde_json::Value| {
        let request = server.http.post(&url).json(&body);
        async move {
            let request = match token {
                Some(token) => request.header("X-Access-Token", token),
                None => request,
            };
            Reply::of(request.send().await.expect("an answer")).await
        }
    };
    call(None, json!({})).await.is_error(401, "InvalidAccessToken.Missing", "X-Access-Token");
    for token in ["", "x", KEY, &session.token[1..]] {
        call(Some(token.to_owned()), json!({})).await.is_error(401, "InvalidAccessToken.NotFound", "token");
    }
    let token = Some(session.token.clone());
    call(token.clone(), json!({})).await.is_error(400, "InvalidParameter.Missing", "tool");
    call(token.clone(), json!({ "tool": "x" })).await.is_error(400, "InvalidTool.NotFound", "\"x\"");
    call(token, json!({ "tool": "shell", "args": [] })).await.is_error(400, "InvalidParameter.Value", "args");

    let (status, body) = session.try_connect(None).await.err().expect("a refusal");
    assert_eq!((status, body["code"].as_str()), (401, Some("InvalidAccessToken.Missing")));
    let (status, body) = session.try_connect(Some("wrong")).await.err().expect("a refusal");
    assert_eq!((status, body["code"].as_str()), (401, Some("InvalidAccessToken.NotFound")));
    // With the token, but without an upgrade.
    let request = server.http.get(server.url(&format!("/ws/{}", session.id))).header("X-Access-Token", &session.token);
    let reply = Reply::of(request.send().await.expect("an answer")).await;
    reply.is_error(400, "InvalidUpgrade", "WebSocket");
    let request = server.http.get(server.url("/ws/%ff")).header("X-Access-Token", &session.token);
    assert_eq!(Reply::of(request.send().await.expect("an answer")).await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_in_the_envelope() {
    let server = TestServer::with(|config| config.limits.max_body = 100_000).await;
    let session = server.create().await;
    let fits = json!({ "sessionId": session.id, "x": "x".repeat(99_000) });
    assert_eq!(server.post("/mcp/getSession", fits).await.status, 200);
    for size in [100_000, 20_000_000] {
        let reply = server.post("/mcp/getSession", json!({ "x": "x".repeat(size) })).await;
        reply.is_error(413, "InvalidBody.TooLarge", "100000 bytes");
    }
    // Without a length said before.
    let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 50_000]));
    let body = reqwest::Body::wrap_stream(futures_util::StreamExt::take(chunks, 100));
    let request = server.http.post(server.url("/mcp/getSession")).bearer_auth(KEY).body(body);
    Reply::of(request.send().await.expect("an answer")).await.is_error(413, "InvalidBody.TooLarge", "larger");
    server.stop().await;
}

#[tokio::test]
async fn slow_clients_are_not_waited_for() {
    let server = TestServer::with(|config| config.limits.read_timeout = Duration::from_millis(300)).await;
    // A head that never ends.
    let mut slow = TcpStream::connect(server.address).await.expect("a connection");
    slow.write_all(b"POST /mcp HTTP/1.1\r\nHost: x\r\n").await.expect("written");
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), slow.read_to_end(&mut answer))
        .await
        .expect("hung up")
        .expect("closed");
    // A body that never comes.
    let mut slow = TcpStream::connect(server.address).await.expect("a connection");
    let head = format!(
        "POST /mcp/getSession HTTP/1.1\r\nHost: x\r\nauthorization: Bearer {KEY}\r\nContent-Length: 10\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).await.expect("written");
    let mut answer = vec![0; 4096];
    let read =
        tokio::time::timeout(Duration::from_secs(5), slow.read(&mut answer)).await.expect("an answer").expect("read");
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("InvalidBody.TooSlow"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_server_without_a_key_or_with_a_bad_url_does_not_start() {
    use agb_server::{Config, Server};
    let error = Server::new(Config::new("".into())).err().expect("an error");
    assert!(error.to_string().contains("API key is empty"), "{error}");
    let mut config = Config::new("k".into());
    config.public_url = Some("example.org".into());
    assert!(Server::new(config).err().expect("an error").to_string().contains("example.org"));
    let mut config = Config::new("k".into());
    config.data_dir = "/proc/nowhere".into();
    assert!(Server::new(config).err().expect("an error").to_string().contains("--data-dir"));
}

/// Sends a head that announces a large body, and no byte of it.
async fn head_alone(server: &TestServer, path: &str, token: Option<&str>, framing: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let token = token.map_or_else(String::new, |token| format!("x-access-token: {token}\r\n"));
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{token}{framing}\r\n\r\n", server.address);
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.expect("the answer comes without the body").expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_credential_is_checked_before_the_body_is_read() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let read_token = server.access(&session, json!({ "scope": "read" })).await;
    let run_token = server.access(&session, json!({ "scope": "run" })).await;
    let [call, access, run] =
        ["callTool", "browserAccess", "runs/a"].map(|route| format!("/link/{}/{route}", session.id));
    for framing in ["content-length: 16000000", "transfer-encoding: chunked"] {
        for path in [&call, &access, &run] {
            for (token, code) in [(None, "InvalidAccessToken.Missing"), (Some("guess"), "InvalidAccessToken.NotFound")]
            {
                let answer = head_alone(&server, path, token, framing).await;
                assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains(code), "{path} {framing}: {answer}");
            }
        }
        // Nor for an access that does not allow the call.
        for (path, token) in [(&call, &read_token), (&access, &read_token), (&access, &run_token)] {
            let answer = head_alone(&server, path, Some(token), framing).await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{path} {framing}: {answer}");
        }
    }
    for path in ["/mcp", "/mcp/createSession", "/sdk/SetLabel", "/sdk/ModifyContext"] {
        let answer = head_alone(&server, path, None, "content-length: 16000000").await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{path}: {answer}");
    }
    server.stop().await;
}
