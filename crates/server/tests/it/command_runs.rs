//! The extension `command`: shell commands that are followed as runs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Socket, TestServer, TestSession, eventually, is_alive, programs, text_of, work};

async fn start(socket: &mut Socket, id: &str, command: &str, more: Value) {
    let mut params = json!({ "command": command, "timeoutMs": 60_000, "resume": true });
    params.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    socket.request(id, json!({ "method": "run_command", "mode": "stream", "params": params })).await;
}

async fn say(socket: &mut Socket, id: &str, method: &str, params: Value) {
    socket.request(id, json!({ "method": method, "params": params })).await;
}

async fn resume(socket: &mut Socket, id: &str, after: u64) {
    let params = json!({ "afterSeq": after });
    socket.request(id, json!({ "method": "run_code", "mode": "resume", "params": params })).await;
}

/// Events until so much has been shown.
async fn until_shown(socket: &mut Socket, events: &mut Vec<Value>, wanted: &str) {
    while !text_of(events, "stdout").contains(wanted) {
        let (_, event) = socket.event().await;
        assert_ne!(event["phase"], "end", "{event} before {wanted:?}: {events:?}");
        events.push(event);
    }
}

async fn run(session: &TestSession, command: &str, more: Value) -> Vec<Value> {
    let mut socket = session.connect().await;
    start(&mut socket, "a", command, more).await;
    socket.until_end().await
}

fn end(events: &[Value]) -> &Value {
    events.last().expect("an end")
}

/// Whoever starts many commands waits for their turns, and nobody else does.
#[tokio::test]
async fn starts_of_one_session_do_not_go_before_those_of_another() {
    const MANY: usize = 80;
    let server = TestServer::start().await;
    let (many, other) = (server.create().await, server.create().await);
    let done = std::sync::atomic::AtomicUsize::new(0);
    let starts = async {
        let (server, many, done) = (&server, &many, &done);
        let start = |_| async move {
            server.output_of(many, "true").await;
            done.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        };
        futures_util::future::join_all((0..MANY).map(start)).await;
    };
    let one = async {
        while done.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.output_of(&other, "true").await;
        done.load(std::sync::atomic::Ordering::Relaxed)
    };
    let ((), before) = tokio::join!(starts, one);
    assert!(before < MANY / 2, "{before} of {MANY} commands of another session went before");
    server.stop().await;
}

