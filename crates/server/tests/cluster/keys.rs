//! An API key is replaced on all servers while a run goes on.

use std::fs;
use std::path::PathBuf;

use agb_testkit::etcd::Etcd;
use serde_json::json;
use tokio::sync::watch;

use crate::support::{LOST, Node, all_up, client, eventually, run_lines};

const OLD: &str = "the-old-key-of-all-servers";
const NEW: &str = "the-new-key-of-all-servers";

fn write(file: &PathBuf, keys: &[(&str, &str)]) {
    let text: String = keys.iter().map(|(name, key)| format!("{name} {key}\n")).collect();
    // As an operator's tools do: never half of it.
    let new = file.with_extension("new");
    fs::write(&new, text).expect("there is room");
    fs::rename(new, file).expect("one folder");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_replaced_server_by_server_and_no_run_notices() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let (mut nodes, mut files) = (Vec::new(), Vec::new());
    for name in ["s0", "s1", "s2"] {
        let file = folder.path().join(format!("{name}.keys"));
        write(&file, &[("old", OLD)]);
        let mut node =
            Node::new(name, &etcd.url(), folder.path()).with(&["--api-keys-file", file.to_str().expect("text")]);
        node.spawn();
        node.ready().await;
        nodes.push(node);
        files.push(file);
    }
    all_up(&nodes, 3).await;
    let id = nodes[1].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    let asks = async |node: usize, key: &str| {
        let asked = nodes[node].post_with(key, "/mcp/getSessionInfo", json!({ "sessionId": id })).await;
        asked.expect("an answer").0
    };
    let takes = async |node: usize, key: &str, status: u16| {
        eventually("the file is read", LOST, async || asks(node, key).await == status).await;
    };
    let differing = "agb_cluster_nodes_with_other_keys";

    let session = client(nodes[2].address).get(id.clone()).await.expect("it is there");
    let (done, is_done) = watch::channel(false);
    let run = async {
        run_lines(&session, "r", 400, |_| {}).await;
        done.send_replace(true);
    };
    let replacing = async {
        // The new key at the entry only: the owner has the last word, and the metrics say that the two disagree.
        write(&files[0], &[("old", OLD), ("new", NEW)]);
        eventually("it is seen that keys differ", LOST, async || nodes[1].metric(differing).await >= 1.0).await;
        assert_eq!((asks(0, NEW).await, asks(0, OLD).await), (401, 200), "the owner does not know it");
        // Everywhere: both are taken everywhere.
        for (node, file) in files.iter().enumerate() {
            write(file, &[("old", OLD), ("new", NEW)]);
            takes(node, NEW, if node == 0 { 401 } else { 200 }).await;
        }
        for node in 0..3 {
            takes(node, NEW, 200).await;
            assert_eq!(asks(node, OLD).await, 200);
        }
        eventually("all agree", LOST, async || nodes[1].metric(differing).await == 0.0).await;
        // The old one goes, the owner's last.
        for node in [0, 2, 1] {
            write(&files[node], &[("new", NEW)]);
            takes(node, OLD, 401).await;
            assert_eq!(asks(node, NEW).await, 200);
        }
        for node in 0..3 {
            assert_eq!((asks(node, OLD).await, asks(node, NEW).await), (401, 200));
        }
    };
    tokio::join!(run, replacing);
    assert!(*is_done.borrow());
}
