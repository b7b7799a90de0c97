//! A registry that is away, loses its leader, is wiped, or goes back to an old copy.

use std::time::{Duration, Instant};

use agb_testkit::etcd::Etcd;
use serde_json::json;

use crate::support::{Edge, LOST, Node, all_up, eventually, servers};

const MADE_UP: &str = "session-0123456789ab0123456789abcdef0123456789abcdef";

async fn nobody_was_condemned(nodes: &mut [Node]) {
    for node in nodes {
        assert_eq!(node.metric("agb_cluster_condemned_total").await, 0.0, "{}: {}", node.name, node.log());
        assert!(node.ended().is_none(), "{}: {}", node.name, node.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for a minute: cargo xtask test --only cluster"]
async fn an_outage_ends_no_session_and_no_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut etcd = Etcd::start(&folder.path().join("etcd"), 3).expect("etcd");
    let mut nodes = servers(3, &etcd.url(), folder.path()).await;
    let session = nodes[1].own_session(&nodes[0]).await;
    let id = session["sessionId"].as_str().expect("an id").to_owned();

    let leader = etcd.leader().expect("it has one");
    etcd.kill(leader);
    let age = "agb_cluster_beat_age_seconds";
    tokio::time::sleep(Duration::from_secs(3)).await;
    eventually("beats are kept with a new leader", LOST, async || nodes[0].metric(age).await < 2.5).await;
    etcd.start_all().expect("the member starts");

    const LINES: usize = 150;
    let program = format!("import time\nfor i in range({LINES}):\n    print(i, flush=True)\n    time.sleep(0.2)");
    let (run, ()) = tokio::join!(nodes[2].run(&session, &program), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        etcd.kill_all();
        tokio::time::sleep(Duration::from_secs(12)).await;
        for node in &nodes {
            assert_eq!(node.asks(&id).await.0, 200, "{}: {}", node.name, node.log());
            let (status, code) = node.asks(MADE_UP).await;
            assert_eq!((status, code.as_str()), (503, "ServiceUnavailable.Registry"), "{}", node.name);
            assert_eq!(node.readiness().await.expect("an answer").0.as_u16(), 200, "{}", node.name);
            assert!(node.listed().await.expect("all answer").contains(&id), "{}", node.name);
        }
        let (status, answer) =
            nodes[0].post("/mcp/createSession?imageId=agb-code-space-1", json!({})).await.expect("an answer");
        assert_eq!(status, 503, "{answer}");
        tokio::time::sleep(Duration::from_secs(8)).await;
        etcd.start_all().expect("etcd starts again");
    });
    let text = run["data"]["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{run}"));
    let result: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let printed = result["stdout"].as_array().unwrap_or_else(|| panic!("{result}"));
    let printed: String = printed.iter().filter_map(|part| part.as_str()).collect();
    let expected: String = (0..LINES).map(|line| format!("{line}\n")).collect();
    assert_eq!(printed, expected, "no line is lost");
    eventually("beats are kept again", LOST, async || nodes[0].metric(age).await < 2.5).await;
    all_up(&nodes, 3).await;
    nobody_was_condemned(&mut nodes).await;
    let (status, code) = eventually_settled(&nodes[0]).await;
    assert_eq!((status, code.as_str()), (400, "InvalidMcpSession.NotFound"), "a made-up owner");
}

