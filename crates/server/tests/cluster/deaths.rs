//! Servers that die, freeze and come back.

use std::time::{Duration, Instant};

use agb_client::RunEvent;
use agb_testkit::etcd::Etcd;
use futures_util::StreamExt;
use rustix::process::Signal;

use crate::support::{LOST, Node, all_up, client, eventually, servers, until_gone};

fn id(session: &serde_json::Value) -> String {
    session["sessionId"].as_str().expect("an id").to_owned()
}

async fn total(nodes: &[Node], metric: &str) -> f64 {
    let mut total = 0.0;
    for node in nodes {
        total += node.metric(metric).await;
    }
    total
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_declared_lost_once_and_its_name_is_free_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut nodes = servers(3, &etcd.url(), folder.path()).await;
    let [s0, _, s2] = &nodes[..] else { unreachable!() };
    let (living, dead) = (id(&s0.own_session(s2).await), id(&s2.own_session(s0).await));
    for node in &nodes {
        assert_eq!((node.asks(&living).await.0, node.asks(&dead).await.0), (200, 200), "{}", node.log());
    }

    // Servers tell at once of their first sessions.
    tokio::time::sleep(Duration::from_secs(2)).await;
    nodes[2].kill();
    until_gone(&nodes[0], &dead).await;
    until_gone(&nodes[1], &dead).await;
    all_up(&nodes[..2], 2).await;
    assert_eq!(total(&nodes[..2], "agb_cluster_condemned_total").await, 1.0, "one of them has declared it lost");
    assert!(total(&nodes[..2], "agb_cluster_lost_sessions_total").await >= 1.0, "its sessions were counted");

    nodes[2].spawn();
    nodes[2].ready().await;
    all_up(&nodes, 3).await;
    for node in &nodes {
        let (status, code) = node.asks(&dead).await;
        assert_eq!((status, code.as_str()), (400, "InvalidMcpSession.NotFound"), "{}", node.name);
        assert_eq!(node.asks(&living).await.0, 200, "{}: {}", node.name, node.log());
    }

    // Restarted in place, before anybody has noticed: the new one takes the name over at once.
    let before = id(&nodes[1].own_session(&nodes[0]).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let counted = nodes[0].metric("agb_cluster_condemned_total").await;
    nodes[1].kill();
    nodes[1].spawn();
    let begin = Instant::now();
    nodes[1].ready().await;
    println!("restarted in place: {:.1} s", begin.elapsed().as_secs_f64());
    // The others know the process that has ended until they beat, and sessions come quicker than that.
    let first = id(&nodes[1].own_session(&nodes[0]).await);
    assert_eq!(nodes[0].asks(&first).await.0, 200, "{}", nodes[0].log());
    until_gone(&nodes[0], &before).await;
    until_gone(&nodes[1], &before).await;
    all_up(&nodes, 3).await;
    let after = nodes[0].metric("agb_cluster_condemned_total").await;
    assert_eq!(
        (after, total(&nodes[1..], "agb_cluster_condemned_total").await),
        (counted, 0.0),
        "nobody was declared lost for it"
    );
    let lost = nodes[1].metric("agb_cluster_lost_sessions_total").await;
    assert!(lost >= 1.0, "its sessions were counted by whoever took its place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn a_frozen_server_ends_when_it_thaws() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut nodes = servers(3, &etcd.url(), folder.path()).await;
    let session = id(&nodes[2].own_session(&nodes[0]).await);
    let of_client = client(nodes[0].address).get(session.clone()).await.expect("it is there");
    let code = "import time\nfor i in range(10000):\n    print(i, flush=True)\n    time.sleep(0.02)";
    let mut run = of_client.code().run(code, "python").stream().expect("it is sent");
    while !matches!(run.next().await.expect("it goes on"), RunEvent::Stdout(_)) {}
    nodes[2].freeze().await;
    until_gone(&nodes[0], &session).await;
    until_gone(&nodes[1], &session).await;
    let end = async {
        while run.next().await.is_some() {}
        run.finish().await
    };
    let result = tokio::time::timeout(LOST, end).await.expect("the run ends with its server");
    assert!(!result.success, "{result:?}");
    nodes[2].signal(Signal::CONT);
    // Whoever reaches it now hears what the others say, or that it has ended.
    let body = serde_json::json!({ "sessionId": session });
    if let Ok((status, answer)) = nodes[2].post("/mcp/getSessionInfo", body).await {
        assert_ne!(status, 200, "it served a session that others had called gone: {answer}");
    }
    assert_eq!(nodes[2].exit_code(Duration::from_secs(20)).await, Some(70), "{}", nodes[2].log());
    assert!(nodes[2].log().contains("declared this one lost"), "{}", nodes[2].log());
    assert_eq!(total(&nodes[..2], "agb_cluster_condemned_total").await, 1.0, "one end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn a_short_freeze_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut nodes = servers(2, &etcd.url(), folder.path()).await;
    let session = id(&nodes[1].own_session(&nodes[0]).await);
    nodes[1].freeze().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    nodes[1].signal(Signal::CONT);
    eventually("it is there again", LOST, async || nodes[0].asks(&session).await.0 == 200).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(nodes[1].asks(&session).await.0, 200, "{}", nodes[1].log());
    assert!(nodes[1].ended().is_none());
    assert_eq!(total(&nodes, "agb_cluster_condemned_total").await, 0.0);
}
