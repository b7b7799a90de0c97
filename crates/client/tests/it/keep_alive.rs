//! Calls at the moment when the other side closes an idle connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agb_client::{Agb, CreateSession, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::service::fine;

/// When the server gives up a connection. Servers and proxies are set to 2 s (gunicorn), 5 s (Node, Apache), 30 s (ours)
/// or 60 s: the client's own limit has to be below, and the shortest wait that can show it is just above that.
const SERVER_IDLE: Duration = Duration::from_millis(1_050);
/// Clients at once, each with a distance of its own from that moment.
const CLIENTS: u64 = 21;
const CALLS: usize = 3;

/// Answers every request with a session, and closes what was idle for too long. Gives its URL and the number of its
/// connections.
async fn closing_server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(tcp));
        }
    });
    (url, connections)
}

async fn serve(mut tcp: TcpStream) {
    let mut request = Vec::new();
    loop {
        match tokio::time::timeout(SERVER_IDLE, tcp.read_buf(&mut request)).await {
            Ok(Ok(1..)) => {}
            _ => return,
        }
        // The bodies here are JSON objects, or absent.
        if request.ends_with(b"}") || (request.starts_with(b"GET ") && request.ends_with(b"\r\n\r\n")) {
            request.clear();
            let (_, body) = fine(r#"{"sessionId":"s-1","success":true}"#);
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if tcp.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_must_not_be_repeated_never_meets_a_closing_connection() {
    let (url, connections) = closing_server().await;
    let clients = (0..CLIENTS).map(|number| {
        let options = Options::new().api_key("key").endpoint(&url).environment([("", ""); 0]);
        let agb = Agb::new(&options).expect("the settings are fine");
        // 10 ms before the moment to 10 ms after it.
        let wait = SERVER_IDLE + Duration::from_millis(number) - Duration::from_millis(CLIENTS / 2);
        tokio::spawn(async move {
            for call in 0..CALLS {
                if call > 0 {
                    tokio::time::sleep(wait).await;
                }
                let image = CreateSession { image_id: "i".into(), ..Default::default() };
                agb.create(image).await.unwrap_or_else(|error| panic!("call {call} after {wait:?}: {error}"));
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("every call succeeds");
    }
    assert_eq!(connections.load(Ordering::SeqCst), CALLS * CLIENTS as usize, "each has a connection of its own");
}
