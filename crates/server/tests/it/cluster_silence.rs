//! Servers of a cluster that take connections and do not answer: nobody waits for them for ever.

use std::net::SocketAddr;
use std::time::Duration;

use agb_server::MemoryRegistry;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::cluster::record;
use crate::support::{KEY, TestServer, TestSession, join_cluster};

/// After so long without a sign of life nobody waits any longer.
const LOST_AFTER: Duration = Duration::from_secs(1);
/// Far longer than that.
const SLOW: Duration = Duration::from_secs(6);

/// What a server does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It takes them, and says nothing.
    Silent,
    /// It begins an answer.
    HalfAHead,
    /// It answers, and stops in the middle.
    HalfABody,
    /// It answers after a long time, and says meanwhile that it lives.
    Slow,
}

/// A server that beats and has this manner.
struct Odd {
    session: String,
    tasks: [JoinHandle<()>; 2],
}

impl Odd {
    async fn start(registry: &MemoryRegistry, inc: &'static str, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let registry = registry.clone();
        let beats = tokio::spawn(async move {
            loop {
                registry.put(inc, &record(inc, address));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let serves = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(client, inc, manner));
            }
        });
        Self { session: format!("session-{inc}{}", "0".repeat(32)), tasks: [beats, serves] }
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn answer(mut client: TcpStream, inc: &str, manner: Manner) {
    let mut head = [0; 4096];
    let read = client.read(&mut head).await.unwrap_or(0);
    let is_probe = head[..read].starts_with(b"GET /cluster/alive");
    let text = match manner {
        Manner::Slow if is_probe => format!("HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{inc}"),
        Manner::Slow => {
            tokio::time::sleep(SLOW).await;
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}".to_owned()
        }
        Manner::HalfAHead => "HTTP/1.1 200 OK\r\ncontent-".to_owned(),
        Manner::HalfABody => "HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n{\"code\":".to_owned(),
        Manner::Silent => String::new(),
    };
    let _ = client.write_all(text.as_bytes()).await; // who has gone needs no answer
    if manner != Manner::Slow {
        // Open for as long as the other side wants.
        let _ = client.read(&mut head).await;
    }
}

async fn entry(registry: &MemoryRegistry) -> TestServer {
    let mut config = TestServer::config_in(&std::env::temp_dir());
    join_cluster(&mut config, registry, "entry");
    config.cluster.lost_after = LOST_AFTER;
    config.limits.max_sessions = 0; // whatever is created is created elsewhere
    let server = TestServer::serve(config).await;
    server.is_ready().await;
    server
}

#[tokio::test]
async fn a_server_that_takes_calls_and_says_nothing_is_given_up_with_words() {
    for (inc, manner) in [("0000000000aa", Manner::Silent), ("0000000000bb", Manner::HalfAHead)] {
        let registry = MemoryRegistry::default();
        let server = entry(&registry).await;
        let odd = Odd::start(&registry, inc, manner).await;
        let asked = server.post("/mcp/getSession", json!({ "sessionId": odd.session }));
        let created = server.post("/mcp/createSession", json!({}));
        let listed = server.get("/sdk/ListSession", &[]);
        let socket = socket_to(&odd, server.address);
        let (asked, created, listed, socket) = tokio::join!(asked, created, listed, socket);
        for answer in [asked, created] {
            answer.is_error(502, "ServiceUnavailable.Interrupted", "it has not even said that it lives");
        }
        listed.is_error(503, "ServiceUnavailable.List", inc);
        assert_eq!(socket, 502, "{manner:?}");
        server.stop().await;
    }
}

/// The status that a WebSocket's handshake has.
async fn socket_to(odd: &Odd, entry: SocketAddr) -> u16 {
    let (id, url) = (odd.session.clone(), format!("ws://{entry}/ws/{}", odd.session));
    let session = TestSession { id, token: "t".into(), ws_url: url, link_url: String::new() };
    session.try_connect(Some("t")).await.err().expect("a refusal").0
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_breaks_off() {
    let registry = MemoryRegistry::default();
    let server = entry(&registry).await;
    let odd = Odd::start(&registry, "0000000000aa", Manner::HalfABody).await;
    let ask =
        server.http.post(server.url("/mcp/getSession")).bearer_auth(KEY).json(&json!({ "sessionId": odd.session }));
    let asked = ask.send().await.expect("a head");
    assert_eq!(asked.status(), 200);
    let error = asked.bytes().await.expect_err("it must not look as if it had come to its end");
    assert!(!error.is_timeout(), "{error}");
    let created = server.post("/mcp/createSession", json!({})).await;
    created.is_error(502, "ServiceUnavailable.Interrupted", "it has not even said that it lives");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_says_that_it_lives_has_all_the_time_that_its_program_takes() {
    let registry = MemoryRegistry::default();
    let server = entry(&registry).await;
    let odd = Odd::start(&registry, "0000000000aa", Manner::Slow).await;
    let calls = (0..3).map(|_| {
        let ask = server.http.post(server.url("/mcp/getSession")).bearer_auth(KEY);
        ask.json(&json!({ "sessionId": odd.session })).send()
    });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.expect("an answer").status(), 200);
    }
    server.stop().await;
}

/// Whoever holds all places of a server cuts no call that waits for it: it is asked by the connections that are kept.
#[tokio::test]
async fn a_server_without_a_place_for_another_connection_is_known_to_live() {
    // Longer than one question may take, on a busy machine.
    let lost_after = Duration::from_secs(5);
    let registry = MemoryRegistry::default();
    let member = |name: &str| {
        let mut config = TestServer::config_in(&std::env::temp_dir());
        join_cluster(&mut config, &registry, name);
        config.cluster.lost_after = lost_after;
        config
    };
    let mut at_owner = member("owner");
    at_owner.limits.max_connections = 8;
    let owner = TestServer::serve(at_owner).await;
    owner.is_ready().await;
    let mut at_entry = member("entry");
    at_entry.limits.max_sessions = 0;
    let entry = TestServer::serve(at_entry).await;
    entry.is_ready().await;
    let session = entry.create().await;
    // Two at the same time, so that two connections are kept.
    let brief = || entry.run_code(&session, "python", "import time\ntime.sleep(0.5)");
    tokio::join!(brief(), brief());
    let mut strangers = Vec::new();
    for _ in 0..16 {
        strangers.push(TcpStream::connect(owner.address).await.expect("the kernel takes it"));
    }
    let said = entry.run_code(&session, "python", "import time\ntime.sleep(11)\nprint('done')").await;
    assert_eq!(said["stdout"][0], "done\n", "{said}");
    drop(strangers);
    for server in [entry, owner] {
        server.stop().await;
    }
}
