//! Several servers as one: every call at every server.

use std::time::Duration;

use agb_server::MemoryRegistry;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{KEY, PATIENCE, Reply, TestServer, TestSession, join_cluster, text_of};

/// Three servers with one registry.
struct Cluster {
    registry: MemoryRegistry,
    servers: Vec<TestServer>,
}

impl Cluster {
    async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    async fn with(change: impl Fn(usize, &mut agb_server::Config)) -> Self {
        let registry = MemoryRegistry::default();
        let mut servers = Vec::new();
        for index in 0..3 {
            let mut config = TestServer::config_in(&std::env::temp_dir());
            join_cluster(&mut config, &registry, ["a", "b", "c"][index]);
            change(index, &mut config);
            servers.push(TestServer::serve(config).await);
        }
        for server in &servers {
            server.is_ready().await;
        }
        let cluster = Self { registry, servers };
        cluster.all_know_each_other().await;
        cluster
    }

    /// Waits until each has beaten again after the last one had joined: an answer to a beat names all.
    async fn all_know_each_other(&self) {
        let enough = self.registry.writes() + 5 * self.servers.len() as u64;
        let begin = std::time::Instant::now();
        while self.registry.writes() < enough {
            assert!(begin.elapsed() < PATIENCE, "no beats");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The session as each server describes it: with addresses at itself.
    async fn described(&self, id: &str) -> Vec<TestSession> {
        let mut all = Vec::new();
        for server in &self.servers {
            let data = server.post("/mcp/getSession", json!({ "sessionId": id })).await.ok();
            assert!(data["wsUrl"].as_str().expect("a URL").contains(&server.address.to_string()), "{data}");
            all.push(TestSession::of(&data));
        }
        all
    }

    async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}

#[tokio::test]
async fn every_call_works_at_every_server() {
    let cluster = Cluster::start().await;
    let created = cluster.servers[0].create_with(json!({ "labels": { "team": "a" } })).await;
    let id = created.id.as_str();
    assert_eq!(id.len(), "session-".len() + 44, "{id}");
    for (server, session) in cluster.servers.iter().zip(cluster.described(id).await) {
        let named = json!({ "sessionId": id });
        // With the key.
        let info = server.post("/mcp/getSessionInfo", named.clone()).await.ok();
        assert_eq!(info["status"], "RUNNING");
        server.post("/mcp/refreshSessionIdleTime", named.clone()).await.ok();
        let resource = server.post("/mcp/getMcpResource", named.clone()).await.ok();
        assert!(resource["resourceUrl"].as_str().expect("a URL").starts_with(&server.url("")), "{resource}");
        server.post("/mcp/listTools", json!({})).await.ok();
        let again = server.post("/mcp/createSession", named.clone()).await.ok();
        assert_eq!(again["sessionId"], id);
        let labels = server.get("/sdk/GetLabel", &[("sessionId", id)]).await;
        assert!(labels.body.to_string().contains("team"), "{}", labels.body);
        let listed = server.get("/sdk/ListSession", &[]).await;
        assert_eq!((&listed.body["count"], &listed.body["data"][0]["sessionId"]), (&json!(1), &json!(id)));
        let args = json!({ "code": "print(6 * 7)", "language": "python" }).to_string();
        let tool = json!({ "sessionId": id, "name": "run_code", "args": args });
        let said = server.post("/mcp", tool).await.ok();
        assert!(said.to_string().contains("42"), "{said}");
        // With the session's token.
        assert_eq!(server.run_code(&session, "python", "print(1)").await["stdout"][0], "1\n");
        let access = server.access(&session, json!({ "scope": "read" })).await;
        assert_eq!(access.len(), 64);
        let file = format!("{}/files?path=/home/user/a.bin", session.link_url);
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        let put = server.http.put(&file).header("X-Access-Token", &session.token).body(bytes.clone());
        assert_eq!(put.send().await.expect("an answer").status(), 200);
        let read = server.http.get(&file).header("X-Access-Token", &session.token).send().await.expect("an answer");
        assert_eq!(read.bytes().await.expect("all of it"), bytes);
        // By WebSocket.
        let mut socket = session.connect().await;
        socket.start("r", "python", "for i in range(20000): print('line', i)").await;
        let events = socket.until_end().await;
        let lines: String = (0..20000).map(|at| format!("line {at}\n")).collect();
        assert_eq!(text_of(&events, "stdout"), lines);
    }
    // Who has no key, or another one, learns nothing at any server.
    for server in &cluster.servers {
        let wrong = Reply::of(server.post_with("another key", "/mcp/getSession").await).await;
        wrong.is_error(401, "InvalidApiKey.NotFound", "compare");
        let link = format!("{}/link/{id}/callTool", server.url(""));
        let wrong = server.http.post(link).header("X-Access-Token", "x").json(&json!({})).send().await;
        Reply::of(wrong.expect("an answer")).await.is_error(401, "InvalidAccessToken.NotFound", "token");
    }
    cluster.servers[2].post("/mcp/releaseSession", json!({ "sessionId": id })).await.ok();
    for server in &cluster.servers {
        let gone = server.post("/mcp/getSession", json!({ "sessionId": id })).await;
        gone.is_error(400, "InvalidMcpSession.NotFound", id);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_run_is_resumed_and_followed_by_way_of_any_server() {
    let cluster = Cluster::start().await;
    let created = cluster.servers[0].create().await;
    let all = cluster.described(&created.id).await;
    let code = "import sys\nprint('one', flush=True)\nsys.stdin.readline()\nprint('two', flush=True)";
    let mut first = all[0].connect().await;
    first
        .start_with("r", json!({ "language": "python", "code": code, "timeoutS": 60, "resume": true, "stdin": true }))
        .await;
    while first.event().await.1["chunk"] != "one\n" {}
    drop(first);
    let mut second = all[1].connect().await;
    second.request("r", json!({ "method": "run_code", "mode": "resume", "params": { "afterSeq": 0 } })).await;
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &Value| event["chunk"] != "one\n") {
        events.push(second.event().await.1);
    }
    // The same run as an event stream at the third, and what it waits for at the first.
    drop(second);
    let url = format!("{}/runs/r/events?afterSeq=0", all[2].link_url);
    let stream = cluster.servers[2].http.get(url).header("X-Access-Token", &all[2].token).send().await;
    let stream = stream.expect("an answer");
    assert_eq!(stream.status(), 200);
    let say = cluster.servers[0].http.post(format!("{}/runs/r", all[0].link_url));
    let input = json!({ "method": "stdin", "params": { "data": "go\n" } });
    let said = say.header("X-Access-Token", &all[0].token).json(&input).send().await.expect("an answer");
    assert_eq!(said.status(), 200, "{:?}", said.text().await);
    let mut text = String::new();
    let mut parts = stream.bytes_stream();
    while !text.contains("\"end\"") {
        let part = tokio::time::timeout(PATIENCE, parts.next()).await.expect("in time");
        text.push_str(std::str::from_utf8(&part.expect("not its end").expect("no error")).expect("text"));
    }
    assert!(text.contains("two\\n"), "{text}");
    cluster.stop().await;
}

#[tokio::test]
async fn the_list_is_that_of_all_servers_page_by_page() {
    let cluster = Cluster::start().await;
    let mut made = Vec::new();
    for at in 0..12 {
        made.push(cluster.servers[at % 3].create().await.id);
    }
    let owners: std::collections::BTreeSet<_> = made.iter().map(|id| id[..20].to_owned()).collect();
    assert!(owners.len() > 1, "all sessions are at one server: {owners:?}");
    let (mut seen, mut token) = (Vec::new(), String::new());
    for page in 0.. {
        let query = [("maxResults", "5"), ("nextToken", token.as_str())];
        let reply = cluster.servers[page % 3].get("/sdk/ListSession", &query[..1 + usize::from(page > 0)]).await;
        assert_eq!(reply.body["count"], 12);
        let ids = reply.body["data"].as_array().expect("a list").iter();
        seen.extend(ids.map(|item| item["sessionId"].as_str().expect("an id").to_owned()));
        assert!(reply.body["data"][0].get("createdMs").is_none(), "{}", reply.body);
        match reply.body["nextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 12);
    seen.sort();
    made.sort();
    assert_eq!(seen, made);
    cluster.stop().await;
}

#[tokio::test]
async fn a_session_is_made_where_there_is_a_place() {
    let cluster = Cluster::with(|index, config| config.limits.max_sessions = [0, 2, 1][index]).await;
    let mut owners = Vec::new();
    for _ in 0..3 {
        owners.push(cluster.servers[0].create().await.id[8..20].to_owned());
    }
    owners.sort();
    owners.dedup();
    assert_eq!(owners.len(), 2, "{owners:?}");
    for server in &cluster.servers {
        let full = server.post("/mcp/createSession", json!({})).await;
        full.is_error(429, "LimitExceeded.Sessions", "3 sessions exist already");
    }
    // What is wrong with the call is said once, and nobody else is asked.
    let wrong = cluster.servers[0].post("/mcp/createSession", json!({ "imageId": "no-such" })).await;
    wrong.is_error(400, "InvalidImage.NotFound", "no-such");
    cluster.stop().await;
}

/// A record as a server writes it, for one that does not exist.
pub(crate) fn record(inc: &str, address: std::net::SocketAddr) -> Vec<u8> {
    let record = json!({
        "v": 1, "inc": inc, "addr": format!("http://{address}"), "state": "up", "n": 1, "started_ms": 1,
        "sessions": 0, "max": 100, "images": ["agb-code-space-1"], "level": "namespaces",
    });
    record.to_string().into_bytes()
}

#[tokio::test]
async fn what_could_not_be_asked_is_never_not_found() {
    let cluster = Cluster::start().await;
    let server = &cluster.servers[0];
    let session = |inc: &str| format!("session-{inc}{}", "0".repeat(32));
    // A server that takes the call and breaks off; the record is young, so nobody judges it yet.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let broken = "0000000000aa";
    cluster.registry.put("broken", &record(broken, listener.local_addr().expect("an address")));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let read = client.read(&mut head).await.unwrap_or(0);
            if head[..read].starts_with(b"GET /cluster/alive") {
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n0000000000aa";
                let _ = client.write_all(answer.as_bytes()).await;
            }
        }
    });
    let asked = server.post("/mcp/getSession", json!({ "sessionId": session(broken) })).await;
    asked.is_error(502, "ServiceUnavailable.Interrupted", "may have done");
    // One that cannot be reached, until it is declared lost.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let away = "0000000000bb";
    cluster.registry.put("away", &record(away, free));
    let asked = server.post("/mcp/getSession", json!({ "sessionId": session(away) })).await;
    asked.is_error(503, "ServiceUnavailable.Owner", "nothing was done");
    let listed = server.get("/sdk/ListSession", &[]).await;
    listed.is_error(503, "ServiceUnavailable.List", "the server ");
    let begin = std::time::Instant::now();
    let lost = loop {
        let asked = server.post("/mcp/getSession", json!({ "sessionId": session(away) })).await;
        if asked.status == 400 {
            break asked;
        }
        asked.is_error(503, "ServiceUnavailable.Owner", "");
        assert!(begin.elapsed() < PATIENCE, "{}", asked.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    lost.is_error(400, "InvalidMcpSession.NotFound", "its server was lost");
    // A token says nothing any more; the page hears it by a close code.
    let url = format!("ws://{}/ws/{}", server.address, session(away));
    let lost = TestSession { id: session(away), token: "t".into(), ws_url: url, link_url: String::new() };
    assert_eq!(lost.try_connect(Some("t")).await.err().expect("a refusal").0, 400);
    // An owner that never was, with the registry there and away.
    let never = server.post("/mcp/getSession", json!({ "sessionId": session("0000000000cc") })).await;
    let grace_is_over = never.status == 400;
    if !grace_is_over {
        never.is_error(503, "ServiceUnavailable.Registry", "nothing was done");
    }
    cluster.registry.set_away(true);
    let unknown = server.post("/mcp/getSession", json!({ "sessionId": session("0000000000dd") })).await;
    unknown.is_error(503, "ServiceUnavailable.Registry", "nothing was done");
    cluster.registry.set_away(false);
    cluster.stop().await;
}

#[tokio::test]
async fn a_call_is_passed_on_once_and_a_client_cannot_place_its_session() {
    let cluster = Cluster::start().await;
    let session = cluster.servers[0].create().await;
    let mut not_found = 0;
    for server in &cluster.servers {
        let asked = server.http.post(server.url("/mcp/getSession")).bearer_auth(KEY).header("X-Agb-Hop", "x");
        let asked = asked.json(&json!({ "sessionId": session.id })).send().await.expect("an answer");
        not_found += u32::from(asked.status() == 400);
    }
    assert_eq!(not_found, 2);
    // An id of another server, or of none, is not taken.
    let owner = &session.id[8..20];
    for id in [format!("session-ffffffffffff{}", "0".repeat(32)), "x".to_owned(), format!("session-{owner}")] {
        let server = &cluster.servers[0];
        let asked = server.http.post(server.url("/mcp/createSession")).bearer_auth(KEY).header("X-Agb-Hop", "x");
        let asked = asked.header("X-Agb-Place", id).json(&json!({})).send().await.expect("an answer");
        assert_eq!(asked.status(), 503);
    }
    // Without a hop the header means nothing; with one, the same id twice is the same session.
    let server = &cluster.servers[0];
    let id = format!("session-{owner}{}", "0".repeat(32));
    let mut made = 0;
    for server in &cluster.servers {
        for _ in 0..2 {
            let asked = server.http.post(server.url("/mcp/createSession")).bearer_auth(KEY).header("X-Agb-Hop", "x");
            let asked = asked.header("X-Agb-Place", &id).json(&json!({})).send().await.expect("an answer");
            made += u32::from(asked.status() == 200);
        }
    }
    assert_eq!((made, server.get("/sdk/ListSession", &[]).await.body["count"].as_u64()), (2, Some(2)));
    cluster.stop().await;
}
