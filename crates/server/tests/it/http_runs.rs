//! The extension `http`: a run without any WebSocket.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Reply, TestServer, TestSession, is_greeting, is_one_hop_away, text_of};

/// An event stream.
struct Events {
    response: reqwest::Response,
    text: String,
    /// Lines that are only signs of life.
    comments: u32,
}

impl Events {
    async fn open(server: &TestServer, session: &TestSession, id: &str, after: u64) -> Result<Self, Reply> {
        let url = format!("{}/runs/{id}/events?afterSeq={after}", session.link_url);
        let request = server.http.get(url).header("X-Access-Token", &session.token);
        let response = request.send().await.expect("an answer");
        if response.status() != 200 {
            return Err(Reply::of(response).await);
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        // A header for this hop alone.
        if !is_one_hop_away() {
            assert_eq!(response.headers()["connection"], "close", "a cut for this run is no other answer's");
        }
        Ok(Self { response, text: String::new(), comments: 0 })
    }

    /// The next event's data; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(frame) = block.strip_prefix("data: ") {
                    let mut frame: Value = serde_json::from_str(frame).expect("JSON");
                    let event = frame["data"].take();
                    match is_greeting(&event) {
                        true => continue,
                        false => return Some(event),
                    }
                }
                self.comments += 1;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.response.chunk()).await;
            let chunk = chunk.expect("in time").expect("no error")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("whole characters, since events are small here"));
        }
    }

    async fn rest(mut self) -> Vec<Value> {
        let mut events = vec![];
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

async fn say(server: &TestServer, session: &TestSession, id: &str, data: Value) -> Reply {
    let request = server.http.post(format!("{}/runs/{id}", session.link_url)).json(&data);
    Reply::of(request.header("X-Access-Token", &session.token).send().await.expect("an answer")).await
}

fn start(code: &str) -> Value {
    let params = json!({ "language": "python", "timeoutS": 30, "code": code, "resume": true, "stdin": true });
    json!({ "method": "run_code", "mode": "stream", "params": params })
}

#[tokio::test]
async fn a_run_goes_over_http_alone() {
    let server = TestServer::with(|config| config.limits.heartbeat = Duration::from_millis(400)).await;
    let session = server.create().await;
    let code = "import time\nopen('starts', 'a').write('x')\nprint(1, flush=True)\ntime.sleep(1)\nprint(input())";
    say(&server, &session, "a", start(code)).await.ok();
    say(&server, &session, "a", start(code)).await.ok(); // the answer may have been lost
    let mut events = Events::open(&server, &session, "a", 0).await.expect("a stream");
    let mut seen = vec![];
    while seen.last().is_none_or(|event: &Value| event["eventType"] != "inputRequest") {
        seen.push(events.next().await.expect("an event"));
    }
    assert!(events.comments > 0, "signs of life while the program says nothing");
    say(&server, &session, "a", json!({ "method": "ack", "params": { "seq": 2 } })).await.ok();
    drop(events);
    let after = seen.last().expect("an event")["seq"].as_u64().expect("a number");
    let events = Events::open(&server, &session, "a", after).await.expect("a stream");
    say(&server, &session, "a", json!({ "method": "stdin", "params": { "data": "two\n" } })).await.ok();
    seen.extend(events.rest().await);
    let numbers: Vec<_> = seen.iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=seen.len() as u64).collect::<Vec<_>>());
    assert_eq!(text_of(&seen, "stdout").replace("two", ""), "1\n\n", "{seen:?}");
    assert_eq!(server.call(&session, "read_file", json!({ "path": "starts" })).await, Ok("x".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn it_is_the_same_run_as_over_a_websocket() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    let params = start("import time\nprint(1, flush=True)\ntime.sleep(100)");
    socket.request("a", params).await;
    let mut first = vec![];
    while text_of(&first, "stdout").is_empty() {
        first.push(socket.event().await.1);
    }
    let mut events = Events::open(&server, &session, "a", 0).await.expect("a stream");
    for event in &first {
        assert_eq!(events.next().await.as_ref(), Some(event));
    }
    assert_eq!(socket.event().await.1["phase"], "error", "the newest subscriber wins");
    say(&server, &session, "a", json!({ "method": "cancel" })).await.ok();
    let rest = events.rest().await;
    let after = rest.last().expect("an end")["seq"].as_u64().expect("a number");
    assert_eq!(rest.last().expect("an end")["reason"], "cancelled");
    let resume = json!({ "method": "run_code", "mode": "resume", "params": { "afterSeq": after - 1 } });
    socket.request("a", resume).await;
    assert_eq!(socket.until_end().await, [rest.last().expect("an end").clone()]);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_had_is_a_clear_error() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let other = |token: &str| TestSession { token: token.to_owned(), ..session.clone() };
    say(&server, &other("no"), "a", start("1")).await.is_error(401, "InvalidAccessToken.NotFound", "token");
    say(&server, &session, "a", json!({})).await.is_error(400, "InvalidParameter.Value", "run_code (mode stream)");
    say(&server, &session, "a", json!({ "method": "cancel" })).await.is_error(
        404,
        "InvalidRun.NotFound",
        "no such run",
    );
    let plain = json!({ "method": "run_code", "mode": "stream", "params": { "language": "python", "code": "1" } });
    say(&server, &session, "a", plain).await.is_error(400, "InvalidParameter.Value", "resume");
    let ruby = json!({ "method": "run_code", "mode": "stream", "params": { "language": "ruby", "resume": true } });
    say(&server, &session, "a", ruby).await.is_error(400, "InvalidRun.Refused", "UnknownLanguage");
    say(&server, &session, &"x".repeat(300), start("1")).await.is_error(400, "InvalidParameter.Value", "256");
    let none = Events::open(&server, &session, "a", 0).await.err().expect("no such run");
    none.is_error(404, "InvalidRun.NotFound", "no such run");
    say(&server, &session, "a", start("1")).await.ok();
    say(&server, &session, "a", start("2")).await.is_error(409, "InvalidRun.Taken", "another program");
    let ahead = Events::open(&server, &session, "a", 99).await.err().expect("too far");
    ahead.is_error(409, "InvalidRun.Position", "at most");
    let all = Events::open(&server, &session, "a", 0).await.expect("a stream").rest().await;
    let end = all.last().expect("an end")["seq"].as_u64().expect("a number");
    say(&server, &session, "a", json!({ "method": "ack", "params": { "seq": end } })).await.ok();
    let forgotten = Events::open(&server, &session, "a", 0).await.err().expect("forgotten");
    forgotten.is_error(410, "InvalidRun.Forgotten", "nothing of it is kept");
    server.stop().await;
}

/// What is held back by its reader has no end of its own.
#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let params =
        json!({ "language": "python", "code": "while True: print('x' * 999)", "resume": true, "window": 10_000 });
    say(&server, &session, "a", json!({ "method": "run_code", "mode": "stream", "params": params })).await.ok();
    let url = format!("{}/runs/a/events?afterSeq=0&window=10000", session.link_url);
    let stream = server.http.get(&url).header("X-Access-Token", &session.token).send().await.expect("an answer");
    server.release(&session).await;
    let rest = tokio::time::timeout(Duration::from_secs(60), stream.text()).await;
    let rest = rest.expect("an end").expect("a body");
    assert!(rest.contains("accepted"), "{rest}");
    server.stop().await;
}