#[tokio::test]
async fn a_command_streams_and_its_end_is_honest() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let events = run(&session, "echo out; echo err >&2; exit 3", json!({})).await;
    assert_eq!((text_of(&events, "stdout"), text_of(&events, "stderr")), ("out\n".into(), "err\n".into()));
    let kinds: Vec<_> = events[..2].iter().map(|event| event["eventType"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["accepted", "started"]);
    let numbers: Vec<_> = events.iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!((&end(&events)["reason"], &end(&events)["exitCode"]), (&json!("exited"), &json!(3)));
    assert_eq!(end(&events)["status"], "failed");
    for (id, command, more, reason, code) in [
        ("b", "true", json!({}), "exited", json!(0)),
        ("c", "kill -TERM $$", json!({}), "signalled", json!(143)),
        ("d", "echo $A; pwd", json!({ "envs": { "A": "x" }, "cwd": "/tmp" }), "exited", json!(0)),
        ("e", "sleep 60", json!({ "timeoutMs": 200 }), "timeout", json!(124)),
        ("f", "pwd", json!({ "cwd": "/nowhere" }), "exited", json!(2)),
        ("g", "pwd", json!({ "cwd": "missing" }), "failed", Value::Null),
        ("h", "", json!({}), "failed", Value::Null),
        ("i", "true", json!({ "envs": { "A": 1 } }), "failed", Value::Null),
        ("j", "true", json!({ "pty": { "cols": 0 } }), "failed", Value::Null),
        ("k", "true", json!({ "timeoutMs": -1 }), "failed", Value::Null),
    ] {
        let mut socket = session.connect().await;
        start(&mut socket, id, command, more).await;
        let events = socket.until_end().await;
        let end = end(&events);
        assert_eq!((&end["reason"], &end["exitCode"]), (&json!(reason), &code), "{command}: {events:?}");
        if id == "d" {
            assert_eq!(text_of(&events, "stdout"), "x\n/tmp\n");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_command_outlives_its_connection_and_runs_once() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let command = "echo begun >> count; for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.05; done";
    let mut socket = session.connect().await;
    start(&mut socket, "a", command, json!({ "window": 1000 })).await;
    let mut events = vec![];
    until_shown(&mut socket, &mut events, "2\n").await;
    drop(socket);
    let mut socket = session.connect().await;
    start(&mut socket, "a", command, json!({ "window": 1000 })).await; // said again, because its answer may be lost
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    assert_eq!(
        server.call(&session, "shell", json!({ "command": "cat count" })).await.unwrap().matches("begun").count(),
        1
    );
    let mut socket = session.connect().await;
    start(&mut socket, "a", "echo other", json!({})).await;
    let (_, refusal) = socket.event().await;
    assert!(refusal["error"].as_str().expect("words").contains("another program"), "{refusal}");
    server.stop().await;
}

#[tokio::test]
async fn input_signals_and_cancel_reach_it() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    start(&mut socket, "a", "cat; echo end", json!({ "stdin": true })).await;
    for (seq, params) in
        [json!({ "data": "one\n" }), json!({ "data": "two\n" }), json!({ "eof": true })].into_iter().enumerate()
    {
        let mut params = params;
        params["inputSeq"] = json!(seq + 1);
        for _ in 0..2 {
            say(&mut socket, "a", "stdin", params.clone()).await; // said again: it counts once
        }
    }
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "one\ntwo\nend\n");
    // Without input it is at its end.
    start(&mut socket, "b", "cat; echo end", json!({})).await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "end\n");
    // A signal reaches the whole group, and what catches it goes on.
    start(&mut socket, "c", "trap 'echo caught' USR1; echo ready; while :; do sleep 0.05; done", json!({})).await;
    let mut events = vec![];
    until_shown(&mut socket, &mut events, "ready").await;
    say(&mut socket, "c", "signal", json!({ "signal": "SIGUSR1" })).await;
    until_shown(&mut socket, &mut events, "caught").await;
    say(&mut socket, "c", "signal", json!({ "signal": "SIGNONE" })).await;
    say(&mut socket, "c", "signal", json!({ "signal": "SIGKILL" })).await;
    let events = socket.until_end().await;
    assert!(events.iter().any(|event| event["eventType"] == "inputRefused"), "{events:?}");
    assert_eq!(
        (&end(&events)["reason"], &end(&events)["killedBy"]["signal"]),
        (&json!("signalled"), &json!("SIGKILL"))
    );
    // One that ignores Ctrl-C is killed with all that it has started.
    start(&mut socket, "d", "trap '' INT; sleep 600 & echo ready; wait", json!({})).await;
    until_shown(&mut socket, &mut vec![], "ready").await;
    socket.request("d", json!({ "method": "cancel" })).await;
    let events = socket.until_end().await;
    assert_eq!(end(&events)["reason"], "cancelled", "{events:?}");
    eventually("all of it is gone", || programs(&server.data_dir).is_empty()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_terminal_is_a_real_one() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    start(&mut socket, "a", "PS1='$ ' exec sh -i", json!({ "pty": { "cols": 90, "rows": 30 }, "stdin": true })).await;
    let mut events = vec![];
    let mut seq = 0;
    let mut send = |method: &str, mut params: Value| {
        seq += 1;
        params["inputSeq"] = json!(seq);
        (method.to_owned(), params)
    };
    for (method, params) in [
        send(
            "stdin",
            json!({ "data": "test -t 1 && echo is-a-tty-$((1 + 1)); test -r /dev/tty && echo has-tty-$((1 + 1)); tty\n" }),
        ),
        send("resize", json!({ "cols": 132, "rows": 50 })),
        send("stdin", json!({ "data": "stty size; echo sized-$((1 + 1))\n" })),
    ] {
        say(&mut socket, "a", &method, params).await;
    }
    // What is typed while the shell begins is shown before its first prompt, so that a prompt may stand before the size.
    until_shown(&mut socket, &mut events, "50 132\r\nsized-2\r\n").await;
    let shown = text_of(&events, "stdout");
    assert!(shown.contains("is-a-tty-2\r\n") && shown.contains("has-tty-2\r\n"), "{shown}");
    assert!(shown.contains("\n/dev/pts/") && !shown.contains("not a tty"), "it has a name: {shown}");
    // Ctrl-C ends what runs in the foreground, and the shell goes on.
    let (method, params) = send("stdin", json!({ "data": "sleep 600; echo not-this\n" }));
    say(&mut socket, "a", &method, params).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (method, params) = send("stdin", json!({ "data": "\u{3}" }));
    say(&mut socket, "a", &method, params).await;
    let (method, params) = send("stdin", json!({ "data": "echo after-$((20 + 3))\n" }));
    say(&mut socket, "a", &method, params).await;
    until_shown(&mut socket, &mut events, "after-23").await;
    assert!(!text_of(&events, "stdout").contains("\r\nnot-this"), "{}", text_of(&events, "stdout"));
    let (method, params) = send("stdin", json!({ "data": "exit 7\n" }));
    say(&mut socket, "a", &method, params).await;
    let events = socket.until_end().await;
    assert_eq!((&end(&events)["reason"], &end(&events)["exitCode"]), (&json!("exited"), &json!(7)));
    // A size for a command without a terminal is refused, and the command goes on.
    start(&mut socket, "b", "cat; echo end", json!({ "stdin": true })).await;
    say(&mut socket, "b", "resize", json!({ "cols": 10, "rows": 10 })).await;
    say(&mut socket, "b", "stdin", json!({ "eof": true })).await;
    let events = socket.until_end().await;
    assert!(events.iter().any(|event| event["eventType"] == "inputRefused"), "{events:?}");
    assert_eq!(end(&events)["exitCode"], 0);
    server.stop().await;
}

