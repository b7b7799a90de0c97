//! Runs over the WebSocket, as a client of part 1 sees them, and the extension `cancel`.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{TestServer, eventually, text_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_come_while_the_program_runs() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    // The interpreter starts with the first run; its time is not what is measured.
    socket.start("warm", "python", "import time, sys").await;
    socket.until_end().await;
    socket
        .start("a", "python", "for i in range(4):\n    print(f'Progress {i}')\n    time.sleep(0.25)\nprint('Done')")
        .await;
    let mut seen = Vec::new();
    let begin = Instant::now();
    loop {
        let (id, data) = socket.event().await;
        assert_eq!(id, "a");
        assert!(data.get("seq").is_none(), "part 1 only: {data}");
        if data["phase"] == "end" {
            assert_eq!((&data["status"], &data["executionCount"]), (&json!("finished"), &json!(2)), "{data}");
            assert_eq!(data["executionError"], Value::Null);
            let time = data["executionTime"].as_f64().expect("seconds");
            assert!((0.9..5.0).contains(&time), "{time}");
            break;
        }
        assert_eq!((&data["phase"], &data["eventType"]), (&json!("event"), &json!("stdout")));
        seen.push((begin.elapsed(), data["chunk"].as_str().expect("a text").to_owned()));
    }
    let lines: Vec<&str> = seen.iter().map(|(_, chunk)| chunk.as_str()).collect();
    assert_eq!(
        lines,
        ["Progress 0\n", "Progress 1\n", "Progress 2\n", "Progress 3\n", "Done\n"],
        "one read, one event"
    );
    for pair in seen.windows(2).take(3) {
        let gap = pair[1].0 - pair[0].0;
        assert!(gap > Duration::from_millis(150), "joined or late: {gap:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn java_streams_as_it_prints() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    let code = "System.out.print(\"one\");\nwhile (!new File(\"go\").exists()) Thread.sleep(5);\nSystem.err.println(\"two\");\n6 * 7";
    socket.start("a", "java", code).await;
    let (_, first) = socket.event().await;
    assert_eq!((&first["eventType"], &first["chunk"]), (&json!("stdout"), &json!("one")), "{first}");
    std::fs::write(crate::support::work(&server.data_dir).join("go"), "").expect("the session's folder is there");
    let events = socket.until_end().await;
    assert_eq!(text_of(&events, "stderr"), "two\n");
    let result = events.iter().find(|event| event["eventType"] == "result").expect("a result");
    assert_eq!(result["result"], json!({ "mime": { "text/plain": "42" }, "isMainResult": true }));
    server.stop().await;
}

#[tokio::test]
async fn everything_of_a_run_comes_in_order() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    socket.start("a", "python", "import sys\nprint('é€😀')\nx = 6\nx * 7").await;
    let events = socket.until_end().await;
    assert_eq!(text_of(&events, "stdout"), "é€😀\n");
    let result = events.iter().find(|event| event["eventType"] == "result").expect("a result");
    assert_eq!(result["result"], json!({ "mime": { "text/plain": "42" }, "isMainResult": true }));

    socket.start("b", "python", "def f():\n    raise ValueError('no good')\nf()").await;
    let events = socket.until_end().await;
    let error = &events.iter().find(|event| event["eventType"] == "error").expect("an error")["error"];
    assert_eq!((&error["code"], &error["message"]), (&json!("ValueError"), &json!("no good")));
    assert_eq!((&error["name"], &error["value"]), (&json!("ValueError"), &json!("no good")));
    assert!(error["traceback"].as_str().expect("a text").contains("in f") && error["traceId"].is_string());
    let end = events.last().expect("an end");
    assert_eq!((&end["status"], &end["executionError"]), (&json!("failed"), &json!("ValueError: no good")));
    // A message of the other clients' heartbeat, taken in silence; and the session has kept its state.
    socket.send(r#"{"type":"ping"}"#).await;
    socket.start("c", "python", "x").await;
    assert_eq!(socket.until_end().await[0]["result"]["mime"]["text/plain"], "6");
    server.stop().await;
}

#[tokio::test]
async fn runs_of_two_languages_go_side_by_side_and_of_one_in_turn() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    let wait = "import os, time\nprint('py')\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('went')";
    socket.start("p1", "python", wait).await;
    socket.start("p2", "python", "print('second')").await;
    socket
        .start("j", "javascript", "console.log('js'); setTimeout(() => require('fs').writeFileSync('go', ''), 100)")
        .await;
    let (mut ends, mut order) = (Vec::new(), Vec::new());
    while ends.len() < 3 {
        let (id, data) = socket.event().await;
        if data["phase"] == "end" {
            assert_eq!(data["status"], "finished", "{data}");
            ends.push(id);
        } else {
            order.push(format!("{id}:{}", data["chunk"].as_str().unwrap_or("shown").trim()));
        }
    }
    let of_python: Vec<_> = order.iter().filter(|line| line.starts_with('p')).collect();
    assert_eq!(of_python, ["p1:py", "p1:went", "p2:second"]);
    assert!(order.contains(&"j:js".to_owned()), "{order:?}");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_run_ends_with_an_error() {
    let server = TestServer::with(|config| config.limits.max_runs = 3).await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    for (params, name, part) in [
        (
            json!({ "language": "ruby", "code": "1" }),
            "UnknownLanguage",
            "unknown language \"ruby\"; supported are python",
        ),
        (json!({ "code": "1" }), "UnknownLanguage", "supported are python, javascript"),
        (json!({ "language": "python", "code": "1", "timeoutS": -1 }), "InvalidTimeout", "a timeout of -1 s"),
        (json!({ "language": "python", "code": "1", "timeoutS": 1e300 }), "InvalidTimeout", "at most 86400 s"),
    ] {
        socket.start_with("x", params).await;
        let events = socket.until_end().await;
        assert_eq!(events.len(), 2);
        assert_eq!(events[0]["error"]["name"], name);
        assert!(events[0]["error"]["message"].as_str().expect("a text").contains(part), "{}", events[0]);
        assert_eq!(events[1]["status"], "failed");
        assert!(events[1]["executionError"].as_str().expect("a text").contains(part));
    }
    for id in ["1", "2", "3"] {
        socket.start(id, "python", "import time; time.sleep(100)").await;
    }
    // The same start once more changes nothing; the same id from elsewhere is refused.
    socket.start("1", "python", "print('again')").await;
    let mut other = session.connect().await;
    other.start("1", "python", "1").await;
    assert_eq!(other.until_end().await[0]["error"]["name"], "DuplicateRun");
    socket.start("4", "python", "1").await;
    let (id, data) = socket.event().await;
    assert_eq!((id.as_str(), &data["error"]["name"]), ("4", &json!("TooManyRuns")), "{data}");
    let call = json!({ "sessionId": session.id, "name": "list_directory", "args": r#"{"path":"."}"# });
    server.post("/mcp", call).await.is_error(429, "LimitExceeded.Runs", "3 runs and calls are going on");
    server.stop().await;
}

#[tokio::test]
async fn programs_that_wait_do_not_fill_the_memory() {
    let server = TestServer::with(|config| config.limits.max_held = 100_000).await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    socket.start("1", "python", "import time; time.sleep(100)").await;
    socket.start("2", "python", &"#".repeat(90_000)).await;
    socket.start("3", "python", &"#".repeat(90_000)).await;
    let (id, data) = socket.event().await;
    assert_eq!((id.as_str(), &data["error"]["name"]), ("3", &json!("TooMuchCode")), "{data}");
    server.stop().await;
}

#[tokio::test]
async fn time_is_up() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    socket.start_with("a", json!({ "language": "python", "code": "while True: pass", "timeoutS": 0.3 })).await;
    let events = socket.until_end().await;
    assert_eq!(events[0]["error"]["name"], "Timeout");
    let end = events.last().expect("an end");
    assert_eq!(end["executionError"], "timed out after 0.3 s; the interpreter's state is kept");
    assert_eq!((&end["status"], &end["reason"]), (&json!("failed"), &json!("timeout")));
    server.stop().await;
}

#[tokio::test]
async fn a_dead_interpreter_is_told_and_replaced() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    socket.start("a", "python", "import os\nprint('last words', flush=True)\nos.kill(os.getpid(), 9)").await;
    let events = socket.until_end().await;
    assert_eq!(text_of(&events, "stdout"), "last words\n");
    let end = events.last().expect("an end");
    assert_eq!((&end["reason"], &end["stateLost"]), (&json!("killed"), &json!(true)), "{end}");
    assert!(end["executionError"].as_str().expect("a text").contains("SIGKILL"), "{end}");
    socket.start("b", "python", "1 + 1").await;
    assert_eq!(socket.until_end().await[0]["result"]["mime"]["text/plain"], "2");
    server.stop().await;
}

#[tokio::test]
async fn cancel_reaches_the_program_and_keeps_the_state() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    socket.start("a", "python", "x = 1\nprint('on')\nwhile True: pass").await;
    assert_eq!(socket.event().await.1["chunk"], "on\n");
    socket.start("queued", "python", "print('never')").await;
    socket.request("queued", json!({ "method": "cancel" })).await;
    let (id, events) = ("queued", socket.until_end().await);
    assert_eq!(events[0]["error"]["name"], "Cancelled", "{id}");
    assert!(events[1]["executionError"].as_str().expect("a text").contains("it had not begun"));
    let begin = Instant::now();
    socket.request("a", json!({ "method": "cancel" })).await;
    let events = socket.until_end().await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(
        events.iter().find(|event| event["eventType"] == "error").expect("an error")["error"]["name"],
        "Cancelled"
    );
    let end = events.last().expect("an end");
    assert_eq!((&end["status"], &end["reason"]), (&json!("failed"), &json!("cancelled")));
    socket.request("a", json!({ "method": "cancel" })).await;
    socket.request("unknown", json!({ "method": "cancel" })).await;
    socket.start("b", "python", "x").await;
    assert_eq!(socket.until_end().await[0]["result"]["mime"]["text/plain"], "1");
    server.stop().await;
}

#[tokio::test]
async fn a_lost_connection_stops_its_runs_and_no_other() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let (mut leaving, mut staying) = (session.connect().await, session.connect().await);
    let code = "import time, os\nopen('up', 'w').close()\ntry:\n    while True: print('x' * 1000)\nfinally:\n    open('stopped', 'w').close()";
    leaving.start("a", "python", code).await;
    staying.start("b", "javascript", "setTimeout(() => console.log('still here'), 1500)").await;
    let (_, first) = leaving.event().await;
    assert_eq!(first["eventType"], "stdout");
    drop(leaving);
    let work = crate::support::work(&server.data_dir);
    eventually("the program was interrupted", || work.join("stopped").exists()).await;
    assert_eq!(text_of(&staying.until_end().await, "stdout"), "still here\n");
    // The interpreter is free again.
    staying.start("c", "python", "print('next')").await;
    assert_eq!(text_of(&staying.until_end().await, "stdout"), "next\n");
    server.stop().await;
}