/// What is said of a made-up owner once absences count again.
async fn eventually_settled(node: &Node) -> (u16, String) {
    eventually("absences count again", LOST, async || node.asks(MADE_UP).await.0 != 503).await;
    node.asks(MADE_UP).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for a minute: cargo xtask test --only cluster"]
async fn a_wiped_or_restored_registry_loses_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut nodes = servers(3, &etcd.url(), folder.path()).await;
    let session = nodes[1].own_session(&nodes[0]).await;
    let id = session["sessionId"].as_str().expect("an id").to_owned();
    etcd.save().expect("a copy");
    // In the copy this server has an incarnation that is over.
    let over = nodes[2].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    nodes[2].kill();
    nodes[2].spawn();
    nodes[2].ready().await;
    all_up(&nodes, 3).await;
    for what in ["wiped", "restored"] {
        match what {
            "wiped" => etcd.wipe().expect("etcd starts"),
            _ => etcd.restore().expect("etcd starts"),
        }
        for node in &nodes {
            // Within the beat in which all come back nobody knows whose it is, and says so.
            for (id, expected) in [(&id, 200), (&over, 400)] {
                eventually(&format!("{} after it was {what}", node.name), LOST, async || {
                    let (status, code) = node.asks(id).await;
                    let is_unknown = (status, code.as_str()) == (503, "ServiceUnavailable.Registry");
                    assert!(status == expected || is_unknown, "{status} {code}\n{}", node.log());
                    status == expected
                })
                .await;
            }
        }
        let age = "agb_cluster_beat_age_seconds";
        for node in &nodes {
            eventually("beats are kept", LOST, async || node.metric(age).await < 2.5).await;
        }
        tokio::time::sleep(Duration::from_secs(14)).await;
        all_up(&nodes, 3).await;
        for node in &mut nodes {
            assert!(node.ended().is_none(), "{} after it was {what}: {}", node.name, node.log());
            assert_eq!(node.asks(&id).await.0, 200, "{} after it was {what}: {}", node.name, node.log());
            assert_eq!(node.asks(&over).await.0, 400, "{} after it was {what}", node.name);
        }
    }
}

/// As an operator does it: all members made anew from a snapshot that etcd itself has taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn a_snapshot_of_the_registry_brings_nobody_back_and_ends_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut etcd = Etcd::start(&folder.path().join("etcd"), 3).expect("etcd");
    // Longer than the restoring takes on a busy machine: who is not in the copy must not have been given up meanwhile.
    let options = ["--lost-after", "60"];
    let mut nodes: Vec<_> =
        ["s0", "s1", "s2", "s3"].map(|name| Node::new(name, &etcd.url(), folder.path()).with(&options)).into();
    for node in &mut nodes[..3] {
        node.spawn();
        node.ready().await;
    }
    all_up(&nodes[..3], 3).await;
    let id = nodes[1].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    // In the snapshot this server has an incarnation that is over, and one more is not there yet.
    let over = nodes[2].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    let snapshot = folder.path().join("snapshot.db");
    etcd.take_snapshot(&snapshot).expect("a snapshot");
    nodes[2].kill();
    nodes[2].spawn();
    nodes[2].ready().await;
    nodes[3].spawn();
    nodes[3].ready().await;
    all_up(&nodes, 4).await;
    let new = nodes[3].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    etcd.restore_snapshot(&snapshot).expect("etcd starts");
    for round in ["at once", "later"] {
        for node in &nodes {
            // Who came later has not heard of it, and finds nobody there.
            let (status, code) = node.asks(&over).await;
            assert!(status == 400 || (node.name == "s3" && status == 503), "{} {round}: {status} {code}", node.name);
            assert_eq!(node.asks(&id).await.0, 200, "{} {round}: {}", node.name, node.log());
            // Until its server has beaten again nobody knows whose it is, and says so.
            eventually(&format!("{} finds it {round}", node.name), LOST, async || {
                let (status, code) = node.asks(&new).await;
                assert!(
                    status == 200 || (status, code.as_str()) == (503, "ServiceUnavailable.Registry"),
                    "{status} {code}"
                );
                status == 200
            })
            .await;
        }
        if round == "at once" {
            tokio::time::sleep(Duration::from_secs(6)).await;
            all_up(&nodes, 4).await;
        }
    }
    for node in &mut nodes {
        assert!(node.ended().is_none(), "{}: {}", node.name, node.log());
    }
}

