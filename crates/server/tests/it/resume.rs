//! The extension `resume`: a run outlives its connection, and nothing is lost, doubled or run twice.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Socket, TestServer, TestSession, eventually, is_greeting, text_of, work};

fn params(code: &str) -> Value {
    json!({ "language": "python", "timeoutS": 60, "code": code, "resume": true })
}

async fn resume(socket: &mut Socket, id: &str, after: u64) {
    let params = json!({ "afterSeq": after });
    socket.request(id, json!({ "method": "run_code", "mode": "resume", "params": params })).await;
}

/// Starts a run and hangs up once `count` events have come; gives them.
async fn start_and_vanish(session: &TestSession, id: &str, code: &str, count: usize) -> Vec<Value> {
    let mut socket = session.connect().await;
    socket.start_with(id, params(code)).await;
    let mut events = vec![];
    while events.len() < count {
        events.push(socket.event().await.1);
    }
    events
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().expect("a number")).collect()
}

fn last(events: &[Value]) -> u64 {
    *numbers(events).last().expect("an event")
}

/// The session's own folder.
fn folder(server: &TestServer) -> PathBuf {
    work(&server.data_dir).parent().expect("it lies in it").to_path_buf()
}

fn progress(server: &TestServer) -> u64 {
    std::fs::read_to_string(folder(server).join("work/progress")).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn lines(range: std::ops::Range<u64>) -> String {
    range.map(|n| format!("{n}\n")).collect()
}

#[tokio::test]
async fn a_client_that_comes_back_to_a_silent_program_hears_at_once_that_it_is_there() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let begun = start_and_vanish(&session, "a", "import time\ntime.sleep(600)", 2).await;
    let mut socket = session.connect().await;
    socket.start_with("b", params("1")).await;
    assert_eq!(socket.event().await.1["eventType"], "accepted"); // and it waits behind the first
    for (id, after, state) in [("a", last(&begun), "started"), ("b", 1, "accepted")] {
        let mut other = session.connect().await;
        resume(&mut other, id, after).await;
        let (_, greeting) = other.event().await;
        assert_eq!((&greeting["eventType"], is_greeting(&greeting)), (&json!(state), true), "{greeting}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_run_outlives_its_connection() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let code = "import time\nfor i in range(40):\n    print(i, flush=True)\n    time.sleep(0.02)";
    let mut events = start_and_vanish(&session, "a", code, 5).await;
    for _ in 0..3 {
        let mut socket = session.connect().await;
        resume(&mut socket, "a", last(&events)).await;
        assert!(is_greeting(&socket.event().await.1));
        events.push(socket.event().await.1);
    }
    let mut socket = session.connect().await;
    resume(&mut socket, "a", last(&events)).await;
    events.extend(socket.until_end().await);
    assert_eq!(numbers(&events), (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!(text_of(&events, "stdout"), lines(0..40));
    let times: Vec<_> = events.iter().map(|event| event["time"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted() && times.last().expect("an end") - times[0] >= 500, "{times:?}");

    // All of it once more, to the letter, as often as somebody asks, until it has been acknowledged.
    let mut socket = session.connect().await;
    resume(&mut socket, "a", 0).await;
    assert_eq!(socket.until_end().await, events);
    let end = last(&events);
    socket.request("a", json!({ "method": "ack", "params": { "seq": end - 1 } })).await;
    resume(&mut socket, "a", 0).await;
    assert_eq!(socket.until_end().await, events[events.len() - 1..], "all that there still is");
    resume(&mut socket, "a", 1).await;
    let (_, refusal) = socket.event().await;
    assert_eq!(refusal["phase"], "error");
    assert!(refusal["error"].as_str().expect("words").contains("were acknowledged and are forgotten"), "{refusal}");
    resume(&mut socket, "a", end + 1).await;
    let (_, refusal) = socket.event().await;
    assert!(refusal["error"].as_str().expect("words").contains(&format!("has {end} events")), "{refusal}");
    resume(&mut socket, "a", end - 1).await;
    assert_eq!(socket.until_end().await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn the_newest_viewer_wins_and_the_other_is_told() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut old = session.connect().await;
    old.start_with("a", params("import time\nprint(1, flush=True)\ntime.sleep(0.5)\nprint(2)")).await;
    while text_of(&[old.event().await.1], "stdout").is_empty() {}
    let mut new = session.connect().await;
    resume(&mut new, "a", 0).await;
    let events = new.until_end().await;
    assert_eq!(text_of(&events, "stdout"), "1\n2\n");
    let (_, refusal) = old.event().await;
    assert!(refusal["error"].as_str().expect("words").contains("later connection"), "{refusal}");
    // It is not a subscriber any more: it can forget nothing on the other's behalf.
    old.request("a", json!({ "method": "ack", "params": { "seq": 100 } })).await;
    old.start("b", "python", "print('well')").await;
    assert_eq!(text_of(&old.until_end().await, "stdout"), "well\n");
    resume(&mut new, "a", 0).await;
    assert_eq!(new.until_end().await, events);
    server.stop().await;
}

#[tokio::test]
async fn a_start_that_is_said_again_finds_the_run() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let code = "import time\nopen('starts', 'a').write('x')\nprint('once', flush=True)\ntime.sleep(0.3)\nprint('end')";
    let begun = start_and_vanish(&session, "a", code, 1).await;
    let mut again = session.connect().await;
    again.start_with("a", params(code)).await;
    again.start_with("a", params(code)).await; // on the same connection: it is under way
    let events = again.until_end().await;
    assert_eq!((text_of(&events, "stdout").as_str(), &events[0]), ("once\nend\n", &begun[0]));
    // Behind its end, too.
    let mut late = session.connect().await;
    late.start_with("a", params(code)).await;
    assert_eq!(late.until_end().await, events);
    // Another program is not taken for it.
    late.start_with("a", params("print('other')")).await;
    let (_, refusal) = late.event().await;
    assert!(refusal["error"].as_str().expect("words").contains("another program"), "{refusal}");
    assert_eq!(std::fs::read_to_string(folder(&server).join("work/starts")).expect("a file"), "x");
    server.stop().await;
}

#[tokio::test]
async fn an_ended_run_is_kept_for_a_while() {
    let server = TestServer::with(|config| config.limits.resume_retention = Duration::from_millis(600)).await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    socket.start_with("a", params("print(1)")).await;
    let events = socket.until_end().await;
    resume(&mut socket, "a", 0).await;
    assert_eq!(socket.until_end().await, events);
    let refused = loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        resume(&mut socket, "a", last(&events)).await;
        match tokio::time::timeout(Duration::from_millis(300), socket.event()).await {
            Ok((_, refusal)) if !is_greeting(&refusal) => break refusal,
            _ => continue,
        }
    };
    assert!(refused["error"].as_str().expect("words").contains("for 0.6 s"), "{refused}");
    resume(&mut socket, "never", 0).await;
    assert!(socket.event().await.1["error"].as_str().expect("words").contains("no such run"));
    server.stop().await;
}

#[tokio::test]
async fn ended_runs_do_not_fill_the_memory() {
    let server = TestServer::with(|config| config.limits.max_runs = 4).await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    for n in 0..10 {
        socket.start_with(&format!("{n}"), params("print(1)")).await;
        socket.until_end().await;
    }
    let mut kept = 0;
    for n in 0..10 {
        resume(&mut socket, &format!("{n}"), 0).await;
        let (_, first) = socket.event().await;
        if first["phase"] == "event" {
            socket.until_end().await;
            kept += 1;
        }
    }
    assert_eq!(kept, 4);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_sees_goes_into_a_file() {
    let server = TestServer::with(|config| config.limits.replay_memory = 64 * 1024).await;
    let session = server.create().await;
    let code = "for i in range(1_000_000): print(i)\nopen('progress', 'w').write('1000000')";
    let begun = start_and_vanish(&session, "a", code, 3).await;
    eventually("the program runs to its end", || progress(&server) == 1_000_000).await;
    let entries = std::fs::read_dir(folder(&server)).expect("a folder").flatten();
    let files: Vec<_> = entries.filter(|entry| !entry.path().is_dir()).map(|entry| entry.file_name()).collect();
    assert!(files.is_empty(), "the file has no name: {files:?}");
    // Twice, since nothing of it was acknowledged; then acknowledged in steps.
    for _ in 0..2 {
        let mut socket = session.connect().await;
        resume(&mut socket, "a", last(&begun)).await;
        let rest = socket.until_end().await;
        let text = text_of(&begun, "stdout") + &text_of(&rest, "stdout");
        assert!(text == lines(0..1_000_000), "{} bytes", text.len());
    }
    let mut socket = session.connect().await;
    resume(&mut socket, "a", 0).await;
    let mut text = String::new();
    loop {
        let (_, data) = socket.event().await;
        if data["phase"] == "end" {
            break;
        }
        text.push_str(data["chunk"].as_str().unwrap_or_default());
        socket.request("a", json!({ "method": "ack", "params": { "seq": data["seq"] } })).await;
    }
    assert!(text == lines(0..1_000_000), "{} bytes", text.len());
    server.stop().await;
}

/// A large window lets more through than the memory keeps, and so do results, which no window counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_viewer_has_not_acknowledged_goes_into_a_file_as_well() {
    let server = TestServer::with(|config| config.limits.replay_memory = 64 * 1024).await;
    let session = server.create().await;
    let text = "for i in range(8_000): print('x' * 999)";
    let results = "class Page:\n    def _repr_html_(self): return 'x' * 40_000\nfor i in range(200): display(Page())";
    for (id, code) in [("text", text), ("results", results)] {
        let mut socket = session.connect().await;
        let mut params = params(code);
        params["window"] = json!(16 << 20);
        socket.start_with(id, params).await;
        let events = socket.until_end().await; // and no acknowledgement all the while
        let html = events.iter().filter_map(|event| event["result"]["mime"]["text/html"].as_str());
        let size = text_of(&events, "stdout").len() + html.map(str::len).sum::<usize>();
        assert_eq!(size, 8_000_000, "{:?}", events.last());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_file_is_full_the_program_waits_and_nothing_is_lost() {
    let server = TestServer::with(|config| {
        config.limits.replay_memory = 64 * 1024;
        config.limits.replay_spool = 1 << 20;
    })
    .await;
    let session = server.create().await;
    let code = "for i in range(40):\n    print('x' * 99_999)\n    open('progress', 'w').write(str(i))";
    let begun = start_and_vanish(&session, "a", code, 2).await;
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(700)).await;
        match progress(&server) {
            now if now > 0 && now == before => break,
            now => before = now,
        }
    }
    assert!((10..35).contains(&before), "{before} of 40 went somewhere");
    let mut socket = session.connect().await;
    resume(&mut socket, "a", last(&begun)).await;
    let mut size = text_of(&begun, "stdout").len();
    loop {
        let (_, data) = socket.event().await;
        if data["phase"] == "end" {
            assert_eq!(data["status"], "finished");
            break;
        }
        size += data["chunk"].as_str().map_or(0, str::len);
        socket.request("a", json!({ "method": "ack", "params": { "seq": data["seq"] } })).await;
    }
    assert_eq!(size, 40 * 100_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_makes_the_program_wait_and_the_server_live() {
    let server = TestServer::with(|config| config.limits.replay_memory = 64 * 1024).await;
    let session = server.create().await;
    let code = "for i in range(40):\n    print('x' * 99_999)\n    open('progress', 'w').write(str(i))\nopen('progress', 'w').write('100')";
    let mut socket = session.connect().await;
    // The interpreter is there before its folder goes: only the replay's file cannot be made.
    socket.start("warm", "python", "1").await;
    socket.until_end().await;
    let before = folder(&server);
    let hidden = before.with_extension("hidden");
    std::fs::rename(&before, &hidden).expect("renamed");
    drop(socket);
    let begun = start_and_vanish(&session, "a", code, 2).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let at = std::fs::read_to_string(hidden.join("work/progress")).expect("a number");
    assert!(at.parse::<u64>().expect("a number") < 35, "{at} of 40 went somewhere");
    // Others are served meanwhile.
    let mut other = session.connect().await;
    other.start_with("b", params("print('free')")).await;
    std::fs::rename(&hidden, &before).expect("renamed");
    eventually("the program goes on once there is room", || progress(&server) == 100).await;
    resume(&mut other, "a", last(&begun)).await;
    let mut size = text_of(&begun, "stdout").len();
    let mut free = String::new();
    let mut ends = 0;
    while ends < 2 {
        let (id, data) = other.event().await;
        ends += u64::from(data["phase"] == "end");
        let chunk = data["chunk"].as_str().unwrap_or_default();
        if id == "a" { size += chunk.len() } else { free.push_str(chunk) }
    }
    assert_eq!((size, free.as_str()), (40 * 100_000, "free\n"));
    server.stop().await;
}

#[tokio::test]
async fn nobody_comes_back() {
    let server = TestServer::with(|config| config.limits.unwatched_time = Duration::from_millis(500)).await;
    let session = server.create().await;
    let code = "import time\nprint('begin', flush=True)\ntime.sleep(60)";
    let begun = start_and_vanish(&session, "a", code, 3).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut socket = session.connect().await;
    resume(&mut socket, "a", last(&begun)).await;
    let events = socket.until_end().await;
    let end = events.last().expect("an end");
    assert_eq!((&end["status"], &end["reason"]), (&json!("failed"), &json!("interrupted")));
    assert!(end["executionError"].as_str().expect("words").contains("nobody came back"), "{end}");
    // Without `resume` it is interrupted at once, and not kept.
    socket.start("b", "python", "import time\nprint('begin', flush=True)\ntime.sleep(60)").await;
    socket.event().await;
    drop(socket);
    let mut socket = session.connect().await;
    socket.start("c", "python", "print('next')").await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "next\n");
    resume(&mut socket, "b", 0).await;
    assert!(socket.event().await.1["error"].as_str().expect("words").contains("no such run"));
    server.stop().await;
}

#[tokio::test]
async fn a_run_can_be_cancelled_from_a_later_connection() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let begun = start_and_vanish(&session, "a", "import time\ntime.sleep(60)", 2).await;
    let mut socket = session.connect().await;
    resume(&mut socket, "a", last(&begun)).await;
    socket.request("a", json!({ "method": "cancel" })).await;
    assert_eq!(socket.until_end().await.last().expect("an end")["reason"], "cancelled");
    server.stop().await;
}