#[tokio::test]
async fn a_page_may_watch_and_only_watch() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let request = server.http.post(format!("{}/browserAccess", session.link_url)).json(&json!({ "scope": "read" }));
    let access =
        Reply::of(request.header("X-Access-Token", &session.token).send().await.expect("an answer")).await.ok();
    let page = TestSession { token: access["token"].as_str().expect("a token").to_owned(), ..session.clone() };
    say(&server, &page, "a", start("1")).await.is_error(403, "InvalidAccessToken.Scope", "watching only");
    say(&server, &session, "a", start("print(1)")).await.ok();
    let url = format!("{}/runs/a/events", page.link_url);
    let request = server.http.get(&url).header("X-Access-Token", &page.token).header("origin", "http://localhost:5173");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.headers()["access-control-allow-origin"], "http://localhost:5173");
    let text = response.text().await.expect("a body");
    assert!(text.starts_with("data: {") && text.contains("\"phase\":\"end\""), "{text}");
    let foreign = server.http.get(&url).header("X-Access-Token", &page.token).header("origin", "https://example.org");
    Reply::of(foreign.send().await.expect("an answer")).await.is_error(403, "InvalidOrigin.NotAllowed", "example.org");
    server.stop().await;
}

#[tokio::test]
async fn a_directory_of_any_length_is_refused_and_not_told() {
    let server = TestServer::start().await;
    let session = server.create().await;
    for start in ["", "/tmp/", "/nowhere/"] {
        let cwd = start.to_owned() + &"\u{7f}".repeat(1 << 20);
        let params = json!({ "command": "true", "cwd": cwd, "resume": true });
        let reply = say(&server, &session, "a", json!({ "method": "run_command", "mode": "stream", "params": params }));
        reply.await.is_error(400, "InvalidRun.Refused", "4096 bytes");
        let error = server.call(&session, "shell", json!({ "command": "true", "cwd": cwd, "timeout_ms": 10_000 }));
        let error = error.await.expect_err("there is no such directory");
        assert!(error.len() < 16 << 10 && error.contains("4096 bytes"), "{} bytes", error.len());
    }
    server.stop().await;
}
