//! The load server behind a WebSocket client that nobody here wrote.

use std::net::{Ipv4Addr, SocketAddr};

use agb_core::wire::incoming::{Incoming, Message, Origin, parse};
use agb_testkit::load::LoadServer;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

async fn start() -> SocketAddr {
    let server = LoadServer::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port is free");
    let address = server.address().expect("it is bound");
    tokio::spawn(server.serve());
    address
}

/// One HTTP call; the answer's `data`.
async fn call(address: SocketAddr, target: &str, body: &str) -> Value {
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let request = format!("POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.expect("it reads");
    let (mut answer, mut chunk) = (String::new(), [0; 4096]);
    loop {
        let length = socket.read(&mut chunk).await.expect("it answers");
        answer.push_str(str::from_utf8(&chunk[..length]).expect("it is text"));
        if let Some((_, body)) = answer.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str::<Value>(body)
        {
            return body["data"].clone();
        }
    }
}

async fn connect(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let socket = TcpStream::connect(address).await.expect("it listens");
    let (socket, _) =
        tokio_tungstenite::client_async(format!("ws://{address}/ws"), socket).await.expect("it is a WebSocket");
    socket
}

fn start_run(id: &str, code: &str, params: Value) -> Frame {
    let mut params = params;
    params["code"] = json!(code);
    Frame::text(
        json!({ "invocationId": id, "data": { "method": "run_code", "mode": "stream", "params": params } }).to_string(),
    )
}

#[tokio::test]
async fn sessions_are_made_and_released() {
    let address = start().await;
    let made = call(address, "/mcp/createSession?imageId=load.flow.resume", "{}").await;
    assert_eq!(made["sessionId"], "load.flow.resume-0");
    assert_eq!(made["extensions"], json!(["resume", "flow"]));
    assert_eq!(made["wsUrl"], format!("ws://{address}/ws"));
    let id = json!({ "sessionId": "load.flow.resume-0" }).to_string();
    assert_eq!(call(address, "/mcp/getSession", &id).await, {
        let mut again = made;
        again["status"] = json!("RUNNING");
        again
    });
    call(address, "/mcp/releaseSessionAsync", &id).await;
    assert_eq!(call(address, "/mcp/getSessionInfo", &id).await["status"], "FINISH");
}

#[tokio::test]
async fn runs_side_by_side_print_all_they_were_asked_for() {
    let address = start().await;
    let mut socket = connect(address).await;
    for (id, code) in [("a", "blast n=20000 s=64"), ("b", "blast n=300 s=70000 utf8=1"), ("c", "speed=1")] {
        socket.send(start_run(id, code, json!({}))).await.expect("it reads");
    }
    let (mut chunks, mut ended) = ([0_u64; 2], Vec::new());
    while ended.len() < 3 {
        let frame = socket.next().await.expect("it goes on").expect("its frames are right");
        let text = frame.into_text().expect("it sends text");
        let Incoming::Run { invocation, message, .. } = parse(&text) else { panic!("{text}") };
        match message {
            Message::Chunk(..) => chunks[usize::from(invocation == "b")] += 1,
            Message::End(finish) => ended.push((invocation.into_owned(), finish.failed)),
            Message::Failed(why) => {
                assert_eq!(why, "speed=1: no such word");
                ended.push((invocation.into_owned(), true));
            }
            other => panic!("{other:?}"),
        }
    }
    ended.sort();
    assert_eq!(ended, [("a".into(), false), ("b".into(), false), ("c".into(), true)]);
    assert_eq!(chunks, [20_000, 300]);
}

#[tokio::test]
async fn a_window_is_kept_and_a_cancel_heeded() {
    let address = start().await;
    let mut socket = connect(address).await;
    socket.send(start_run("a", "n=1000 s=1000 number=1", json!({ "window": 10_000 }))).await.expect("it reads");
    let mut seq = 0;
    // "started" counts as an event of the same size.
    for _ in 0..10 {
        let text = socket.next().await.expect("it goes on").expect("its frames are right").into_text();
        let text = text.expect("it sends text");
        let Incoming::Run { origin: Origin { seq: Some(number), .. }, .. } = parse(&text) else { panic!("{text}") };
        seq += 1;
        assert_eq!(number, seq);
    }
    let more = tokio::time::timeout(std::time::Duration::from_millis(50), socket.next()).await;
    assert!(more.is_err(), "the window is full: {more:?}");
    let say = |data: Value| Frame::text(json!({ "invocationId": "a", "data": data }).to_string());
    socket.send(say(json!({ "method": "ack", "params": { "seq": 4 } }))).await.expect("it reads");
    for _ in 0..4 {
        socket.next().await.expect("it goes on").expect("its frames are right");
    }
    socket.send(say(json!({ "method": "cancel" }))).await.expect("it reads");
    let text = socket.next().await.expect("it goes on").expect("its frames are right").into_text();
    let text = text.expect("it sends text");
    let Incoming::Run { message: Message::End(finish), .. } = parse(&text) else { panic!("{text}") };
    assert!(finish.failed);
}
