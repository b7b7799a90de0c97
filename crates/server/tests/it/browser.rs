//! Web pages as clients: accesses, sub-protocols, close codes, origins, CORS.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WsError;

use crate::support::{KEY, PATIENCE, Reply, Socket, TestServer, TestSession, text_of};

pub(crate) const PAGE: &str = "http://localhost:5173";

async fn grant(server: &TestServer, session: &TestSession, body: Value) -> Reply {
    let url = format!("{}/browserAccess", session.link_url);
    let request = server.http.post(url).header("X-Access-Token", &session.token).json(&body);
    Reply::of(request.send().await.expect("an answer")).await
}

pub(crate) async fn token(server: &TestServer, session: &TestSession, body: Value) -> String {
    grant(server, session, body).await.ok()["token"].as_str().expect("a token").to_owned()
}

/// Connects as a browser does: the token as a sub-protocol, the page's origin.
pub(crate) async fn open(url: &str, token: &str, origin: &str) -> Result<Socket, u16> {
    let mut request = url.into_client_request().expect("a URL");
    let headers = request.headers_mut();
    let protocols = format!("agb.v1, agb.token.{token}");
    headers.insert("Sec-WebSocket-Protocol", protocols.parse().expect("a header"));
    headers.insert("Origin", origin.parse().expect("a header"));
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, response)) => {
            assert_eq!(response.headers().get("sec-websocket-protocol").expect("one is selected"), "agb.v1");
            Ok(Socket(socket))
        }
        Err(WsError::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("no connection: {error}"),
    }
}

/// The code and the words with which a connection is closed.
async fn goodbye(socket: &mut Socket) -> (u16, String) {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.0.next()).await.expect("the end in time");
        match message.expect("a close frame").expect("a message") {
            Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.to_string()),
            Message::Close(None) => panic!("closed without a code"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_access_runs_code_in_its_session() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let access = grant(&server, &session, json!({})).await.ok();
    assert_eq!((&access["sessionId"], &access["scope"]), (&json!(session.id), &json!("run")));
    assert_eq!((&access["wsUrl"], &access["linkUrl"]), (&json!(session.ws_url), &json!(session.link_url)));
    assert_eq!(
        access["extensions"],
        json!([
            "resume",
            "flow",
            "cancel",
            "stdin",
            "stdinSeq",
            "http",
            "heartbeat",
            "files",
            "command",
            "fileWatch",
            "sessionOptions",
            "folders"
        ])
    );
    assert!(access["expiresAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{access}");
    let token = access["token"].as_str().expect("a token");
    assert_ne!(token, session.token);

    let mut socket = open(&session.ws_url, token, PAGE).await.expect("a connection");
    socket.start("r", "python", "print(6 * 7)").await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "42\n");
    let page = TestSession { token: token.to_owned(), ..session.clone() };
    let echoed = server.call(&page, "shell", json!({ "command": "echo $((1+1))" })).await.expect("it works");
    assert!(!echoed.is_empty());
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn an_access_gives_out_no_others() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let token = token(&server, &session, json!({})).await;
    let page = TestSession { token, ..session };
    grant(&server, &page, json!({})).await.is_error(403, "InvalidAccessToken.NotOwner", "created the session");
    server.stop().await;
}

#[tokio::test]
async fn refusals_are_close_codes_that_a_page_can_see() {
    let server = TestServer::start().await;
    let (session, other) = (server.create().await, server.create().await);
    let good = token(&server, &session, json!({})).await;
    let mut expired =
        open(&session.ws_url, &token(&server, &session, json!({ "lastsS": 1 })).await, PAGE).await.unwrap();
    let cases = [
        (session.ws_url.clone(), "guess".to_owned(), PAGE, 4401, "fetch it anew"),
        (other.ws_url.clone(), good.clone(), PAGE, 4403, "for another session"),
        (session.ws_url.clone(), good.clone(), "https://evil.example", 4403, "--allow-origin"),
        (session.ws_url.clone(), good.clone(), "null", 4403, "--allow-origin"),
        (session.ws_url.replace("session-", "session-0"), good.clone(), PAGE, 4404, "not found"),
    ];
    for (url, token, origin, code, words) in cases {
        let (closed, reason) = goodbye(&mut open(&url, &token, origin).await.expect("it is let in to be told")).await;
        assert_eq!(closed, code, "{reason}");
        assert!(reason.contains(words) && reason.len() <= 123 && !reason.contains(&token), "{reason}");
    }
    // One that was open when its access ended, and one that comes afterwards.
    let (code, reason) = goodbye(&mut expired).await;
    assert!(code == 4401 && reason.contains("expired"), "{code} {reason}");
    server.stop().await;
}

#[tokio::test]
async fn a_page_for_which_there_is_no_room_is_told_to_come_again() {
    let server = TestServer::with(|config| config.limits.max_connections_per_session = 1).await;
    let session = server.create().await;
    let token = token(&server, &session, json!({})).await;
    let held = open(&session.ws_url, &token, PAGE).await.expect("there is room");
    let (code, reason) =
        goodbye(&mut open(&session.ws_url, &token, PAGE).await.expect("it is let in to be told")).await;
    assert_eq!(code, 1013, "{reason}");
    drop(held);
    server.stop().await;
}

