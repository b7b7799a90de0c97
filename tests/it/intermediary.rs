//! Something between client and server that closes a WebSocket with code 1009 when a message is larger than it allows,
//! as proxies and firewalls do, and passes plain HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agb_client::{Agb, Options, RunEvent, RunStatus};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::network::session;
use crate::server::{KEY, TestServer};

/// The largest message that gets through, bytes.
const LIMIT: u64 = 32 * 1024;
/// Generous: without an end of the loop this takes minutes.
const BOUND: Duration = Duration::from_secs(60);

struct Intermediary {
    address: SocketAddr,
    sockets: Arc<AtomicUsize>,
}

impl Intermediary {
    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let sockets = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sockets);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, Arc::clone(&count)));
            }
        });
        Self { address, sockets }
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, sockets: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if !client.read_buf(&mut head).await.is_ok_and(|length| length > 0) {
            return;
        }
    }
    let Ok(mut up) = TcpStream::connect(server).await else { return };
    if up.write_all(&head).await.is_err() {
        return;
    }
    if !head.to_ascii_lowercase().windows(18).any(|window| window == b"upgrade: websocket") {
        let _ = copy_bidirectional(&mut client, &mut up).await;
        return;
    }
    sockets.fetch_add(1, Ordering::SeqCst);
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = up.split();
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        _ = pass_frames(&mut from_server, &mut to_client) => {}
    }
}

/// Passes the handshake's answer and then frame by frame, up to one that is too large.
async fn pass_frames(
    server: &mut (impl AsyncReadExt + Unpin),
    client: &mut (impl AsyncWriteExt + Unpin),
) -> std::io::Result<()> {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(server.read_u8().await?);
    }
    client.write_all(&answer).await?;
    loop {
        let mut frame = vec![server.read_u8().await?, server.read_u8().await?];
        // A server's frames have no mask (RFC 6455, section 5.2).
        let more = match frame[1] & 127 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mut extended = [0; 8];
        server.read_exact(&mut extended[8 - more..]).await?;
        frame.extend_from_slice(&extended[8 - more..]);
        let length = if more == 0 { u64::from(frame[1] & 127) } else { u64::from_be_bytes(extended) };
        if length > LIMIT {
            client.write_all(&[0x88, 2, 0x03, 0xf1]).await?; // 1009
            return client.flush().await;
        }
        let start = frame.len();
        frame.resize(start + usize::try_from(length).expect("it is small"), 0);
        server.read_exact(&mut frame[start..]).await?;
        client.write_all(&frame).await?;
    }
}

fn account(address: SocketAddr, tune: impl Fn(&mut agb_client::SessionConfig) + Send + Sync + 'static) -> Agb {
    let options = Options::new().api_key(KEY).endpoint(format!("http://{address}")).tune(tune);
    Agb::new(&options).expect("an account")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_no_websocket_carries_comes_by_an_event_stream() {
    let server = TestServer::start().await;
    let way = Intermediary::start(server.address()).await;
    let session = session(&account(way.address, |_| {})).await;
    let began = Instant::now();
    let mut run = session.code().run("print('a')\n'x' * 300_000", "python").stream().expect("it is sent");
    let mut interrupted = 0;
    while let Some(event) = run.next().await {
        interrupted += usize::from(matches!(event, RunEvent::Interrupted(_)));
    }
    let result = run.finish().await;
    assert!(result.success, "{}", result.error_message);
    let value = result.main_result().and_then(|value| value.text.as_ref()).expect("the value came");
    assert_eq!((value.len(), result.logs.stdout.concat().as_str()), (300_002, "a\n"));
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert!(interrupted <= 1, "{interrupted} times told");
    assert_eq!(way.sockets.load(Ordering::SeqCst), 1, "one 1009 is enough");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nothing_carries_ends_within_its_limit_and_holds_nobody_up() {
    let server = TestServer::start().await;
    let way = Intermediary::start(server.address()).await;
    let agb = account(way.address, |config| {
        config.link_url = None; // no event streams
        config.grace = Duration::from_secs(1);
    });
    let session = session(&agb).await;
    let began = Instant::now();
    let run = session.code().run("print('a')\n'x' * 300_000", "python").timeout(Duration::from_secs(3));
    let result = run.stream().expect("it is sent").finish().await;
    assert_eq!(result.status, RunStatus::Interrupted, "{}", result.error_message);
    assert!(result.error_message.contains("1009"), "{}", result.error_message);
    assert!(result.interruptions >= 1 && began.elapsed() < BOUND, "{:?}", began.elapsed());
    let sockets = way.sockets.load(Ordering::SeqCst);
    assert!(sockets <= 20, "{sockets} sockets: they back off");
    let next = session.code().run("print('b')", "python").stream().expect("it is sent").finish().await;
    assert!(next.success && next.logs.stdout.concat() == "b\n", "{}", next.error_message);
    server.stop().await;
}
