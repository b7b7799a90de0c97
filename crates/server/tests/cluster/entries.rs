//! Clients behind a balancer, while the servers that they come through die or are replaced.

use std::collections::BTreeSet;
use std::time::Duration;

use agb_testkit::balancer::Balancer;
use agb_testkit::etcd::Etcd;
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::watch;

use crate::support::{LOST, Node, all_up, client, create, eventually, run_lines, servers, until_gone};

/// Clients at once, each with one run after the other.
const CLIENTS: usize = 10;
/// Runs while servers are replaced.
const RUNS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_go_on_by_way_of_another_server_when_their_entry_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut nodes = servers(3, &etcd.url(), folder.path()).await;
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let balancer = Balancer::start(vec![addresses[1]]).await.expect("a port");
    let agb = client(balancer.address());
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let id = nodes[0].own_session(&nodes[2]).await["sessionId"].as_str().expect("an id").to_owned();
        sessions.push(agb.get(id).await.expect("it is there"));
    }
    let (lines, all_came) = watch::channel(vec![0; sessions.len()]);
    let runs = sessions.iter().enumerate().map(|(number, session)| {
        let lines = &lines;
        async move {
            run_lines(session, &format!("{number}"), 250, |seen| lines.send_modify(|all| all[number] = seen)).await
        }
    });
    let killing = async {
        let mut came = all_came.clone();
        came.wait_for(|all| all.iter().all(|seen| *seen > 20)).await.expect("runs go on");
        assert!(nodes[1].metric("agb_tunnels").await >= 4.0, "all come through the entry");
        balancer.set_servers(vec![addresses[2], addresses[0]]);
        nodes[1].kill();
    };
    let (found_again, ()) = tokio::join!(join_all(runs), killing);
    assert!(found_again.iter().all(|times| *times >= 1), "each was cut off once: {found_again:?}");
    for session in &sessions {
        session.delete().await.expect("its server has nothing to do with it");
    }
}

/// What is listed afterwards is what clients were told of: a session of which nobody knows would stay for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_left_over_when_servers_die_while_sessions_are_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut nodes = servers(3, &etcd.url(), folder.path()).await;
    let dead = nodes[2].prefix().await;
    let (made, count) = watch::channel(0);
    let [first, second, third] = &mut nodes[..] else { unreachable!() };
    let creating = join_all((0..30).map(|number| {
        let (entry, made) = (if number % 2 == 0 { &*first } else { &*second }, &made);
        async move {
            let answer = entry.post("/mcp/createSession?imageId=agb-code-space-1", json!({})).await.expect("an answer");
            made.send_modify(|made| *made += 1);
            answer
        }
    }));
    let killing = async {
        count.clone().wait_for(|made| *made >= 6).await.expect("sessions are made");
        third.kill();
    };
    let (answers, ()) = tokio::join!(creating, killing);
    let mut told = BTreeSet::new();
    for (status, answer) in answers {
        match status {
            200 => drop(told.insert(answer["data"]["sessionId"].as_str().expect("an id").to_owned())),
            // Nobody can say whether the server that died had made it.
            502 => assert_eq!(answer["code"], "ServiceUnavailable.Interrupted", "{answer}"),
            other => panic!("{other}: {answer}"),
        }
    }
    assert!(told.len() >= 20, "{} of 30", told.len());
    let expected: BTreeSet<_> = told.iter().filter(|id| !id.starts_with(&dead)).cloned().collect();
    for id in told.difference(&expected) {
        until_gone(&nodes[0], id).await;
    }
    for node in &nodes[..2] {
        eventually("the list is whole", LOST, async || node.listed().await.is_ok()).await;
        let listed: BTreeSet<_> = node.listed().await.expect("all answer").into_iter().collect();
        assert_eq!(listed, expected, "by {}", node.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn three_servers_are_replaced_under_a_hundred_runs_and_none_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut nodes = Vec::new();
    for name in ["s0", "s1", "s2"] {
        let mut node = Node::new(name, &etcd.url(), folder.path()).with(&["--drain-sessions", "60"]);
        node.spawn();
        node.ready().await;
        nodes.push(node);
    }
    all_up(&nodes, 3).await;
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let balancer = Balancer::start(addresses.clone()).await.expect("a port");
    let agb = client(balancer.address());
    let clients = join_all((0..CLIENTS).map(|name| {
        let agb = &agb;
        async move {
            for number in 0..RUNS / CLIENTS {
                let session = create(agb).await;
                run_lines(&session, &format!("{name}.{number}"), 30, |_| {}).await;
                session.delete().await.expect("it is deleted");
            }
            RUNS / CLIENTS
        }
    }));
    let replacing = async {
        for (at, node) in nodes.iter_mut().enumerate() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            node.signal(Signal::TERM);
            // A balancer sees at its next look that the server takes nothing new.
            eventually("it says that it drains", LOST, async || {
                node.readiness().await.is_none_or(|(status, _)| status.as_u16() == 503)
            })
            .await;
            balancer
                .set_servers(addresses.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, a)| *a).collect());
            assert_eq!(node.exit_code(Duration::from_secs(120)).await, Some(0), "{}", node.log());
            node.spawn();
            node.ready().await;
            balancer.set_servers(addresses.clone());
        }
    };
    let (runs, ()) = tokio::join!(clients, replacing);
    assert_eq!(runs.into_iter().sum::<usize>(), RUNS);
    for node in &nodes {
        assert_eq!(node.metric("agb_cluster_condemned_total").await, 0.0, "{}: {}", node.name, node.log());
    }
}