#[tokio::test]
async fn an_access_can_be_renewed_without_the_page_noticing() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let token = token(&server, &session, json!({ "lastsS": 1 })).await;
    let mut socket = open(&session.ws_url, &token, PAGE).await.expect("a connection");
    let renewed = grant(&server, &session, json!({ "renew": token, "lastsS": 60 })).await.ok();
    assert_eq!(renewed["token"], json!(token));
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    socket.start("r", "python", "print(1)").await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "1\n");
    let other = server.create().await;
    let refused = grant(&server, &other, json!({ "renew": token })).await;
    refused.is_error(403, "InvalidAccessToken.OtherSession", "another session");
    grant(&server, &session, json!({ "renew": "guess" })).await.is_error(400, "InvalidParameter.Value", "renew");
    for bad in [json!({ "scope": "write" }), json!({ "lastsS": 0 }), json!({ "lastsS": 1_000_000 })] {
        grant(&server, &session, bad).await.is_error(400, "InvalidParameter.Value", "must be");
    }
    drop(socket);
    server.stop().await;
}

#[tokio::test]
async fn one_for_watching_runs_nothing() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let token = token(&server, &session, json!({ "scope": "read" })).await;
    let mut socket = open(&session.ws_url, &token, PAGE).await.expect("a connection");
    socket.start("r", "python", "open('trace', 'w')").await;
    let events = socket.until_end().await;
    assert!(events.iter().any(|event| event.to_string().contains("watching only")), "{events:?}");
    assert_eq!(events.last().expect("an end")["status"], "failed");
    // Nor does it stop what others run.
    let mut owner = session.connect().await;
    owner.start("long", "python", "import time\ntime.sleep(0.5)\nprint('done')").await;
    socket.request("long", json!({ "method": "cancel" })).await;
    assert_eq!(text_of(&owner.until_end().await, "stdout"), "done\n");
    let call = server
        .http
        .post(format!("{}/callTool", session.link_url))
        .header("X-Access-Token", &token)
        .json(&json!({ "tool": "shell", "args": { "command": "true" } }));
    let reply = Reply::of(call.send().await.expect("an answer")).await;
    reply.is_error(403, "InvalidAccessToken.Scope", "watching only");
    drop((socket, owner));
    server.stop().await;
}

#[tokio::test]
async fn programs_have_no_origin_and_are_refused_by_status() {
    let server = TestServer::start().await;
    let session = server.create().await;
    assert_eq!(session.try_connect(Some("guess")).await.err().map(|(status, _)| status), Some(401));
    // A page that forgets the sub-protocol sees nothing more than any page.
    let mut request = session.ws_url.as_str().into_client_request().expect("a URL");
    request.headers_mut().insert("X-Access-Token", session.token.parse().expect("a header"));
    request.headers_mut().insert("Origin", "https://evil.example".parse().expect("a header"));
    let refused = tokio_tungstenite::connect_async(request).await;
    assert!(matches!(refused, Err(WsError::Http(response)) if response.status() == 403));
    server.stop().await;
}

#[tokio::test]
async fn pages_of_this_machine_may_call_and_read_and_others_may_not() {
    let server = TestServer::start().await;
    let url = server.url("/mcp/createSession");
    let preflight = |origin: &str| {
        let request = server.http.request(reqwest::Method::OPTIONS, &url).header("Origin", origin);
        request.header("Access-Control-Request-Method", "POST").header("Access-Control-Request-Private-Network", "true")
    };
    let answer = preflight(PAGE).send().await.expect("an answer");
    assert_eq!(answer.status(), 204);
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header("access-control-allow-origin"), PAGE);
    assert!(header("access-control-allow-headers").contains("authorization"));
    assert!(header("access-control-allow-methods").contains("POST"));
    assert_eq!(header("access-control-allow-private-network"), "true");
    assert_eq!(preflight("https://evil.example").send().await.expect("an answer").status(), 403);

    let call = |origin: &str| server.http.post(&url).bearer_auth(KEY).header("Origin", origin).json(&json!({}));
    let answer = call(PAGE).send().await.expect("an answer");
    assert_eq!(answer.headers().get("access-control-allow-origin").expect("it is there"), PAGE);
    let exposed = answer.headers().get("access-control-expose-headers").expect("it is there");
    assert_eq!(exposed, "content-range, etag, retry-after, x-request-id");
    assert!(answer.headers().get_all("vary").iter().any(|vary| vary == "origin"));
    Reply::of(answer).await.ok();
    // Also an error can be read.
    let answer = server.http.post(&url).header("Origin", PAGE).send().await.expect("an answer");
    assert!(answer.status() == 401 && answer.headers().contains_key("access-control-allow-origin"));

    let refused = Reply::of(call("https://evil.example").send().await.expect("an answer")).await;
    refused.is_error(403, "InvalidOrigin.NotAllowed", "--allow-origin https://evil.example");
    let rebound = call("http://localhost:80").header("Host", "evil.example").send().await.expect("an answer");
    Reply::of(rebound).await.is_error(403, "InvalidHost.NotAllowed", "--public-url");
    server.stop().await;
}

#[tokio::test]
async fn the_server_can_be_told_of_other_origins() {
    let server = TestServer::with(|config| config.allow_origins = vec!["https://app.example.org".to_owned()]).await;
    let session = server.create().await;
    let token = token(&server, &session, json!({})).await;
    let mut socket = open(&session.ws_url, &token, "https://app.example.org").await.expect("a connection");
    socket.start("r", "python", "print(1)").await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "1\n");
    assert_eq!(goodbye(&mut open(&session.ws_url, &token, PAGE).await.unwrap()).await.0, 4403);
    drop(socket);
    server.stop().await;
}
