//! Accesses with the scope `read`: they see a run of somebody else's, and neither it nor its owner notices.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::browser::{PAGE, open, token};
use crate::support::{Socket, TestServer, TestSession, eventually, text_of, work};

fn params(code: &str) -> Value {
    json!({ "language": "python", "timeoutS": 60, "code": code, "resume": true, "stdin": true })
}

async fn watcher(server: &TestServer, session: &TestSession) -> Socket {
    let token = token(server, session, json!({ "scope": "read" })).await;
    open(&session.ws_url, &token, PAGE).await.expect("a connection")
}

async fn ask(socket: &mut Socket, id: &str, params: Value) {
    socket.request(id, json!({ "method": "run_code", "mode": "resume", "params": params })).await;
}

/// Watches a run, and has been told that it does.
async fn watch(socket: &mut Socket, id: &str, after: u64) {
    ask(socket, id, json!({ "afterSeq": after })).await;
    let (_, first) = socket.event().await;
    assert_eq!((&first["eventType"], first.get("seq")), (&json!("accepted"), None), "{first}");
}

async fn refused(socket: &mut Socket, words: &str) {
    let (_, refusal) = socket.event().await;
    assert_eq!(refusal["phase"], "error", "{refusal}");
    assert!(refusal["error"].as_str().expect("words").contains(words), "{refusal}");
}

/// Everything up to a chunk that contains this.
async fn until(socket: &mut Socket, text: &str) -> Vec<Value> {
    let mut events = vec![];
    loop {
        events.push(socket.event().await.1);
        if text_of(&events, "stdout").contains(text) {
            return events;
        }
    }
}

async fn ack(socket: &mut Socket, id: &str, events: &[Value]) {
    let seq = &events.last().expect("an event")["seq"];
    socket.request(id, json!({ "method": "ack", "params": { "seq": seq } })).await;
}

/// A program that says its next word when its owner has written a line.
const DIALOGUE: &str = "for i in range(4):\n    print('say', i, flush=True)\n    input()\nprint('done')";

async fn answer(socket: &mut Socket, id: &str) {
    socket.request(id, json!({ "method": "stdin", "params": { "data": "x\n" } })).await;
}

#[tokio::test]
async fn a_watcher_sees_live_what_the_owner_sees() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let (mut owner, mut page) = (session.connect().await, watcher(&server, &session).await);
    owner.start_with("a", params(DIALOGUE)).await;
    let mut seen = until(&mut owner, "say 0").await;
    watch(&mut page, "a", 0).await;
    let mut watched = vec![];
    for i in 0..4 {
        // It is there before the program can go on: live, not at the end.
        let word = format!("say {i}");
        if i > 0 {
            seen.extend(until(&mut owner, &word).await);
        }
        watched.extend(until(&mut page, &word).await);
        answer(&mut owner, "a").await;
    }
    seen.extend(owner.until_end().await);
    watched.extend(page.until_end().await);
    assert_eq!(watched, seen, "to the letter, numbers and times included");
    assert_eq!(seen.last().expect("an end")["reason"], "finished");
    server.stop().await;
}

#[tokio::test]
async fn a_watcher_changes_nothing() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let (mut owner, mut page) = (session.connect().await, watcher(&server, &session).await);
    owner.start_with("a", params(DIALOGUE)).await;
    let mut seen = until(&mut owner, "say 0").await;
    watch(&mut page, "a", 0).await;
    let watched = until(&mut page, "say 0").await;
    // It acknowledges nothing on the owner's behalf: the owner can have all of it again below.
    ack(&mut page, "a", &watched).await;
    answer(&mut page, "a").await;
    loop {
        let (_, data) = page.event().await; // the prompt's event may come before
        if data["eventType"] == "inputRefused" {
            assert!(data["message"].as_str().expect("words").contains("watching only"), "{data}");
            break;
        }
    }
    page.request("a", json!({ "method": "cancel" })).await;
    refused(&mut page, "cancels nothing").await;
    page.start_with("b", params("print('never')")).await;
    let end = page.until_end().await;
    assert!(
        end.last().expect("an end")["executionError"].as_str().expect("words").contains("watching only"),
        "{end:?}"
    );
    // The same over HTTP.
    let token = token(&server, &session, json!({ "scope": "read" })).await;
    let url = format!("{}/runs/a", session.link_url);
    for (data, status) in [
        (json!({ "method": "cancel" }), 403),
        (json!({ "method": "stdin", "params": { "data": "x\n" } }), 403),
        (json!({ "method": "run_code", "mode": "stream", "params": params(DIALOGUE) }), 403),
        (json!({ "method": "ack", "params": { "seq": 3 } }), 200),
    ] {
        let answer =
            server.http.post(&url).header("X-Access-Token", &token).json(&data).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{data}");
    }
    let events = format!("{url}/events?afterSeq=0");
    let response = server.http.get(events).header("X-Access-Token", &token).send().await.expect("an answer");
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    while !text.contains("say 0") {
        text.push_str(&String::from_utf8_lossy(&stream.next().await.expect("events").expect("bytes")));
    }
    drop(stream);
    // The owner still has its run, which has gone nowhere, and can have all of it again.
    for _ in 0..4 {
        answer(&mut owner, "a").await;
    }
    seen.extend(owner.until_end().await);
    assert_eq!(seen.last().expect("an end")["reason"], "finished");
    assert_eq!(text_of(&seen, "stdout"), "say 0\nsay 1\nsay 2\nsay 3\ndone\n");
    ask(&mut owner, "a", json!({ "afterSeq": 0 })).await;
    assert_eq!(owner.until_end().await, seen);
    server.stop().await;
}

