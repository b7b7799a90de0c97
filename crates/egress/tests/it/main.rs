//! The way out, tried from inside: real sockets on loopback, a simulated world behind the proxy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agb_egress::{Allow, EgressProxy, Limits, Outside};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A proxy with a world in which every name that ends in `.test` is this machine.
struct World {
    proxy: Arc<EgressProxy>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl World {
    async fn new(allow: &str) -> Self {
        let outside = Outside::simulated(
            |name| match name.as_str() {
                "private.test" => {
                    Ok(vec!["10.0.0.1".parse().expect("an address"), "fd00::1".parse().expect("an address")])
                }
                "mixed.test" => Ok(vec!["169.254.169.254".parse().expect("an address"), LOCALHOST]),
                name if name.ends_with(".test") => Ok(vec![LOCALHOST]),
                _ => Err(std::io::Error::other("no such name in this world")),
            },
            |address| address == LOCALHOST,
        );
        Self::with(allow, outside, Limits::default()).await
    }

    async fn with(allow: &str, outside: Outside, limits: Limits) -> Self {
        let allow = if allow.is_empty() { Allow::default() } else { allow.parse().expect("rules") };
        let proxy = EgressProxy::new("test", allow, outside, limits);
        let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let serving = tokio::spawn(Arc::clone(&proxy).serve(listener));
        Self { proxy, address, serving }
    }

    /// Sends text, says that this was all, and reads until the end.
    async fn ask(&self, request: &str) -> String {
        let mut socket = TcpStream::connect(self.address).await.expect("the proxy is there");
        socket.write_all(request.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer);
        tokio::time::timeout(PATIENCE, read).await.expect("an end").expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A server that shows what it was sent, up to the end of the head, and hangs up. Gives its port.
async fn echo() -> u16 {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    if !socket.read_buf(&mut head).await.is_ok_and(|length| length > 0) {
                        return;
                    }
                }
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nX-End: 1\r\nContent-Length: {}\r\n\r\n",
                    head.len()
                );
                let _ = socket.write_all(&[answer.as_bytes(), &head].concat()).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn what_is_allowed_gets_through() {
    let port = echo().await;
    let world = World::new(&format!("a.test:{port}, *.b.test:{port}")).await;
    for host in ["a.test", "A.TEST", "x.b.test", "x.y.b.test"] {
        let answer = world
            .ask(&format!(
                "GET http://{host}:{port}/path?q=1 HTTP/1.1\r\nHost: elsewhere.test\r\nProxy-Authorization: x\r\n\
                 Proxy-Connection: keep-alive\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nX-Kept: 1\r\n\r\n"
            ))
            .await
            .to_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        let (head, seen) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains("x-end: 1") && !head.contains("x-hop"), "{head}");
        assert!(seen.starts_with("get /path?q=1 http/1.1\r\n"), "{seen}");
        assert!(seen.contains(&format!("host: {}:{port}\r\n", host.to_lowercase())), "{seen}");
        assert!(seen.contains("x-kept: 1") && !seen.contains("elsewhere"), "{seen}");
        assert!(!seen.contains("proxy-") && !seen.contains("x-mine"), "{seen}");
    }
    let tunnelled = world
        .ask(&format!(
            "CONNECT a.test:{port} HTTP/1.1\r\nHost: a.test:{port}\r\n\r\nGET / HTTP/1.1\r\nInside: 1\r\n\r\n"
        ))
        .await;
    assert!(
        tunnelled.starts_with("HTTP/1.1 200") && tunnelled.ends_with("GET / HTTP/1.1\r\nInside: 1\r\n\r\n"),
        "{tunnelled}"
    );
    // An address that is good among others that are not.
    let world = World::new(&format!("mixed.test:{port}")).await;
    assert!(
        world.ask(&format!("CONNECT mixed.test:{port} HTTP/1.1\r\n\r\nx\r\n\r\n")).await.starts_with("HTTP/1.1 200")
    );
    assert_eq!(world.proxy.refusals(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_with_what_would_allow_it() {
    let port = echo().await;
    let world = World::new("a.test").await;
    for (request, rule) in [
        (format!("CONNECT a.test:{port} HTTP/1.1\r\n\r\n"), format!("a.test:{port}")),
        ("CONNECT b.test:443 HTTP/1.1\r\n\r\n".to_owned(), "b.test".to_owned()),
        ("CONNECT x.a.test:443 HTTP/1.1\r\n\r\n".to_owned(), "x.a.test".to_owned()),
        ("GET http://c.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".to_owned(), "c.test".to_owned()),
        ("CONNECT b.test:443 HTTP/1.1\r\n\r\n".to_owned(), "b.test".to_owned()),
    ] {
        let answer = world.ask(&request).await;
        let first = answer.lines().next().expect("a line");
        assert!(first.starts_with("HTTP/1.1 403 ") && first.ends_with(&format!("--network allow={rule}")), "{answer}");
    }
    let rules = [format!("a.test:{port}"), "b.test".into(), "x.a.test".into(), "c.test".into()];
    assert_eq!(world.proxy.refusals(), rules, "each once, for the run's result");
    assert_eq!(world.proxy.refusals(), Vec::<String>::new(), "and told once");
}

#[tokio::test]
async fn addresses_are_never_a_destination() {
    let port = echo().await;
    let world = World::new(&format!("a.test:{port}")).await;
    for host in [
        "127.0.0.1",
        "[::1]",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "169.254.169.254",
        "[::ffff:127.0.0.1]",
        "[fe80::1%25eth0]",
        "10.0.0.1.",
    ] {
        for request in [
            format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n"),
            format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"),
        ] {
            let answer = world.ask(&request).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{request}{answer}");
        }
    }
}

#[tokio::test]
async fn whatever_a_name_resolves_to_only_good_addresses_are_reached() {
    let world = World::new("private.test, none.example, *.private.test").await;
    let answer = world.ask("CONNECT private.test:443 HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 private.test is at no public address"), "{answer}");
    let answer = world.ask("GET http://none.example/ HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 none.example cannot be resolved: no such name"), "{answer}");

    // The real rules, with a name that resolves to each bad address: a server is listening there, and sees nobody.
    let listener = TcpListener::bind(("0.0.0.0", 0)).await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    for address in ["127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "64:ff9b::7f00:1"]
    {
        let address: IpAddr = address.parse().expect("an address");
        let outside = Outside::simulated(move |_| Ok(vec![address]), agb_egress::is_public);
        let world = World::with(&format!("rebound.test:{port}"), outside, Limits::default()).await;
        let answer = world.ask(&format!("CONNECT rebound.test:{port} HTTP/1.1\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403 rebound.test is at no public address"), "{address}: {answer}");
    }
    assert!(tokio::time::timeout(Duration::from_millis(100), listener.accept()).await.is_err());
    // `localhost` by its own name, with the real resolver.
    let world = World::with(&format!("localhost:{port}"), Outside::internet(), Limits::default()).await;
    let answer = world.ask(&format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 403") || answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(tokio::time::timeout(Duration::from_millis(100), listener.accept()).await.is_err());
}

#[tokio::test]
async fn what_is_no_proxy_request_is_answered_or_dropped() {
    let world = World::new("a.test").await;
    for request in [
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        "GET https://a.test/ HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET http://user@a.test/ HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET http://a.test:0/ HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET http://a.test:99999/ HTTP/1.1\r\nConnection: close\r\n\r\n",
        "CONNECT a.test HTTP/1.1\r\n\r\n",
        "CONNECT user@a.test:443 HTTP/1.1\r\n\r\n",
        "CONNECT / HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let answer = world.ask(request).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
    // It goes on.
    assert!(world.ask("CONNECT b.test:443 HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn nothing_waits_for_ever_and_everything_ends_with_the_proxy() {
    let silent = TcpListener::bind((LOCALHOST, 0)).await.expect("a port");
    let port = silent.local_addr().expect("it is bound").port();
    let outside = || Outside::simulated(|_| Ok(vec![LOCALHOST]), |_| true);
    let short = Limits {
        head: Duration::from_millis(200),
        idle: Duration::from_millis(200),
        connections: 2,
        ..Limits::default()
    };
    let world = World::with(&format!("a.test:{port}"), outside(), short).await;
    let begin = std::time::Instant::now();
    assert_eq!(world.ask("GET http://a.te").await, "");
    let answer = world.ask(&format!("CONNECT a.test:{port} HTTP/1.1\r\n\r\n")).await;
    assert_eq!(answer.split("\r\n").next(), Some("HTTP/1.1 200 OK"));
    let answer = world.ask(&format!("GET http://a.test:{port}/ HTTP/1.1\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 502 a.test cannot be reached: no answer"), "{answer}");
    assert!(begin.elapsed() < PATIENCE);

    let world = World::with(&format!("a.test:{port}"), outside(), Limits::default()).await;
    let mut tunnel = TcpStream::connect(world.address).await.expect("the proxy is there");
    tunnel.write_all(format!("CONNECT a.test:{port} HTTP/1.1\r\n\r\n").as_bytes()).await.expect("written");
    let mut head = [0; 12];
    tunnel.read_exact(&mut head).await.expect("an answer");
    world.serving.abort();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, tunnel.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the tunnel outlives its sandbox");
}

#[tokio::test]
async fn a_body_streams_both_ways() {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let (sent, mut got) = tokio::sync::mpsc::unbounded_channel::<String>();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("somebody comes");
        let mut buffer = [0; 4096];
        let mut seen = String::new();
        while !seen.contains("first") {
            let read = socket.read(&mut buffer).await.expect("read");
            seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await.expect("written");
        while !seen.contains("second") {
            let read = socket.read(&mut buffer).await.expect("read");
            seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        socket.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.expect("written");
        let _ = sent.send(seen);
    });
    let world = World::new(&format!("a.test:{port}")).await;
    let mut socket = TcpStream::connect(world.address).await.expect("the proxy is there");
    let head = format!(
        "POST http://a.test:{port}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nfirst\r\n"
    );
    socket.write_all(head.as_bytes()).await.expect("written");
    let mut answer = String::new();
    let mut buffer = [0; 4096];
    // The answer begins before the request has ended.
    while !answer.contains("part") {
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut buffer)).await.expect("in time").expect("read");
        answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(!answer.contains("last"));
    socket.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.expect("written");
    tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer)).await.expect("an end").expect("read");
    assert!(answer.contains("last"), "{answer}");
    let seen = got.recv().await.expect("it has seen all");
    assert!(seen.contains("first") && seen.contains("second"), "{seen}");
}

/// What all sandboxes have open at once is bounded, and whoever waits is served when another has closed.
#[tokio::test]
async fn the_connections_of_all_sandboxes_are_bounded_together() {
    let outside = Outside::simulated(|_| Ok(vec![LOCALHOST]), |address| address == LOCALHOST).with_connections(2);
    let allow = format!("a.test:{}", echo().await);
    let one = World::with(&allow, outside.clone(), Limits::default()).await;
    let other = World::with(&allow, outside, Limits::default()).await;
    let ask = async |world: &World| {
        let mut socket = TcpStream::connect(world.address).await.expect("the proxy is there");
        let request = format!("GET http://{allow}/ HTTP/1.1\r\nHost: {allow}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("written");
        socket
    };
    let is_answered = async |socket: &mut TcpStream| {
        let read = tokio::time::timeout(PATIENCE, socket.read_u8());
        read.await.expect("in time").expect("an answer") == b'H'
    };
    // They are kept open from inside.
    let mut held = [ask(&one).await, ask(&one).await];
    for socket in &mut held {
        assert!(is_answered(socket).await);
    }
    let (mut first, mut second) = (ask(&one).await, ask(&other).await);
    let early = tokio::time::timeout(Duration::from_millis(300), second.read_u8()).await;
    assert!(early.is_err(), "all places are taken");
    drop(held);
    assert!(is_answered(&mut first).await && is_answered(&mut second).await);
}
