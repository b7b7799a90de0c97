//! WebSocket clients that mean no good, or know no better.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{PATIENCE, Socket, TestServer, TestSession, text_of};

async fn still_works(session: &TestSession) {
    says_that_it_works(session.connect().await).await;
}

async fn says_that_it_works(mut socket: Socket) {
    socket.start("ok", "python", "print('works')").await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "works\n");
}

#[tokio::test]
async fn garbage_is_dropped_and_then_the_connection() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    let deep = "[".repeat(100_000);
    for text in ["", "{", "null", "[]", "\u{0}", "{\"data\":{}}", "{\"invocationId\":3}", "{\"type\":7}", deep.as_str()]
    {
        socket.send(text).await;
    }
    socket.0.send(Message::binary(vec![0xff; 1000])).await.expect("sent");
    // A run of before and after is not disturbed.
    socket.start("a", "python", "print('fine')").await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "fine\n");
    for _ in 0..200 {
        if socket.0.send(Message::text("{")).await.is_err() {
            break;
        }
    }
    assert_eq!(socket.close_code().await, Some(1008));
    still_works(&session).await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_known_gets_a_clear_error() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    for (data, part) in [
        (json!({ "method": "pty.create" }), "pty.create"),
        (json!({ "method": "run_code", "mode": "batch" }), "run_code batch"),
        (json!({}), "knows no request"),
        (json!("not JSON"), "knows no request"),
        (json!({ "method": "run_code", "mode": "resume", "params": { "afterSeq": 3 } }), "no such run"),
    ] {
        socket.request("q", data).await;
        let (id, answer) = socket.event().await;
        assert_eq!((id.as_str(), &answer["phase"]), ("q", &json!("error")));
        assert!(answer["error"].as_str().expect("a text").contains(part), "{answer}");
    }
    // Within a run that goes on, they are no reason to end it.
    socket.start("a", "python", "import time; print(1); time.sleep(0.5); print(2)").await;
    socket.request("a", json!({ "method": "nonsense" })).await;
    socket.request("a", json!({ "method": "ack" })).await;
    socket.request("a", json!({ "method": "stdin", "params": { "data": "x" } })).await;
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "1\n2\n");
    // JSON in a binary message is JSON.
    let start = json!({ "invocationId": "b", "data": { "method": "run_code", "mode": "stream",
        "params": { "language": "python", "code": "print(3)" } } });
    socket.0.send(Message::binary(start.to_string().into_bytes())).await.expect("sent");
    assert_eq!(text_of(&socket.until_end().await, "stdout"), "3\n");
    server.stop().await;
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_connection_with_a_word() {
    let server = TestServer::with(|config| config.limits.max_message = 100_000).await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    let code = format!("len('{}')", "x".repeat(90_000));
    socket.start("a", "python", &code).await;
    assert_eq!(socket.until_end().await[0]["result"]["mime"]["text/plain"], "90000");
    let _ = socket.0.send(Message::text("x".repeat(200_000))).await;
    assert_eq!(socket.close_code().await, Some(1009));
    let mut socket = session.connect().await;
    socket.request(&"i".repeat(300), json!({ "method": "x" })).await;
    assert_eq!(socket.close_code().await, Some(1008));
    still_works(&session).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_tiny_messages_harm_nobody() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut flood = session.connect().await;
    let mut other = session.connect().await;
    other.start("warm", "python", "1").await;
    other.until_end().await;
    let begin = Instant::now();
    let flooding = tokio::spawn(async move {
        for n in 0..1_000_000 {
            if flood.0.feed(Message::text(r#"{"type":"ping"}"#)).await.is_err() {
                return (n, flood);
            }
        }
        flood.0.flush().await.expect("sent");
        (1_000_000, flood)
    });
    // Another connection is served meanwhile, at once.
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        let begin = Instant::now();
        other.start(&n.to_string(), "python", "print(1)").await;
        other.until_end().await;
        slowest = slowest.max(begin.elapsed());
    }
    let (sent, mut flood) = flooding.await.expect("no panic");
    assert_eq!(sent, 1_000_000, "heartbeats are taken, however many");
    flood.start("after", "python", "print('after')").await;
    assert_eq!(text_of(&flood.until_end().await, "stdout"), "after\n");
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests_that_nobody_reads_the_answers_of_is_held_back() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut flood = session.connect().await;
    let request = json!({ "invocationId": "x", "data": { "method": "run_code", "mode": "stream",
        "params": { "language": "none", "code": "" } } })
    .to_string();
    // Starts that are refused; their answers are never read, so that at some point nothing is taken any more.
    let sending = async {
        for _ in 0..1_000_000 {
            flood.0.feed(Message::text(request.clone())).await.expect("sent");
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), sending).await.is_err(), "the server took a million requests");
    still_works(&server.create().await).await;
    // The flood's own session has used up its calls for this second.
    let begin = Instant::now();
    let socket = loop {
        match session.try_connect(Some(&session.token)).await {
            Ok(socket) => break socket,
            Err((429, _)) if begin.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("no connection: {error:?}"),
        }
    };
    says_that_it_works(socket).await;
    drop(flood);
    server.stop().await;
}

#[tokio::test]
async fn broken_frames_and_handshakes_end_their_connection_only() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let head = |token: &str| {
        format!(
            "GET /ws/{} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Access-Token: {token}\r\n\r\n",
            session.id
        )
    };
    for garbage in [
        &[0xff; 64][..],
        b"\x81\x05hello, and not masked",
        b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff and more",
        b"\x81\x85\0\0\0\0\xff\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut socket = TcpStream::connect(server.address).await.expect("a connection");
        socket.write_all(head(&session.token).as_bytes()).await.expect("written");
        let mut answer = vec![0; 1024];
        let read = socket.read(&mut answer).await.expect("an answer");
        assert!(answer[..read].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer[..read]));
        socket.write_all(garbage).await.expect("written");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection goes on after {garbage:?}");
    }
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\0\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    {
        let mut socket = TcpStream::connect(server.address).await.expect("a connection");
        socket.write_all(garbage).await.expect("written");
        socket.shutdown().await.expect("said");
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut rest))
            .await
            .expect("hung up")
            .expect("read");
    }
    still_works(&session).await;
    server.stop().await;
}
