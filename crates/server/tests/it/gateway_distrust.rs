//! A gateway in front of services that answer too much, or say yes to everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use agb_client::{Agb, CreateSession, Options, RunStatus, Session};
use agb_server::Config;
use agb_testkit::upstream::Upstream;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, post};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{KEY, PATIENCE, Reply, TestServer};

/// A gateway in front of a service that is made with its own address.
async fn in_front_of(service: impl FnOnce(&str) -> Router, change: impl FnOnce(&mut Config)) -> TestServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let service = service(&url);
    tokio::spawn(async move { axum::serve(listener, service).await });
    TestServer::with(|config| {
        config.api_keys.clear();
        config.upstream.url = Some(url);
        change(config);
    })
    .await
}

/// An answer in the envelope that all have.
type Answer = (StatusCode, [(&'static str, &'static str); 1], Json<Value>);

fn answer(status: StatusCode, code: &str, data: Value) -> Answer {
    let body = json!({ "success": status.is_success(), "httpStatusCode": status.as_u16(), "code": code, "message": "",
        "requestId": "r", "data": data });
    (status, [("x-request-id", "r")], Json(body))
}

/// What a service says of its one session.
fn session(url: &str) -> Answer {
    let data = json!({ "sessionId": "s-1", "token": "theirs", "linkUrl": format!("{url}/link/s-1"),
        "wsUrl": format!("{}/ws/s-1", url.replace("http", "ws")) });
    answer(StatusCode::OK, "ok", data)
}

#[tokio::test]
async fn an_answer_without_an_end_is_refused_while_it_comes() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let endless = any(move || {
        let counted = Arc::clone(&counted);
        let piece = stream::repeat(Bytes::from_static(&[b' '; 1 << 16])).map(Ok::<_, std::io::Error>);
        let piece = piece.inspect(move |_| {
            counted.fetch_add(1 << 16, Ordering::Relaxed);
        });
        std::future::ready(Body::from_stream(piece))
    });
    let service = |url: &str| {
        let session = session(url);
        Router::new().route("/mcp/createSession", post(async move || session)).fallback(endless)
    };
    let gateway = in_front_of(service, |config| {
        config.limits.session_buffers = 1 << 20;
        config.limits.buffers = 4 << 20;
    })
    .await;
    // Of a key that nobody knows, of one that is known, and of a tool by the session's link.
    gateway.post("/mcp/listTools", json!({})).await.is_error(502, "LimitExceeded.Answer", "--session-buffers");
    let created = gateway.create().await;
    gateway.post("/mcp/listTools", json!({})).await.is_error(502, "LimitExceeded.Answer", "--buffers");
    let call = gateway.http.post(format!("{}/callTool", created.link_url)).header("X-Access-Token", &created.token);
    let call = call.json(&json!({ "tool": "read_file", "args": { "path": "/tmp/a" } })).send().await;
    Reply::of(call.expect("an answer")).await.is_error(502, "LimitExceeded.Answer", "--session-buffers");
    // What is beyond the limits was on its way: the system's buffers are some MiB.
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < 48 << 20, "the gateway took {sent} bytes");
    // Everything was given back.
    let call = gateway.post("/mcp/createSession", json!({})).await;
    call.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn a_release_that_the_service_grants_to_everybody_ends_nobody_elses_session() {
    let released = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&released);
    let service = |url: &str| {
        let session = session(url);
        let known = session.clone();
        let get = async move |headers: HeaderMap| {
            let is_owner = headers.get("authorization").is_some_and(|value| value == &format!("Bearer {KEY}"));
            if is_owner && !released.load(Ordering::Relaxed) {
                return known;
            }
            answer(StatusCode::BAD_REQUEST, "InvalidMcpSession.NotFound", Value::Null)
        };
        Router::new()
            .route("/mcp/createSession", post(async move || session))
            .route("/mcp/getSession", post(get))
            .route("/mcp/releaseSession", post(async || answer(StatusCode::OK, "ok", Value::Null)))
    };
    let gateway = in_front_of(service, |_| {}).await;
    let session = gateway.create().await;
    let release = async |key: &str| {
        let call = gateway.http.post(gateway.url("/mcp/releaseSession")).bearer_auth(key);
        Reply::of(call.json(&json!({ "sessionId": "s-1" })).send().await.expect("an answer")).await.ok();
    };
    release("made-up").await;
    assert!(session.try_connect(Some(&session.token)).await.is_ok(), "it is somebody else's");
    // Another key of the same account may have released it: then it is gone for its owner, too.
    gone.store(true, Ordering::Relaxed);
    release("made-up").await;
    assert_eq!(session.try_connect(Some(&session.token)).await.err().expect("a refusal").0, 400);
    // Its owner is believed.
    gone.store(false, Ordering::Relaxed);
    let session = gateway.create().await;
    release(KEY).await;
    assert_eq!(session.try_connect(Some(&session.token)).await.err().expect("a refusal").0, 400);
    gateway.stop().await;
}

