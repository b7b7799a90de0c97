//! The extension `flow`, and slow readers without it.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Socket, TestServer, text_of, work};

fn params(code: &str, window: u64) -> Value {
    json!({ "language": "python", "timeoutS": 60, "code": code, "window": window })
}

/// Events of run `id` until nothing comes for a while; those of other runs are skipped.
async fn until_quiet(socket: &mut Socket, id: &str) -> Vec<Value> {
    let mut events = Vec::new();
    while let Ok((from, data)) = tokio::time::timeout(Duration::from_millis(700), socket.event()).await {
        if from == id {
            events.push(data);
        }
    }
    events
}

#[tokio::test]
async fn events_are_numbered_and_the_first_says_what_the_server_knows() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    socket.start_with("a", params("print('out')\n1/0", 1 << 20)).await;
    let events = socket.until_end().await;
    assert_eq!(events[0]["extensions"], json!(agb_server::EXTENSIONS));
    assert_eq!((&events[0]["phase"], &events[0]["eventType"]), (&json!("event"), &json!("accepted")));
    assert_eq!(events[1]["eventType"], "started");
    assert!(events.iter().all(|event| event["time"].as_u64().is_some_and(|time| time > 1_600_000_000_000)));
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>(), "{events:?}");
    socket.start_with("b", json!({ "language": "ruby", "code": "", "window": 1 })).await;
    let numbers: Vec<_> = socket.until_end().await.iter().map(|event| event["seq"].as_u64()).collect();
    assert_eq!(numbers, [Some(1), Some(2)]);
    server.stop().await;
}

#[tokio::test]
async fn a_program_waits_for_its_viewer_and_no_other_run_does() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    let window = 64 * 1024;
    let code = "import sys\nfor i in range(200):\n    sys.stdout.write('x' * 999_999 + '\\n')\n    open('progress', 'w').write(str(i))";
    socket.start_with("big", params(code, window)).await;
    let events = until_quiet(&mut socket, "big").await;
    let sent = text_of(&events, "stdout").len() as u64;
    assert!((window / 2..=window).contains(&sent), "{sent} bytes in a window of {window}");
    let progress = |server: &TestServer| {
        std::fs::read_to_string(work(&server.data_dir).join("progress")).unwrap_or_default().parse::<u32>().unwrap_or(0)
    };
    assert!(progress(&server) < 3, "the program waits in its own write");

    // Another run on the same connection goes on as if nothing were.
    let begin = Instant::now();
    socket.start("small", "javascript", "console.log('quick')").await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "quick\n");
    assert!(begin.elapsed() < Duration::from_secs(5));

    // Each acknowledgement lets the same amount through, to the last byte.
    let mut total = sent;
    let mut last = events.last().expect("an event")["seq"].as_u64().expect("a number");
    for _ in 0..5 {
        socket.request("big", json!({ "method": "ack", "params": { "seq": last } })).await;
        let events = until_quiet(&mut socket, "big").await;
        let more = text_of(&events, "stdout").len() as u64;
        assert!((window / 2..=window).contains(&more), "{more}");
        total += more;
        last = events.last().expect("an event")["seq"].as_u64().expect("a number");
    }
    assert!(total < 200_000_000);
    // It can be cancelled while it waits.
    socket.request("big", json!({ "method": "cancel" })).await;
    socket.request("big", json!({ "method": "ack", "params": { "seq": u64::MAX } })).await;
    let end = loop {
        let (_, data) = socket.event().await;
        if data["phase"] == "end" {
            break data;
        }
        socket.request("big", json!({ "method": "ack", "params": { "seq": data["seq"] } })).await;
    };
    assert_eq!(end["reason"], "cancelled");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_under_flow_control() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    socket.start_with("a", params("for i in range(300_000): print(i)", 50_000)).await;
    let (mut text, mut in_flight) = (String::new(), 0);
    loop {
        let (_, data) = socket.event().await;
        if data["phase"] == "end" {
            assert_eq!(data["status"], "finished");
            break;
        }
        if let Some(chunk) = data["chunk"].as_str() {
            text.push_str(chunk);
            in_flight += chunk.len();
            assert!(in_flight <= 50_000);
        }
        if in_flight > 20_000 {
            socket.request("a", json!({ "method": "ack", "params": { "seq": data["seq"] } })).await;
            in_flight = 0;
        }
    }
    let expected: String = (0..300_000).map(|n| format!("{n}\n")).collect();
    assert!(text == expected, "{} bytes instead of {}", text.len(), expected.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_makes_the_program_wait() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    let code = "import sys\nfor i in range(100):\n    sys.stdout.write('y' * 1_000_000)\n    open('progress', 'w').write(str(i))";
    socket.start("a", "python", code).await;
    let (_, first) = socket.event().await;
    assert_eq!(first["eventType"], "stdout");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let progress = std::fs::read_to_string(work(&server.data_dir).join("progress")).expect("a number");
    let progress: u32 = progress.parse().expect("a number");
    assert!(progress < 50, "{progress} MB went somewhere");
    // Another connection of the session is served meanwhile.
    let mut other = session.connect().await;
    other.start("b", "javascript", "console.log('free')").await;
    assert_eq!(text_of(&other.until_end().await, "stdout"), "free\n");
    // And nothing is lost once it reads on.
    let mut size = first["chunk"].as_str().expect("a text").len();
    size += text_of(&socket.until_end().await, "stdout").len();
    assert_eq!(size, 100_000_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_busy_runs_take_turns() {
    const SIZE: usize = 20_000_000;
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    // Both are ready before either begins.
    let python = "import os, sys, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n\
                  for i in range(20): sys.stdout.write('p' * 1_000_000)";
    let node = "const fs = require('fs'), s = 'j'.repeat(1e6); while (!fs.existsSync('go')) {}\n\
                for (let i = 0; i < 20; i++) process.stdout.write(s)";
    socket.start("p", "python", python).await;
    socket.start("j", "javascript", node).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.call(&session, "write_file", json!({ "path": "go", "content": "" })).await.expect("a file");
    let (mut sizes, mut first_end) = ([0_usize; 2], None);
    let mut ends = 0;
    while ends < 2 {
        // The subscriber is what is slow, or it would be the programs' speed that is compared.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let (id, data) = socket.event().await;
        let which = usize::from(id == "j");
        if data["phase"] == "end" {
            ends += 1;
            first_end.get_or_insert((which, sizes));
        }
        sizes[which] += data["chunk"].as_str().map_or(0, str::len);
    }
    assert_eq!(sizes, [SIZE; 2]);
    let (winner, sizes) = first_end.expect("an end");
    assert!(sizes[1 - winner] > SIZE / 3, "one run starved the other: {sizes:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_silent_client_is_let_go() {
    let server = TestServer::with(|config| {
        config.limits.heartbeat = Duration::from_millis(100);
        config.limits.silence_timeout = Duration::from_millis(600);
    })
    .await;
    let session = server.create().await;
    // One that answers pings stays, however quiet it is.
    let mut socket = session.connect().await;
    let mut pings = 0;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1500) {
        if let Ok(Some(Ok(Message::Ping(_)))) = tokio::time::timeout(Duration::from_millis(200), socket.0.next()).await
        {
            pings += 1;
        }
    }
    assert!(pings >= 5, "{pings} pings");
    socket.start("a", "python", "print(1)").await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "1\n");
    // One that answers nothing is gone.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(socket.close_code().await, None);
    server.stop().await;
}