/// 40 MB: more than the sockets, the window and what is kept take together.
const LONG: &str = "for i in range(400): print('x' * 99_999)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_does_not_notice_watchers_that_stall_fall_behind_or_vanish() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let (mut owner, mut stalled) = (session.connect().await, watcher(&server, &session).await);
    let (mut behind, mut gone) = (watcher(&server, &session).await, watcher(&server, &session).await);
    owner.start_with("a", params(&format!("print('go', flush=True)\ninput()\n{LONG}"))).await;
    until(&mut owner, "go").await;
    watch(&mut stalled, "a", 0).await; // reads no further
    ask(&mut behind, "a", json!({ "afterSeq": 0, "window": 4096 })).await; // acknowledges nothing
    watch(&mut gone, "a", 0).await;
    drop(gone);
    answer(&mut owner, "a").await;
    let mut size = 0;
    let end = loop {
        let (_, data) = owner.event().await;
        size += data["chunk"].as_str().map_or(0, str::len);
        if data["phase"] == "end" {
            break data;
        }
        ack(&mut owner, "a", &[data]).await;
    };
    assert_eq!((size, &end["reason"]), (400 * 100_000, &json!("finished")));
    // Both have missed something, and are told so; what they got until then is whole.
    for socket in [&mut behind, &mut stalled] {
        let mut last = 0;
        let refusal = loop {
            let (_, data) = socket.event().await;
            match data["seq"].as_u64() {
                Some(seq) => {
                    assert_eq!(seq, last + 1);
                    last = seq;
                }
                None if data["phase"] == "error" => break data,
                None => {}
            }
        };
        assert!(refusal["error"].as_str().expect("words").contains("too far behind"), "{refusal}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_late_watcher_begins_with_the_oldest_event_that_is_kept() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let (mut owner, mut page) = (session.connect().await, watcher(&server, &session).await);
    owner.start_with("a", params(DIALOGUE)).await;
    let first = until(&mut owner, "say 0").await;
    ack(&mut owner, "a", &first).await;
    answer(&mut owner, "a").await;
    let second = until(&mut owner, "say 1").await;
    watch(&mut page, "a", 0).await;
    let watched = until(&mut page, "say 1").await;
    assert_eq!(watched, second, "what was acknowledged is gone");
    // From a number on it is all or an error.
    let mut other = watcher(&server, &session).await;
    ask(&mut other, "a", json!({ "afterSeq": 1 })).await;
    refused(&mut other, "from afterSeq 0").await;
    ask(&mut other, "a", json!({ "afterSeq": 100 })).await;
    refused(&mut other, "events so far").await;
    ask(&mut other, "none", json!({ "afterSeq": 0 })).await;
    refused(&mut other, "no such run").await;
    // While somebody watches, the newest events stay whatever is acknowledged.
    ack(&mut owner, "a", &second).await;
    answer(&mut owner, "a").await;
    let third = until(&mut owner, "say 2").await;
    ack(&mut owner, "a", &third).await;
    watch(&mut other, "a", second.last().expect("an event")["seq"].as_u64().expect("a number")).await;
    assert_eq!(until(&mut other, "say 2").await, third);
    // The owner goes: those who watch still see what comes, at once.
    answer(&mut owner, "a").await;
    let mut rest = until(&mut owner, "say 3").await;
    drop(owner);
    let mut owner = session.connect().await;
    answer(&mut owner, "a").await;
    rest.extend(page.until_end().await);
    assert!(text_of(&rest, "stdout").ends_with("done\n"));
    assert_eq!(other.until_end().await.last(), rest.last());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_reads_what_is_in_the_file() {
    let server = TestServer::with(|config| config.limits.replay_memory = 64 * 1024).await;
    let session = server.create().await;
    let mut owner = session.connect().await;
    let code = "for i in range(300_000): print(i)\nopen('progress', 'w').write('1')";
    owner.start_with("a", params(code)).await;
    owner.event().await;
    drop(owner);
    eventually("the program runs to its end", || work(&server.data_dir).join("progress").exists()).await;
    let mut pages = [watcher(&server, &session).await, watcher(&server, &session).await];
    for page in &mut pages {
        watch(page, "a", 0).await;
    }
    let expected: String = (0..300_000).map(|n| format!("{n}\n")).collect();
    for page in &mut pages {
        let events = page.until_end().await;
        assert!(text_of(&events, "stdout") == expected);
        assert!(events.iter().enumerate().all(|(at, event)| event["seq"] == at + 1));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_run_that_is_not_kept_is_watched_while_its_owner_stays() {
    let server = TestServer::with(|config| config.limits.max_watchers = 1).await;
    let session = server.create().await;
    let (mut owner, mut page) = (session.connect().await, watcher(&server, &session).await);
    let code = "import os, time\nprint('one', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('two', flush=True)\ntime.sleep(60)";
    owner.start("a", "python", code).await;
    until(&mut owner, "one").await;
    watch(&mut page, "a", 0).await;
    let mut crowd = watcher(&server, &session).await;
    ask(&mut crowd, "a", json!({ "afterSeq": 0 })).await;
    refused(&mut crowd, "--max-watchers").await;
    std::fs::write(work(&server.data_dir).join("go"), "").expect("written");
    assert_eq!(text_of(&until(&mut page, "two").await, "stdout"), "two\n");
    drop(owner);
    refused(&mut page, "owner has left").await;
    server.stop().await;
}
