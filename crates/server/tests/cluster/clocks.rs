//! Servers whose clocks are wrong by hours, by Debian's libfaketime.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use agb_testkit::etcd::Etcd;

use crate::support::{Node, all_up, client, run_lines, until_gone};

/// The library that `cargo xtask test` has unpacked, or that of the system.
fn library() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/libfaketime/usr/lib");
    for folder in [tools, PathBuf::from("/usr/lib")] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.path().join("faketime/libfaketime.so.1");
            if file.is_file() {
                return file;
            }
        }
    }
    panic!("libfaketime is missing: `cargo xtask test` unpacks it; or install libfaketime")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_wrong_by_hours_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let library = library();
    let mut nodes = Vec::new();
    // One is right, one five hours late, one more than a day ahead: longer than a lost server is remembered.
    for (name, wrong_by) in [("s0", None), ("s1", Some("-5h")), ("s2", Some("+30h"))] {
        let mut node = Node::new(name, &etcd.url(), folder.path());
        if let Some(wrong_by) = wrong_by {
            let preload = library.to_str().expect("text");
            // What is wrong with a machine's clock is the time of day.
            let variables = [("LD_PRELOAD", preload), ("FAKETIME", wrong_by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
            node = node.with_environment(&variables);
        }
        node.spawn();
        node.ready().await;
        nodes.push(node);
    }
    all_up(&nodes, 3).await;
    let (mut owned, mut times) = (Vec::new(), BTreeSet::new());
    for node in &nodes {
        let id = node.own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
        for entry in &nodes {
            assert_eq!(entry.asks(&id).await.0, 200, "{} by {}: {}", node.name, entry.name, entry.log());
        }
        let session = client(nodes[0].address).get(id.clone()).await.expect("it is there");
        run_lines(&session, &node.name, 10, |_| {}).await;
        times.insert(node.time_of_day().await);
        owned.push(id);
    }
    assert!(times.len() == 3, "their clocks differ: {times:?}");
    for node in &nodes {
        let listed: BTreeSet<_> = node.listed().await.expect("all answer").into_iter().collect();
        assert!(owned.iter().all(|id| listed.contains(id)), "{listed:?}");
    }
    // The others' times are far from its own, and it dies like any other.
    for (victim, witness) in [(2, 1), (1, 0)] {
        nodes[victim].kill();
        until_gone(&nodes[witness], &owned[victim]).await;
        assert_eq!(nodes[0].asks(&owned[0]).await.0, 200, "{}", nodes[0].log());
        nodes[victim].spawn();
        nodes[victim].ready().await;
        all_up(&nodes, 3).await;
        for node in &nodes {
            let (status, code) = node.asks(&owned[victim]).await;
            assert_eq!((status, code.as_str()), (400, "InvalidMcpSession.NotFound"), "{}", node.name);
        }
    }
    let mut condemned = 0.0;
    for node in &mut nodes {
        assert!(node.ended().is_none(), "{}: {}", node.name, node.log());
        condemned += node.metric("agb_cluster_condemned_total").await;
    }
    assert!(condemned <= 2.0, "nobody but those that were killed: {condemned}");
}