#[tokio::test]
async fn pings_are_answered() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    socket.0.send(Message::Ping(b"are you there".to_vec().into())).await.expect("sent");
    let answer = tokio::time::timeout(Duration::from_secs(5), socket.0.next()).await.expect("in time");
    assert_eq!(answer.expect("a message").expect("no error"), Message::Pong(b"are you there".to_vec().into()));
    server.stop().await;
}

#[tokio::test]
async fn no_frame_reaches_one_mebibyte() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    // Escaped, each of these characters takes six bytes; the last four bytes, one character.
    let code =
        "import sys\nsys.stdout.write('\\x01' * 3_000_000)\nsys.stderr.write('\u{1F600}' * 500_000)\n'y' * 2_000_000";
    socket.start("a", "python", code).await;
    let (mut stdout, mut stderr, mut result) = (0, String::new(), None);
    loop {
        let text = socket.text().await.expect("a frame");
        assert!(text.len() < 1024 * 1024, "{} bytes", text.len());
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        let data = &frame["data"];
        match data["eventType"].as_str() {
            Some("stdout") => stdout += data["chunk"].as_str().expect("a text").len(),
            Some("stderr") => stderr += data["chunk"].as_str().expect("a text"),
            Some("result") => result = data["result"]["mime"]["text/plain"].as_str().map(str::to_owned),
            _ => break,
        }
    }
    assert_eq!(stdout, 3_000_000);
    assert_eq!(stderr, "\u{1F600}".repeat(500_000));
    let result = result.expect("a result");
    assert!(result.contains("left out") && result.contains("text/plain of 20000"), "{result}");
    server.stop().await;
}

