//! Who comes in: keys, tokens, and how often they may be used.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{KEY, PATIENCE, Reply, TestServer, TestSession, is_one_hop_away};

/// Waits for an answer with this status to a call with this key.
async fn until_status(server: &TestServer, key: &str, status: u16) {
    let begin = Instant::now();
    while server.post_with(key, "/mcp/listTools").await.status() != status {
        assert!(begin.elapsed() < PATIENCE, "still not {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn keys_come_and_go_with_their_file() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("keys");
    std::fs::write(&file, "old 0123456789abcdef-old\n").expect("there is room");
    let server = TestServer::with(|config| config.api_keys_file = Some(file.clone())).await;
    for (key, status) in [("0123456789abcdef-old", 200), (KEY, 200), ("0123456789abcdef-new", 401), ("old", 401)] {
        assert_eq!(server.post_with(key, "/mcp/listTools").await.status(), status, "{key}");
    }
    let session =
        TestSession::of(&Reply::of(server.post_with("0123456789abcdef-old", "/mcp/createSession").await).await.ok());
    // As an editor does: a new file in the old one's place.
    let fresh = folder.path().join("fresh");
    std::fs::write(&fresh, "new 0123456789abcdef-new\n").expect("there is room");
    std::fs::rename(&fresh, &file).expect("the same folder");
    until_status(&server, "0123456789abcdef-new", 200).await;
    until_status(&server, "0123456789abcdef-old", 401).await;
    // What is not good changes nothing; nor does it end what goes on.
    std::fs::write(&file, "new short\n").expect("there is room");
    tokio::time::sleep(Duration::from_secs(3)).await;
    until_status(&server, "0123456789abcdef-new", 200).await;
    assert_eq!(server.run_code(&session, "python", "print(1)").await["stdout"], json!(["1\n"]));
    server.stop().await;
}

#[tokio::test]
async fn a_token_opens_its_own_session_and_not_for_ever() {
    let server = TestServer::with(|config| config.limits.token_time = Duration::from_secs(3)).await;
    let (session, other) = (server.create().await, server.create().await);
    assert_eq!((session.token.len(), session.token == other.token), (64, false));
    let call = async |id: &str, token: &str| {
        let request = server.http.post(server.url(&format!("/link/{id}/callTool"))).header("X-Access-Token", token);
        let body = json!({ "tool": "list_directory", "args": { "path": "." } });
        Reply::of(request.json(&body).send().await.expect("an answer")).await
    };
    call(&session.id, &other.token).await.is_error(401, "InvalidAccessToken.NotFound", "not this session's");
    let crossed = TestSession { token: other.token.clone(), ..session.clone() };
    assert_eq!(crossed.try_connect(Some(&other.token)).await.err().expect("a refusal").0, 401);
    // What was opened in time stays open.
    let mut socket = session.connect().await;
    let begin = Instant::now();
    while call(&session.id, &session.token).await.status != 401 {
        assert!(begin.elapsed() < PATIENCE, "the token lasts");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    call(&session.id, &session.token).await.is_error(401, "InvalidAccessToken.Expired", "fetch the session anew");
    assert_eq!(session.try_connect(Some(&session.token)).await.err().expect("a refusal").0, 401);
    let fresh = TestSession::of(&server.post("/mcp/getSession", json!({ "sessionId": session.id })).await.ok());
    assert_ne!(fresh.token, session.token);
    assert_eq!(call(&session.id, &fresh.token).await.status, 200);
    socket.start("a", "python", "print(1)").await;
    socket.until_end().await;
    server.stop().await;
}

#[tokio::test]
async fn too_many_calls_are_told_when_to_come_again() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("keys");
    std::fs::write(&file, "other 0123456789abcdef\n").expect("there is room");
    let server = TestServer::with(|config| {
        config.api_keys_file = Some(file);
        (config.limits.calls_per_second, config.limits.calls_burst) = (1, 3);
    })
    .await;
    let session = server.create().await;
    let mut statuses = Vec::new();
    for _ in 0..50 {
        let response = server.post_with(KEY, "/mcp/listTools").await;
        statuses.push(response.status().as_u16());
        if response.status() == 429 {
            assert_eq!(response.headers()["retry-after"], "1");
            Reply::of(response).await.is_error(429, "LimitExceeded.Rate", "come again in 1 s");
            break;
        }
    }
    assert!(statuses.len() >= 3 && statuses.last() == Some(&429), "{statuses:?}");
    // Others do not wait for this one: another key, a session's token, whoever has none.
    assert_eq!(server.post_with("0123456789abcdef", "/mcp/listTools").await.status(), 200);
    assert_eq!(server.post_with("wrong", "/mcp/listTools").await.status(), 401);
    server.call(&session, "list_directory", json!({ "path": "." })).await.expect("it works");
    let mut last = 200;
    for _ in 0..50 {
        let request = server.http.post(format!("{}/callTool", session.link_url)).json(&json!({}));
        last = request.header("X-Access-Token", &session.token).send().await.expect("an answer").status().as_u16();
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    server.stop().await;
}

/// Who was never given a token of a session hears the same of one that is, of one that was, and of one that never was.
#[tokio::test]
async fn a_made_up_token_learns_nothing() {
    let server = TestServer::start().await;
    let (session, other, gone) = (server.create().await, server.create().await, server.create().await);
    let of_gone = server.access(&gone, json!({ "scope": "read" })).await;
    server.release(&gone).await;
    let call = async |id: &str, token: &str| {
        let url = server.url(&format!("/link/{id}/callTool"));
        let reply = server.http.post(url).header("X-Access-Token", token).json(&json!({})).send().await;
        let mut reply = Reply::of(reply.expect("an answer")).await;
        reply.body["requestId"] = Value::Null;
        (reply.status, reply.body)
    };
    let connect = async |id: &str, token: &str| {
        let session = TestSession { ws_url: session.ws_url.replace(&session.id, id), ..session.clone() };
        let (status, mut body) = session.try_connect(Some(token)).await.err().expect("a refusal");
        body["requestId"] = Value::Null;
        (status, body)
    };
    // One that this server may have made. Of an id that no server of a cluster makes there is nothing to hide.
    let mut ids = vec![gone.id.clone(), format!("{}{}", &session.id[..session.id.len() - 32], "0".repeat(32))];
    if !is_one_hop_away() {
        ids.push("0".repeat(32));
    }
    for token in ["", "x", KEY, &other.token, &"0".repeat(64)] {
        let (refused, unopened) = (call(&session.id, token).await, connect(&session.id, token).await);
        assert_eq!((refused.0, unopened.0), (401, 401), "{token:?}");
        for id in &ids {
            assert_eq!(
                (call(id, token).await, connect(id, token).await),
                (refused.clone(), unopened.clone()),
                "{token:?}"
            );
        }
    }
    // Who was given one hears that the session has gone.
    for token in [&gone.token, &of_gone] {
        let (status, body) = call(&gone.id, token).await;
        assert_eq!((status, body["code"].as_str()), (400, Some("InvalidMcpSession.NotFound")), "{body}");
    }
    server.stop().await;
}