#[tokio::test]
async fn a_detached_command_goes_on_without_anybody_and_is_found() {
    let server = TestServer::with(|config| {
        config.limits.unwatched_time = Duration::from_millis(100);
        config.limits.replay_memory = 64 * 1024;
        config.limits.replay_spool = 0;
    })
    .await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    let command =
        "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; until test -e go; do sleep 0.02; done; echo last";
    start(&mut socket, "a", command, json!({ "detached": true })).await;
    until_shown(&mut socket, &mut vec![], "first").await;
    drop(socket);
    let listed = |text: String| serde_json::from_str::<Value>(&text).expect("JSON");
    let listing = listed(server.call(&session, "list_commands", json!({})).await.expect("a list"));
    assert_eq!(
        (&listing[0]["id"], &listing[0]["status"], &listing[0]["detached"]),
        (&json!("a"), &json!("running"), &json!(true))
    );
    // Longer than a run waits for somebody to come back.
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.call(&session, "write_file", json!({ "path": "go", "content": "" })).await.expect("it is written");
    let mut text = String::new();
    for _ in 0..200 {
        text = server.call(&session, "list_commands", json!({})).await.expect("a list");
        if !text.contains("running") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((&listed(text.clone())[0]["status"], &listed(text)[0]["exitCode"]), (&json!("exited"), &json!(0)));
    let mut socket = session.connect().await;
    resume(&mut socket, "a", 0).await;
    let events = socket.until_end().await;
    let dropped: u64 = events.iter().filter_map(|event| event["bytes"].as_u64()).sum();
    let shown = text_of(&events, "stdout");
    assert!(dropped > 1_000_000, "it was not held back: {dropped}");
    assert_eq!(shown.len() as u64 + dropped, "first\n".len() as u64 + 3_000_001 + "last\n".len() as u64);
    server.stop().await;
}

#[tokio::test]
async fn everything_ends_with_the_session() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    start(&mut socket, "a", "trap '' HUP TERM INT; echo ready; while :; do sleep 1; done", json!({ "detached": true }))
        .await;
    until_shown(&mut socket, &mut vec![], "ready").await;
    start(&mut socket, "b", "trap '' HUP; echo ready; sleep 600", json!({ "pty": {} })).await;
    until_shown(&mut socket, &mut vec![], "ready").await;
    // What a command has put into the background lives on behind its end, and shares the session's network.
    start(&mut socket, "c", "nohup sleep 600 >/dev/null 2>&1 & echo started", json!({})).await;
    let events = socket.until_end().await;
    assert_eq!(end(&events)["exitCode"], 0, "{events:?}");
    let pids = programs(&server.data_dir);
    assert!(pids.len() >= 3, "{pids:?}");
    let _ = work(&server.data_dir);
    server.release(&session).await;
    assert!(!pids.into_iter().any(is_alive), "nothing outlives the session");
    server.stop().await;
}

#[tokio::test]
async fn an_observer_changes_nothing_and_http_does_the_same() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    start(&mut socket, "a", "cat", json!({ "stdin": true })).await;
    let token = server.access(&session, json!({ "scope": "read" })).await;
    let mut observer = session.try_connect(Some(&token)).await.expect("it may watch");
    resume(&mut observer, "a", 0).await;
    for (method, params) in [("signal", json!({ "signal": "SIGKILL" })), ("stdin", json!({ "data": "no\n" }))] {
        say(&mut observer, "a", method, params).await;
    }
    start(&mut observer, "b", "echo no", json!({})).await;
    let mut refused = 0;
    while refused < 3 {
        let (_, event) = observer.event().await;
        refused += usize::from(event["eventType"] == "inputRefused" || event["error"]["name"] == "NotAllowed");
    }
    say(&mut socket, "a", "stdin", json!({ "data": "yes\n" })).await;
    say(&mut socket, "a", "stdin", json!({ "eof": true })).await;
    let events = socket.until_end().await;
    assert_eq!((text_of(&events, "stdout"), &end(&events)["exitCode"]), ("yes\n".into(), &json!(0)));
    server.stop().await;
}