/// A thread outlives its run: what it writes comes with the next one, apart from that one's own output.
#[tokio::test]
async fn late_output_is_marked_as_background() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    let code = "import os, threading, time\n\
                def late(go, done):\n    while not os.path.exists(go): time.sleep(0.01)\n    print('late')\n    open(done, 'w')\n\
                threading.Thread(target=late, args=('go1', 'done1')).start()\n\
                threading.Thread(target=late, args=('go2', 'done2')).start()";
    socket.start("a", "python", code).await;
    socket.until_end().await;
    let let_go = |n: u32| json!({ "command": format!("touch go{n}; until [ -e done{n} ]; do sleep 0.01; done") });

    server.call(&session, "shell", let_go(1)).await.expect("the thread writes");
    socket.start("b", "python", "print('own')").await;
    let events = socket.until_end().await;
    let chunks: Vec<_> = events.iter().filter(|event| event["eventType"] == "stdout").collect();
    assert_eq!(chunks.len(), 2, "{events:#?}");
    assert_eq!((&chunks[0]["chunk"], &chunks[0]["background"]), (&json!("late\n"), &json!(true)));
    assert_eq!((&chunks[1]["chunk"], chunks[1].get("background")), (&json!("own\n"), None));

    server.call(&session, "shell", let_go(2)).await.expect("the thread writes");
    let answer = server.run_code(&session, "python", "print('own')").await;
    assert_eq!(
        (&answer["stdout"], &answer["background"]["stdout"]),
        (&json!(["own\n"]), &json!(["late\n"])),
        "{answer}"
    );
    server.stop().await;
}
