//! Runs that stream.

use std::sync::Arc;
use std::time::Duration;

use agb_client::agb_core::Finish;
use agb_client::agb_core::wire::service::{Request, parse_request};
use agb_client::{Options, RunEvent, SocketLimits, Stream};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::peer::{self, Peer};

/// Answers each run with its own code, twice, and ends it.
async fn echo(_: usize, mut socket: peer::Served) {
    while let Some((invocation, start)) = peer::start(&mut socket).await {
        peer::print(&mut socket, &invocation, &start.code).await;
        peer::send(&mut socket, peer::reply(&invocation).chunk(Stream::Stderr, "grün 👩‍💻")).await;
        peer::end(&mut socket, &invocation).await;
    }
}

#[tokio::test]
async fn events_come_in_order_and_the_result_has_them() {
    let peer = Peer::start(echo).await;
    let session = peer.session(&[]);
    let mut run = session.code().run("1\n", "py").stream().expect("it streams");
    assert_eq!(run.id().len(), 32);
    let expected = [RunEvent::Stdout("1\n".into()), RunEvent::Stderr("grün 👩‍💻".into())];
    for event in expected {
        assert_eq!(run.next().await, Some(event));
    }
    assert_eq!(run.next().await, None);
    let id = run.id().to_owned();
    let result = run.finish().await;
    assert!(result.success, "{result:?}");
    assert_eq!((result.request_id, result.execution_count, result.execution_time), (id, Some(1), 0.25));
    assert_eq!(result.logs.stdout, ["1\n"]);
    assert_eq!(result.logs.stderr, ["grün 👩‍💻"]);
    assert_eq!(*peer.tokens.lock().expect("not poisoned"), [peer::TOKEN]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_runs_at_once_open_one_socket() {
    let peer = Peer::start(echo).await;
    let session = peer.session(&[]);
    let runs = (0..32).map(|number| {
        let session = session.clone();
        tokio::spawn(async move {
            let run = session.code().run(number.to_string(), "python").stream().expect("it streams");
            (number.to_string(), run.finish().await)
        })
    });
    for run in runs.collect::<Vec<_>>() {
        let (code, result) = run.await.expect("it does not panic");
        assert!(result.success, "{result:?}");
        assert_eq!(result.logs.stdout, [code]);
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_refused_handshake_says_its_status() {
    let peer = Peer::answering("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    let result = peer.session(&[]).code().run("1", "python").stream().expect("it is taken").finish().await;
    assert!(!result.success);
    assert!(result.error_message.contains("403"), "{}", result.error_message);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_slow_stream_is_seen_while_it_runs() {
    let seen = Arc::new(tokio::sync::Notify::new());
    let is_seen = Arc::clone(&seen);
    let peer = Peer::start(move |_, mut socket| {
        let is_seen = Arc::clone(&is_seen);
        async move {
            let Some((invocation, _)) = peer::start(&mut socket).await else { return };
            for number in 0..3 {
                peer::print(&mut socket, &invocation, &number.to_string()).await;
                is_seen.notified().await; // it prints no more before this was seen
            }
            peer::end(&mut socket, &invocation).await;
        }
    })
    .await;
    let mut run = peer.session(&[]).code().run("1", "python").stream().expect("it streams");
    for number in 0..3 {
        assert_eq!(run.next().await, Some(RunEvent::Stdout(number.to_string())));
        seen.notify_one();
    }
    assert_eq!(run.finish().await.logs.stdout, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_half_open_connection_is_noticed() {
    // It takes the run and then neither reads nor writes, as a peer behind a dead network does.
    let peer = Peer::start(|_, mut socket| async move {
        peer::start(&mut socket).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let impatient = Options::new().tune(|config| {
        config.heartbeat = Duration::from_millis(100);
        config.silence = Duration::from_millis(250);
    });
    let session = peer.session_with(&[], impatient);
    let begun = std::time::Instant::now();
    let result = session.code().run("1", "python").stream().expect("it streams").finish().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(result.error.map(|error| error.name).as_deref(), Some("Interrupted"));
    assert!(result.error_message.contains("nothing was heard"), "{}", result.error_message);
}

#[tokio::test]
async fn the_next_run_opens_a_new_socket_when_the_old_one_is_lost() {
    let peer = Peer::start(|number, mut socket| async move {
        let Some((invocation, _)) = peer::start(&mut socket).await else { return };
        peer::print(&mut socket, &invocation, "before").await;
        if number > 0 {
            peer::end(&mut socket, &invocation).await;
            peer::start(&mut socket).await;
        }
    })
    .await;
    let session = peer.session(&[]);
    let run = || session.code().run("1", "python").stream().expect("it streams").finish();
    let lost = run().await;
    assert_eq!(lost.error.map(|error| error.name).as_deref(), Some("Interrupted"));
    assert_eq!(lost.logs.stdout, ["before"]);
    assert!(lost.error_message.contains("unknown"), "{}", lost.error_message);
    assert!(run().await.success);
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_run_is_found_again_where_the_service_can_resume() {
    let peer = Peer::start(|number, mut socket| async move {
        match peer::request(&mut socket).await {
            Some(Request::Start { invocation, start, .. }) => {
                assert!(start.resume && number == 0);
                peer::send(&mut socket, peer::numbered(&invocation, 1).chunk(Stream::Stdout, "one")).await;
            }
            Some(Request::Resume { invocation, after_seq, .. }) => {
                assert_eq!((after_seq, number), (1, 1));
                for (seq, chunk) in [(1, "one"), (2, "two")] {
                    peer::send(&mut socket, peer::numbered(&invocation, seq).chunk(Stream::Stdout, chunk)).await;
                }
                peer::send(&mut socket, peer::numbered(&invocation, 3).end(&Finish::default())).await;
                peer::request(&mut socket).await;
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
    let mut run = peer.session(&["resume"]).code().run("1", "python").stream().expect("it streams");
    let mut events = Vec::new();
    while let Some(event) = run.next().await {
        events.push(event);
    }
    let stdout = |text: &str| RunEvent::Stdout(text.into());
    let lost = RunEvent::Interrupted(agb_core::DisconnectReason::Broken("the connection was cut".into()));
    assert_eq!(events, [stdout("one"), lost, RunEvent::Reconnected, stdout("two")]);
    assert!(run.finish().await.success);
    assert_eq!(peer.connections(), 2);
}

/// What nobody follows is followed all the same.
#[tokio::test]
async fn a_run_that_is_awaited_is_found_again_as_well() {
    let peer = Peer::start(|number, mut socket| async move {
        match peer::request(&mut socket).await {
            Some(Request::Start { invocation, start, .. }) => {
                assert!(start.resume && !start.stdin && number == 0, "{start:?}");
                peer::send(&mut socket, peer::numbered(&invocation, 1).chunk(Stream::Stdout, "one")).await;
            }
            Some(Request::Resume { invocation, after_seq, .. }) => {
                assert_eq!((after_seq, number), (1, 1));
                peer::send(&mut socket, peer::numbered(&invocation, 2).chunk(Stream::Stdout, "two")).await;
                let finish = Finish { execution_count: Some(1), execution_time: Some(0.25), ..Finish::default() };
                peer::send(&mut socket, peer::numbered(&invocation, 3).end(&finish)).await;
                peer::request(&mut socket).await;
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
    let session = peer.session(&["resume", "stdin"]);
    let result = session.code().run("1", "python").stdin(true).log_limit(4).await.expect("it is taken");
    assert!(result.success && result.truncated, "{result:?}");
    assert_eq!((result.interruptions, result.execution_count, result.execution_time), (1, Some(1), 0.25));
    assert_eq!((result.logs.stdout, result.request_id.len()), (vec!["one".into(), "t".into()], 32));
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_run_that_is_no_longer_awaited_is_cancelled() {
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let peer = Peer::start(move |_, mut socket| {
        let seen = seen.clone();
        async move {
            while let Some(request) = peer::request(&mut socket).await {
                seen.send(request).expect("the test waits for it");
            }
        }
    })
    .await;
    let session = peer.session(&["resume", "cancel"]);
    let kept = session.clone();
    let run = tokio::spawn(async move { session.code().run("1", "python").await });
    let Some(Request::Start { invocation, .. }) = requests.recv().await else { panic!("it is sent first") };
    run.abort();
    assert!(run.await.expect_err("it was aborted").is_cancelled());
    assert_eq!(requests.recv().await, Some(Request::Cancel { invocation }));
    drop(kept);
}

/// Keeps to the window of each run.
async fn flowing(socket: peer::Served) {
    const CHUNK: u64 = 16 * 1024;
    const CHUNKS: u64 = 400;
    let (mut sink, mut stream) = socket.split();
    let chunk = "x".repeat(usize::try_from(CHUNK).expect("it is small"));
    // Invocation, window, sent, acknowledged.
    let mut runs: Vec<(String, u64, u64, u64)> = Vec::new();
    loop {
        for (invocation, window, sent, acked) in &mut runs {
            while *sent < CHUNKS && (*sent + 1 - *acked) * CHUNK <= *window {
                *sent += 1;
                let text = peer::numbered(invocation, *sent).chunk(Stream::Stdout, &chunk);
                let _ = sink.send(Message::text(text)).await;
            }
            if *sent == CHUNKS {
                *sent += 1;
                let text = peer::numbered(invocation, *sent).end(&Finish::default());
                let _ = sink.send(Message::text(text)).await;
            }
        }
        let Some(Ok(message)) = stream.next().await else { return };
        let Message::Text(text) = message else { continue };
        match parse_request(&text).expect("the client writes JSON objects") {
            Request::Start { invocation, start, .. } => {
                runs.push((invocation, start.window.expect("flow was offered"), 0, 0));
            }
            Request::Ack { invocation, seq } => {
                let run = runs.iter_mut().find(|run| run.0 == invocation).expect("it acknowledges its runs");
                run.3 = run.3.max(seq);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_slow_reader_does_not_hold_back_another_where_the_service_knows_flow() {
    let peer = Peer::start(|_, socket| flowing(socket)).await;
    let session = peer.session(&["flow"]);
    let slow = session.code().run("slow", "python").stream().expect("it streams");
    let quick = session.code().run("quick", "python").stream().expect("it streams");
    let done = tokio::time::timeout(Duration::from_secs(10), quick.finish()).await;
    let result = done.expect("the slow one holds it back");
    assert_eq!(result.logs.stdout.iter().map(String::len).sum::<usize>(), 400 * 16 * 1024);
    assert_eq!(slow.finish().await.logs.stdout.len(), 400);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_cancelled_run_ends_with_what_came_before() {
    let peer = Peer::start(|_, mut socket| async move {
        let Some((invocation, _)) = peer::start(&mut socket).await else { return };
        peer::print(&mut socket, &invocation, "before").await;
        assert_eq!(peer::request(&mut socket).await, Some(Request::Cancel { invocation: invocation.clone() }));
        let finish = Finish { failed: true, ..Finish::default() };
        peer::send(&mut socket, peer::reply(&invocation).end(&finish)).await;
        peer::request(&mut socket).await;
    })
    .await;
    let mut run = peer.session(&["cancel"]).code().run("1", "python").stream().expect("it streams");
    assert_eq!(run.next().await, Some(RunEvent::Stdout("before".into())));
    run.control().cancel();
    let result = run.finish().await;
    assert_eq!(result.error.map(|error| error.name).as_deref(), Some("Cancelled"));
    assert_eq!(result.logs.stdout, ["before"]);
}

#[tokio::test]
async fn the_log_is_limited_and_the_stream_is_not() {
    let peer = Peer::start(|_, mut socket| async move {
        let Some((invocation, _)) = peer::start(&mut socket).await else { return };
        for _ in 0..100 {
            peer::print(&mut socket, &invocation, &"é".repeat(5_000)).await;
        }
        peer::end(&mut socket, &invocation).await;
        peer::request(&mut socket).await;
    })
    .await;
    let session = peer.session(&[]);
    let mut run = session.code().run("1", "python").log_limit(25_001).stream().expect("it streams");
    let mut total = 0;
    while let Some(batch) = run.next_batch().await {
        total += batch.text().len();
    }
    assert_eq!(total, 1_000_000);
    let result = run.finish().await;
    assert!(result.success && result.truncated);
    assert_eq!(result.logs.stdout.iter().map(String::len).collect::<Vec<_>>(), [10_000, 10_000, 5_000]);
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused() {
    let peer = Peer::start(echo).await;
    let limits = SocketLimits { max_message: 10_000, max_frame: 10_000 };
    let session = peer.session_with(&[], Options::new().socket_limits(limits));
    let run = |code: String| session.code().run(code, "python").stream().expect("it streams").finish();
    assert!(run("x".repeat(1_000)).await.success);
    let result = run("x".repeat(20_000)).await;
    assert!(result.error_message.contains("too large"), "{}", result.error_message);
}

#[tokio::test]
async fn what_is_no_websocket_is_said_so() {
    for (answer, words) in [
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP"),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", "not a WebSocket's"),
        ("", "closed during the handshake"),
    ] {
        let peer = Peer::answering(answer).await;
        let hasty = Options::new().tune(|config| config.give_up = Duration::from_millis(200));
        let session = peer.session_with(&[], hasty);
        let result = session.code().run("1", "python").stream().expect("it is taken").finish().await;
        assert!(result.error_message.contains(words), "{}", result.error_message);
    }
}

#[tokio::test]
async fn nothing_is_sent_for_what_cannot_run() {
    let peer = Peer::start(echo).await;
    let session = peer.session(&[]);
    let error = session.code().run("1", "cobol").stream().expect_err("no such language");
    assert_eq!(error.code(), "UNKNOWN_LANGUAGE");
    session.close();
    let error = session.code().run("1", "python").stream().expect_err("it is closed");
    assert_eq!(error.code(), "SESSION_CLOSED");
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_log_that_was_cut_has_no_hole() {
    let peer = Peer::start(|_, mut socket| async move {
        let Some((invocation, _)) = peer::start(&mut socket).await else { return };
        for (stream, text) in [
            (Stream::Stdout, "123456789"),
            (Stream::Stdout, "é"),
            (Stream::Stderr, &*"e".repeat(10_000)),
            (Stream::Stdout, "a"),
        ] {
            peer::send(&mut socket, peer::reply(&invocation).chunk(stream, text)).await;
        }
        peer::end(&mut socket, &invocation).await;
        peer::request(&mut socket).await;
    })
    .await;
    let run = peer.session(&[]).code().run("1", "python").log_limit(10).stream().expect("it streams");
    let result = run.finish().await;
    assert!(result.truncated);
    assert_eq!((result.logs.stdout, result.logs.stderr), (vec!["123456789".into()], vec!["e".repeat(10)]));
}
