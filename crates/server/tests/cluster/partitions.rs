//! Ways between servers, and from clients to them, that swallow everything.

use std::time::Duration;

use agb_testkit::balancer::Balancer;
use agb_testkit::etcd::Etcd;
use serde_json::json;
use tokio::sync::watch;

use crate::support::{Edge, LOST, Node, client, eventually, run_lines};

/// The entry's way to the owner takes connections and swallows what comes, while both beat and others reach the owner.
/// Calls by the wrong way are told so; a run by the wrong way goes on by the other one; nobody is declared lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn a_way_that_swallows_everything_is_told_of_and_gone_round() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let owner = Node::new("owner", &etcd.url(), folder.path());
    let to_owner = Edge::to(owner.address).await;
    let mut owner = owner.with(&["--advertise", &format!("http://{}", to_owner.address)]);
    owner.spawn();
    owner.ready().await;
    let entry = Node::start("entry", &etcd.url(), folder.path()).await;
    eventually("both are there", LOST, async || entry.up().await as usize == 2).await;

    let id = owner.own_session(&owner).await["sessionId"].as_str().expect("an id").to_owned();
    let balancer = Balancer::start(vec![entry.address]).await.expect("a port");
    let session = client(balancer.address()).get(id.clone()).await.expect("it is there");
    let (lines, came) = watch::channel(0);
    let run = run_lines(&session, "r", 1500, |seen| {
        lines.send_replace(seen);
    });
    let parting = async {
        came.clone().wait_for(|seen| *seen > 20).await.expect("the run goes on");
        to_owner.silence();
        // A client is moved by its balancer at the earliest when its connection breaks.
        balancer.set_servers(vec![owner.address, entry.address]);
        let call = entry.post("/mcp/getSessionInfo", json!({ "sessionId": id }));
        let (called, listed) = tokio::join!(call, entry.listed());
        let (status, answer) = called.expect("an answer, in time");
        assert_eq!((status, &answer["code"]), (502, &json!("ServiceUnavailable.Interrupted")), "{answer}");
        assert!(answer["message"].as_str().expect("words").contains("not even said that it lives"), "{answer}");
        let (status, answer) = listed.expect_err("a part is not all");
        assert_eq!((status, &answer["code"]), (503, &json!("ServiceUnavailable.List")), "{answer}");
        assert!(answer["message"].as_str().expect("words").contains("owner"), "{answer}");
        let (status, _) = owner.asks(&id).await;
        assert_eq!(status, 200, "the owner is there");
        to_owner.open();
        eventually("calls are passed on again", LOST, async || entry.asks(&id).await.0 == 200).await;
    };
    let (found_again, ()) = tokio::join!(run, parting);
    assert!(found_again >= 1);
    for node in [&owner, &entry] {
        assert_eq!(node.metric("agb_cluster_condemned_total").await, 0.0, "{}: {}", node.name, node.log());
    }
}

/// The client's own way to its entry swallows everything: it notices, and comes back by way of another server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn a_client_whose_way_is_silent_comes_back_another_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let nodes = crate::support::servers(2, &etcd.url(), folder.path()).await;
    let edge = Edge::to(nodes[0].address).await;
    let balancer = Balancer::start(vec![edge.address]).await.expect("a port");
    let id = nodes[1].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    let session = client(balancer.address()).get(id).await.expect("it is there");
    let (lines, came) = watch::channel(0);
    let run = run_lines(&session, "r", 600, |seen| {
        lines.send_replace(seen);
    });
    let parting = async {
        came.clone().wait_for(|seen| *seen > 20).await.expect("the run goes on");
        balancer.set_servers(vec![nodes[1].address]);
        edge.silence();
    };
    let both = async { tokio::join!(run, parting) };
    let (found_again, ()) = tokio::time::timeout(Duration::from_secs(150), both).await.expect("it notices");
    assert!(found_again >= 1);
}