/// Who is not in the copy has been away for longer than a silent server is waited for, as everybody has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn a_snapshot_that_comes_after_a_long_outage_ends_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    // Who is back first waits so long for the others.
    let start = |name: &str| Node::new(name, &etcd.url(), folder.path()).with(&["--lost-after", "16"]);
    let mut nodes: Vec<_> = ["s0", "s1", "s2"].map(start).into();
    for node in &mut nodes[..2] {
        node.spawn();
        node.ready().await;
    }
    all_up(&nodes[..2], 2).await;
    let session = nodes[1].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    // Absences count for these two: their records in the copy say so.
    eventually("absences count", LOST, async || nodes[0].asks(MADE_UP).await.0 == 400).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let snapshot = folder.path().join("snapshot.db");
    etcd.take_snapshot(&snapshot).expect("a snapshot");
    // One is replaced, so that the copy has a process that is over and that the newest one has never heard of.
    nodes[1].kill();
    nodes[1].spawn();
    nodes[1].ready().await;
    all_up(&nodes[..2], 2).await;
    nodes[2].spawn();
    nodes[2].ready().await;
    all_up(&nodes, 3).await;
    let new = nodes[2].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    etcd.kill_all();
    tokio::time::sleep(Duration::from_secs(19)).await;
    etcd.restore_snapshot(&snapshot).expect("etcd starts");
    for node in &nodes {
        eventually(&format!("{} finds it", node.name), LOST, async || {
            let (status, code) = node.asks(&new).await;
            let is_honest = status == 200 || (status, code.as_str()) == (503, "ServiceUnavailable.Registry");
            assert!(is_honest, "{status} {code}: {}", node.log());
            status == 200
        })
        .await;
    }
    all_up(&nodes, 3).await;
    // Until absences count again.
    tokio::time::sleep(Duration::from_secs(20)).await;
    for node in &mut nodes {
        assert!(node.ended().is_none(), "{}: {}", node.name, node.log());
        assert_eq!(node.asks(&new).await.0, 200, "{}: {}", node.name, node.log());
        assert_eq!(node.asks(&session).await.0, 400, "{}: {}", node.name, node.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn a_server_cut_off_from_the_registry_stays_a_member() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let edge = Edge::to(etcd.clients()[0]).await;
    let cut = format!("etcd://{}/agb", edge.address);
    let mut nodes =
        vec![Node::start("s0", &etcd.url(), folder.path()).await, Node::start("s1", &cut, folder.path()).await];
    all_up(&nodes, 2).await;
    let session = nodes[1].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    edge.silence();
    for _ in 0..22 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(nodes[0].asks(&session).await.0, 200, "{}", nodes[0].log());
    }
    assert!(nodes[0].log().contains("cut off from the registry"), "{}", nodes[0].log());
    // What it knows is too old to place sessions by: the other one does.
    let new = nodes[1].post("/mcp/createSession?imageId=agb-code-space-1", json!({})).await.expect("an answer");
    assert_eq!(new.0, 200, "{}", new.1);
    let new = new.1["data"]["sessionId"].as_str().expect("an id").to_owned();
    assert!(new.starts_with(&nodes[0].prefix().await), "{new}");
    edge.open();
    eventually("its beats are kept", LOST, async || nodes[1].metric("agb_cluster_beat_age_seconds").await < 2.5).await;
    nobody_was_condemned(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn servers_that_cannot_reach_each_other_condemn_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut first = Node::new("s0", &etcd.url(), folder.path());
    let edge = Edge::to(first.address).await;
    first = first.with(&["--advertise", &format!("http://{}", edge.address)]);
    first.spawn();
    first.ready().await;
    let mut nodes = vec![first, Node::start("s1", &etcd.url(), folder.path()).await];
    all_up(&nodes, 2).await;
    let session = nodes[0].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    assert_eq!(nodes[1].asks(&session).await.0, 200, "{}", nodes[1].log());
    edge.refuse();
    for _ in 0..3 {
        let (status, code) = nodes[1].asks(&session).await;
        assert!(matches!(status, 502 | 503), "{status} {code}");
        assert_eq!(nodes[0].asks(&session).await.0, 200);
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    nobody_was_condemned(&mut nodes).await;
    edge.open();
    eventually("calls are passed on again", LOST, async || nodes[1].asks(&session).await.0 == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn two_faults_at_once_end_a_server_at_its_next_contact_and_a_fence_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let first = Node::start("s0", &etcd.url(), folder.path()).await;
    let to_registry = Edge::to(etcd.clients()[0]).await;
    let cut = format!("etcd://{}/agb", to_registry.address);
    let mut nodes = Vec::new();
    let mut to_peers = Vec::new();
    for (name, options) in [("s1", &[][..]), ("fenced", &["--fence-after", "6"][..])] {
        let node = Node::new(name, &cut, folder.path());
        let edge = Edge::to(node.address).await;
        let mut node = node.with(&["--advertise", &format!("http://{}", edge.address)]).with(options);
        node.spawn();
        node.ready().await;
        nodes.push(node);
        to_peers.push(edge);
    }
    eventually("s0 sees 3", LOST, async || first.up().await as usize == 3).await;
    let session = nodes[0].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();

    to_registry.silence();
    to_peers.iter().for_each(Edge::silence);
    assert_eq!(nodes[1].exit_code(LOST).await, Some(70), "the fence");
    assert!(nodes[1].log().contains("--fence-after"), "{}", nodes[1].log());
    eventually("both are lost", LOST, async || first.up().await as usize == 1).await;
    let (status, code) = first.asks(&session).await;
    assert_eq!((status, code.as_str()), (400, "InvalidMcpSession.NotFound"));
    assert!(nodes[0].ended().is_none(), "it cannot know yet");
    assert_eq!(nodes[0].asks(&session).await.0, 200, "whoever reaches it is served");
    let others = first.prefix().await;
    eventually("a session is made elsewhere", LOST, async || {
        let new = nodes[0].post("/mcp/createSession?imageId=agb-code-space-1", json!({})).await.expect("an answer");
        match new.0 {
            200 => assert!(new.1["data"]["sessionId"].as_str().expect("an id").starts_with(&others), "{}", new.1),
            // It was the other one's turn, of whose end this one cannot know.
            status => assert_eq!(status, 502, "{}", new.1),
        }
        new.0 == 200
    })
    .await;
    to_registry.open();
    assert_eq!(nodes[0].exit_code(LOST).await, Some(70), "{}", nodes[0].log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn a_registry_that_stalls_for_a_while_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let edge = Edge::to(etcd.clients()[0]).await;
    let cluster = format!("etcd://{}/agb", edge.address);
    let mut nodes = servers(2, &cluster, folder.path()).await;
    let session = nodes[1].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    for _ in 0..2 {
        edge.silence();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(nodes[0].asks(&session).await.0, 200, "{}", nodes[0].log());
        edge.open();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    for node in &nodes {
        let age = "agb_cluster_beat_age_seconds";
        eventually("beats are kept", LOST, async || node.metric(age).await < 2.5).await;
    }
    nobody_was_condemned(&mut nodes).await;
    assert_eq!(nodes[0].asks(&session).await.0, 200);
}

/// All members of etcd take connections and say nothing, as behind a route that swallows everything; then one of them
/// answers, the last to be asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute: cargo xtask test --only cluster"]
async fn a_registry_that_says_nothing_holds_up_no_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 3).expect("etcd");
    let mut edges = Vec::new();
    for address in etcd.clients() {
        edges.push(Edge::to(address).await);
    }
    let hosts: Vec<_> = edges.iter().map(|edge| edge.address.to_string()).collect();
    let mut nodes = servers(2, &format!("etcd://{}/agb", hosts.join(",")), folder.path()).await;
    let session = nodes[1].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    edges.iter().for_each(Edge::silence);
    let silent = Instant::now();
    // Longer than beats of 2 s for each member take twice.
    while silent.elapsed() < Duration::from_secs(24) {
        for node in &nodes {
            // Where calls are held, they are for as long as nothing answers: the client gives up.
            assert_eq!(node.asks(&session).await.0, 200, "{}", node.log());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    edges[2].open();
    for node in &nodes {
        let age = "agb_cluster_beat_age_seconds";
        eventually("beats are kept", LOST, async || node.metric(age).await < 2.5).await;
    }
    nobody_was_condemned(&mut nodes).await;
}