/// An object with these fields and so many objects more: seven bytes each, and seven hundred in a tree.
fn nested(fields: &str, times: usize) -> String {
    format!(r#"{{{fields},"x":[{}0]}}"#, r#"{"":0},"#.repeat(times))
}

#[tokio::test]
async fn what_is_quoted_in_an_answer_counts_before_it_is_read() {
    let times = Arc::new(AtomicUsize::new(100));
    let many = Arc::clone(&times);
    let service = move |url: &str| {
        let (session, many) = (session(url), Arc::new(move || many.load(Ordering::Relaxed)));
        let (created, called, gone) = (Arc::clone(&many), Arc::clone(&many), many);
        let create = async move || match created() {
            100 => session,
            many => answer(StatusCode::OK, "ok", nested(r#""sessionId":"s-2""#, many).into()),
        };
        let call = async move || {
            let content = r#""content":[{"type":"text","text":"said"}]"#;
            answer(StatusCode::OK, "ok", nested(content, called()).into())
        };
        let get = async move || {
            let says = r#""code":"InvalidMcpSession.NotFound","success":false"#;
            (StatusCode::BAD_REQUEST, [("content-type", "application/json")], nested(says, gone()))
        };
        Router::new()
            .route("/mcp/createSession", post(create))
            .route("/mcp/getSession", post(get))
            .route("/mcp/releaseSession", post(async || answer(StatusCode::OK, "ok", Value::Null)))
            .route("/mcp", post(call))
    };
    let gateway = in_front_of(service, |config| {
        config.limits.session_buffers = 8 << 20;
        config.limits.buffers = 64 << 20;
    })
    .await;
    let created = gateway.create().await;
    let call = async || {
        let call = gateway.http.post(format!("{}/callTool", created.link_url)).header("X-Access-Token", &created.token);
        let call = call.json(&json!({ "tool": "read_file", "args": { "path": "/tmp/a" } })).send().await;
        Reply::of(call.expect("an answer")).await
    };
    let release = async || {
        let call = gateway.http.post(gateway.url("/mcp/releaseSession")).bearer_auth("made-up");
        Reply::of(call.json(&json!({ "sessionId": "s-1" })).send().await.expect("an answer")).await.ok();
    };
    assert_eq!(call().await.ok()["result"]["content"][0]["text"], "said");
    // 140 KB each, of which a tree takes fourteen million bytes.
    times.store(20_000, Ordering::Relaxed);
    call().await.is_error(502, "LimitExceeded.Answer", "--session-buffers");
    let refused = gateway.post("/mcp/createSession", json!({})).await;
    refused.is_error(502, "UpstreamUnreadable", "larger than what describes a session");
    release().await;
    assert!(created.try_connect(Some(&created.token)).await.is_ok(), "what nobody reads says nothing");
    // A thousand have room, and nothing of the others is left in the budgets.
    times.store(1000, Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(call().await.ok()["result"]["content"][0]["text"], "said");
    }
    release().await;
    assert_eq!(created.try_connect(Some(&created.token)).await.err().expect("a refusal").0, 400);
    gateway.stop().await;
}

/// A gateway whose sessions hold little, and a session there.
async fn session_with_little_room(upstream: &str) -> (TestServer, Session) {
    let gateway = TestServer::with(|config| {
        config.api_keys.clear();
        config.upstream.url = Some(upstream.to_owned());
        config.limits.session_buffers = 8 << 20;
    })
    .await;
    let account = Agb::new(&Options::new().endpoint(gateway.url("")).api_key(KEY)).expect("an account");
    let session = account.create(CreateSession::default()).await.expect("a session");
    (gateway, session)
}

#[tokio::test]
async fn messages_of_runs_count_before_they_are_whole() {
    let upstream = Upstream::start().await.expect("a free port");
    let (gateway, session) = session_with_little_room(&upstream.url()).await;
    let run = async |script: &str| {
        let run = session.code().run(script, "python").stream().expect("it is taken");
        tokio::time::timeout(PATIENCE, run.finish()).await.expect("it ends")
    };
    for _ in 0..10 {
        let execution = run("chunk:500000 end").await;
        assert_eq!((execution.status, execution.logs.stdout.concat().len()), (RunStatus::Finished, 500_000));
    }
    // It is below the largest message, and what is read of it as large again.
    let execution = run("chunk:6000000 end").await;
    assert_eq!(execution.status, RunStatus::Interrupted, "{execution:?}");
    assert!(execution.error_message.contains("--session-buffers"), "{}", execution.error_message);
    let execution = run("chunk:20000000 end").await;
    assert_eq!(execution.status, RunStatus::Interrupted);
    let execution = run("chunk:500000 end").await;
    assert_eq!(execution.status, RunStatus::Finished, "everything was given back: {}", execution.error_message);
    gateway.stop().await;
}

#[tokio::test]
async fn the_answer_of_a_run_that_cannot_be_streamed_counts() {
    let times = Arc::new(AtomicUsize::new(100));
    let many = Arc::clone(&times);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let link = url.clone();
    let create = async move || {
        let tools = json!([{ "name": "run_code", "server": "s" }]);
        let data =
            json!({ "sessionId": "s-1", "token": "theirs", "linkUrl": format!("{link}/link"), "toolList": tools });
        answer(StatusCode::OK, "ok", data)
    };
    // A result within the text of a result: what opens it makes a tree of each.
    let call = async move || {
        let text = nested(r#""result":["said"]"#, many.load(Ordering::Relaxed));
        answer(StatusCode::OK, "ok", json!({ "content": [{ "type": "text", "text": text }] }))
    };
    let service = Router::new().route("/mcp/createSession", post(create)).route("/link/callTool", post(call));
    tokio::spawn(async move { axum::serve(listener, service).await });
    let (gateway, session) = session_with_little_room(&url).await;
    let run = async || {
        let run = session.code().run("1", "python").stream().expect("it is taken");
        tokio::time::timeout(PATIENCE, run.finish()).await.expect("it ends")
    };
    for (many, fits) in [(100, true), (20_000, false), (5_000, true)] {
        times.store(many, Ordering::Relaxed);
        let execution = run().await;
        let text = execution.results.first().and_then(|result| result.text.as_deref());
        match fits {
            true => assert_eq!((execution.status, text), (RunStatus::Finished, Some("said")), "{execution:?}"),
            false => assert!(execution.error_message.contains("--session-buffers"), "{execution:?}"),
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn of_a_session_no_more_is_kept_than_is_asked() {
    let tools = Arc::new(AtomicUsize::new(100));
    let many = Arc::clone(&tools);
    let service = move |url: &str| {
        let url = url.to_owned();
        let create = async move || {
            let tool = json!({ "name": "a_tool", "server": "a_server", "description": "d".repeat(100) });
            let tools = Value::from(vec![tool; many.load(Ordering::Relaxed)]);
            let data = json!({ "sessionId": "s-1", "token": "theirs", "linkUrl": format!("{url}/link/s-1"),
                "wsUrl": "ws://127.0.0.1:1", "toolList": tools.to_string() });
            answer(StatusCode::OK, "ok", data)
        };
        Router::new().route("/mcp/createSession", post(create))
    };
    let gateway = in_front_of(service, |_| {}).await;
    gateway.create().await;
    tools.store(3000, Ordering::Relaxed);
    let refused = gateway.post("/mcp/createSession", json!({})).await;
    refused.is_error(502, "UpstreamUnreadable", "more than a gateway keeps");
    gateway.stop().await;
}
