//! Runs that stream.

use std::time::Duration;

use agb_client::{RunEvent, Stream};
use futures_util::StreamExt;

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
    let peer = Peer::start(|_, mut socket| async move {
        let Some((invocation, _)) = peer::start(&mut socket).await else { return };
        for number in 0..3 {
            peer::print(&mut socket, &invocation, &number.to_string()).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        peer::end(&mut socket, &invocation).await;
    })
    .await;
    let mut run = peer.session(&[]).code().run("1", "python").stream().expect("it streams");
    let started = std::time::Instant::now();
    assert_eq!(run.next().await, Some(RunEvent::Stdout("0".into())));
    assert!(started.elapsed() < Duration::from_millis(45), "{:?}", started.elapsed());
    assert_eq!(run.finish().await.logs.stdout, ["0", "1", "2"]);
}
