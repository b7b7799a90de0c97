//! The proxy between two sockets that know what they said.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agb_testkit::proxy::{Proxy, Schedule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n\r\n";
const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A server that answers each connection's head with numbered lines, and then echoes.
async fn server(lines: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 1024];
                let _ = socket.read(&mut buffer).await;
                let _ = socket.write_all(said(lines).as_bytes()).await;
                while let Ok(length @ 1..) = socket.read(&mut buffer).await {
                    let _ = socket.write_all(&buffer[..length]).await;
                }
            });
        }
    });
    address
}

fn said(lines: usize) -> String {
    (0..lines).map(|line| format!("{line:07}\n")).collect()
}

async fn connect(proxy: &Proxy, head: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(proxy.address()).await.expect("it listens");
    client.write_all(head).await.expect("it reads");
    client
}

/// Reads until the end, and says whether that was in good order.
async fn drain(client: &mut TcpStream) -> (String, bool) {
    let mut text = Vec::new();
    let ended = client.read_to_end(&mut text).await.is_ok();
    (String::from_utf8(text).expect("it is text"), ended)
}

async fn expect(client: &mut TcpStream, text: &str) {
    let mut buffer = vec![0; text.len()];
    client.read_exact(&mut buffer).await.expect("it comes");
    assert_eq!(buffer, text.as_bytes());
}

async fn is_silent(client: &mut TcpStream, time: Duration) -> bool {
    tokio::time::timeout(time, client.read_u8()).await.is_err()
}

/// A schedule that does one thing to each WebSocket, after so many bytes.
fn always(after: u64, change: impl FnOnce(&mut Schedule)) -> Schedule {
    let mut schedule = Schedule { after: after..after + 1, ..Schedule::calm() };
    change(&mut schedule);
    schedule
}

#[tokio::test]
async fn a_calm_proxy_passes_everything_both_ways() {
    let proxy = Proxy::start(server(100_000).await, Schedule::calm()).await.expect("a port is free");
    for head in [UPGRADE, PLAIN] {
        let mut client = connect(&proxy, head).await;
        expect(&mut client, &said(100_000)).await;
        client.write_all(b"hello").await.expect("it reads");
        expect(&mut client, "hello").await;
        client.shutdown().await.expect("it is open");
        assert_eq!(drain(&mut client).await, (String::new(), true));
    }
    let tally = proxy.tally();
    assert_eq!((tally.connections, tally.upgrades, tally.cut), (2, 1, 0));
}

#[tokio::test]
async fn a_cut_comes_after_the_very_byte() {
    let proxy =
        Proxy::start(server(1000).await, always(4321, |schedule| schedule.cut = 100)).await.expect("a port is free");
    for _ in 0..4 {
        let mut client = connect(&proxy, UPGRADE).await;
        let (text, in_order) = drain(&mut client).await;
        // A reset may overtake what was sent before it.
        assert!(said(1000).starts_with(&text) && text.len() <= 4321);
        assert!(!in_order || text.len() == 4321, "{}", text.len());
    }
    assert_eq!(proxy.tally().cut, 4);
    let mut client = connect(&proxy, PLAIN).await;
    expect(&mut client, &said(1000)).await;
}

#[tokio::test]
async fn a_silent_connection_stays_open() {
    let proxy =
        Proxy::start(server(1000).await, always(80, |schedule| schedule.silence = 100)).await.expect("a port is free");
    let mut client = connect(&proxy, UPGRADE).await;
    expect(&mut client, &said(10)).await;
    client.write_all(b"anybody?").await.expect("it is open");
    assert!(is_silent(&mut client, Duration::from_millis(100)).await);
    assert_eq!(proxy.tally().silenced, 1);
}

#[tokio::test]
async fn a_stall_ends_and_loses_nothing() {
    let schedule = always(80, |schedule| {
        schedule.stall = 100;
        schedule.stall_for = Duration::from_millis(80)..Duration::from_millis(90);
    });
    let proxy = Proxy::start(server(1000).await, schedule).await.expect("a port is free");
    let started = Instant::now();
    let mut client = connect(&proxy, UPGRADE).await;
    expect(&mut client, &said(1000)).await;
    assert!(started.elapsed() >= Duration::from_millis(80));
    assert_eq!(proxy.tally().stalled, 1);
}

#[tokio::test]
async fn upgrades_are_refused_and_plain_http_is_not() {
    let proxy =
        Proxy::start(server(10).await, always(0, |schedule| schedule.refuse = 100)).await.expect("a port is free");
    let (text, _) = drain(&mut connect(&proxy, UPGRADE).await).await;
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    expect(&mut connect(&proxy, PLAIN).await, &said(10)).await;
    proxy.set_schedule(Schedule::calm());
    expect(&mut connect(&proxy, UPGRADE).await, &said(10)).await;
    assert_eq!(proxy.tally().refused, 1);
}

#[tokio::test]
async fn a_delay_holds_each_piece() {
    let schedule = always(0, |schedule| schedule.delay = Duration::from_millis(30)..Duration::from_millis(31));
    let proxy = Proxy::start(server(10).await, schedule).await.expect("a port is free");
    let mut client = connect(&proxy, UPGRADE).await;
    expect(&mut client, &said(10)).await;
    let started = Instant::now();
    client.write_all(b"hello").await.expect("it is open");
    expect(&mut client, "hello").await;
    assert!(started.elapsed() >= Duration::from_millis(60), "there and back");
}

#[tokio::test]
async fn a_test_can_break_things_when_it_wants() {
    let proxy = Proxy::start(server(10).await, Schedule::calm()).await.expect("a port is free");
    let mut clients = [connect(&proxy, UPGRADE).await, connect(&proxy, UPGRADE).await, connect(&proxy, PLAIN).await];
    for client in &mut clients {
        expect(client, &said(10)).await;
    }
    proxy.stall(Duration::from_millis(50));
    clients[0].write_all(b"a").await.expect("it is open");
    assert!(is_silent(&mut clients[0], Duration::from_millis(20)).await);
    expect(&mut clients[0], "a").await;
    proxy.silence();
    clients[0].write_all(b"b").await.expect("it is open");
    assert!(is_silent(&mut clients[0], Duration::from_millis(50)).await);
    proxy.cut(false);
    for client in &mut clients[..2] {
        assert_eq!(drain(client).await.0, "");
    }
    clients[2].write_all(b"c").await.expect("plain HTTP is spared");
    expect(&mut clients[2], "c").await;
    assert_eq!(proxy.tally().cut, 2);
}
