//! Servers that were replaced, or that the registry has lost: what the others do before the next beat tells them.
//!
//! Nobody beats while a test runs, so whatever is known is known in another way.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use agb_server::{Config, MemoryRegistry};
use serde_json::json;

use crate::cluster::record;
use crate::support::{PATIENCE, TestServer, join_cluster};

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3600);

async fn start(registry: &MemoryRegistry, name: &str, change: impl FnOnce(&mut Config)) -> TestServer {
    let mut config = TestServer::config_in(&std::env::temp_dir());
    join_cluster(&mut config, registry, name);
    (config.cluster.beat, config.cluster.lost_after) = (NEVER, NEVER * 4);
    change(&mut config);
    let server = TestServer::serve(config).await;
    server.is_ready().await;
    server
}

async fn incarnation(server: &TestServer) -> String {
    let answer = server.http.get(server.url("/cluster/alive")).send().await.expect("an answer");
    answer.text().await.expect("text").trim().to_owned()
}

#[tokio::test]
async fn a_session_is_made_at_a_server_that_has_just_been_replaced() {
    let registry = MemoryRegistry::default();
    let before = start(&registry, "b", |_| {}).await;
    let entry = start(&registry, "a", |config| config.limits.max_sessions = 0).await;
    assert_eq!(entry.create().await.id[8..20], incarnation(&before).await);
    before.stop().await;
    let after = start(&registry, "b", |_| {}).await;
    for _ in 0..2 {
        assert_eq!(entry.create().await.id[8..20], incarnation(&after).await, "the entry has looked who is there now");
    }
    for server in [entry, after] {
        server.stop().await;
    }
}

/// Whoever asks a server that is about to join who it is, and another one for a session of that, ends nobody.
#[tokio::test]
async fn a_server_that_is_about_to_join_cannot_be_ended_by_asking() {
    let registry = MemoryRegistry::default();
    // Absences count after a `lost_after` without a gap between beats, also where the machine is busy.
    let often = |config: &mut Config| {
        (config.cluster.beat, config.cluster.lost_after) = (Duration::from_millis(500), Duration::from_secs(5));
    };
    let asked = start(&registry, "a", often).await;
    let of = |inc: &str| json!({ "sessionId": format!("session-{inc}{}", "0".repeat(32)) });
    registry.set_away(true);
    let mut config = TestServer::config_in(&std::env::temp_dir());
    join_cluster(&mut config, &registry, "b");
    often(&mut config);
    let joining = TestServer::serve(config).await;
    let said = incarnation(&joining).await;
    assert_eq!(said.len(), 12, "{said}");
    registry.set_away(false);
    let begin = Instant::now();
    loop {
        let answer = asked.post("/mcp/getSession", of(&said)).await;
        if answer.status == 400 {
            break;
        }
        answer.is_error(503, "ServiceUnavailable.Registry", "nothing was done");
        assert!(begin.elapsed() < PATIENCE, "absences count some time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    joining.is_ready().await;
    assert_ne!(incarnation(&joining).await, said, "it has not told who it would be");
    let session = joining.create().await.id;
    // Each beats a few times more.
    let (begin, enough) = (Instant::now(), registry.writes() + 12);
    while registry.writes() < enough {
        assert!(begin.elapsed() < PATIENCE, "no beats");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for server in [&asked, &joining] {
        server.post("/mcp/getSession", json!({ "sessionId": session })).await.ok();
    }
    for server in [asked, joining] {
        server.stop().await;
    }
}

#[tokio::test]
async fn what_the_registry_has_lost_is_looked_for_where_it_was() {
    let registry = MemoryRegistry::default();
    let owner = start(&registry, "b", |_| {}).await;
    let entry = start(&registry, "a", |config| config.contexts.folder = None).await;
    let session = owner.create().await.id;
    assert_eq!(session[8..20], incarnation(&owner).await);
    let create = [("name", "one"), ("allowCreate", "true"), ("loginRegionId", "cn-hangzhou")];
    let context = entry.get("/sdk/GetContext", &create).await.ok()["id"].clone();
    // One that has ended, and one that says nothing.
    let port = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let (ended, silent) = (port(), port());
    let others = [("c", "0000000000cc", &ended), ("d", "0000000000dd", &silent)];
    for (name, inc, port) in others {
        registry.put(name, &record(inc, port.local_addr().expect("an address")));
    }
    drop(ended);
    let of = |inc: &str| json!({ "sessionId": format!("session-{inc}{}", "0".repeat(32)) });
    let at_nobody = entry.post("/mcp/getSession", of("0000000000cc")).await;
    at_nobody.is_error(503, "ServiceUnavailable.Owner", "nothing was done");

    registry.wipe();
    // Whose this is nobody knows, and asking tells the entry that the registry knows nobody.
    let unknown = entry.post("/mcp/getSession", of("0000000000ee")).await;
    unknown.is_error(503, "ServiceUnavailable.Registry", "nothing was done");
    entry.post("/mcp/getSession", json!({ "sessionId": session })).await.ok();
    let find = [("name", "one"), ("allowCreate", "false")];
    assert_eq!(entry.get("/sdk/GetContext", &find).await.ok()["id"], context);
    let at_nobody = entry.post("/mcp/getSession", of("0000000000cc")).await;
    at_nobody.is_error(503, "ServiceUnavailable.Owner", "nothing was done");
    // A part is not all, as long as nobody knows whether there is another one.
    let listed = entry.get("/sdk/ListSession", &[]).await;
    listed.is_error(503, "ServiceUnavailable.List", "the server d");
    drop(silent);
    let listed = entry.get("/sdk/ListSession", &[]).await;
    assert_eq!((&listed.body["count"], &listed.body["data"][0]["sessionId"]), (&json!(1), &json!(session)));
    for server in [entry, owner] {
        server.stop().await;
    }
}
