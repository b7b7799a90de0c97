//! What else may be in the registry, and ids that no server made.

use std::process::Command;
use std::time::{Duration, Instant};

use agb_testkit::etcd::Etcd;
use data_encoding::BASE64;
use serde_json::json;

use crate::support::{KEY, Node, all_up, doctor, free_port, servers};

fn put(etcd: &Etcd, key: &str, value: &str) {
    let body = json!({ "key": BASE64.encode(key.as_bytes()), "value": BASE64.encode(value.as_bytes()) });
    etcd.post(0, "/v3/kv/put", &body.to_string()).expect("it is put");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_the_registry_and_made_up_owners_harm_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let mut nodes = servers(2, &etcd.url(), folder.path()).await;
    let (is_good, report) = doctor(&etcd.url(), &[]);
    assert!(is_good && report.contains("compare-and-set works") && report.contains("s1 at http://"), "{report}");

    let session = nodes[1].own_session(&nodes[0]).await["sessionId"].as_str().expect("an id").to_owned();
    put(&etcd, "agb/nodes/garbage", "\u{0}\u{1}[[[");
    put(&etcd, "agb/nodes/newer", "{\"v\":7,\"everything\":\"else\"}");
    put(&etcd, "agb/nodes/odd", &format!("{{\"v\":1,\"inc\":\"{}\"}}", "f".repeat(5000)));
    put(&etcd, "agb/nodes/s1", "overwritten");
    tokio::time::sleep(Duration::from_secs(5)).await;
    all_up(&nodes, 2).await;
    for node in &mut nodes {
        assert!(node.ended().is_none(), "{}", node.log());
        assert_eq!(node.asks(&session).await.0, 200, "{}: {}", node.name, node.log());
    }
    let log = nodes[0].log();
    assert!(log.contains("cannot be read and is left alone") && log.contains("it has the form 7"), "{log}");
    let (is_good, report) = doctor(&etcd.url(), &[]);
    assert!(!is_good && report.contains("garbage: its record cannot be read"), "{report}");

    // A stranger with the key and made-up ids: ten reads a second, whatever comes.
    let before = nodes[0].metric("agb_cluster_reads_total").await;
    let begin = Instant::now();
    let ask = async |number: usize| {
        let id = format!("session-{number:012x}{}", "0".repeat(32));
        nodes[0].asks(&id).await
    };
    for round in 0..5 {
        let answers = futures_util::future::join_all((0..40).map(|number| ask(1 + round * 40 + number))).await;
        for (status, code) in answers {
            let is_honest = matches!(
                (status, code.as_str()),
                (400, "InvalidMcpSession.NotFound") | (503, "ServiceUnavailable.Registry") | (429, _)
            );
            assert!(is_honest, "{status} {code}");
        }
    }
    let reads = nodes[0].metric("agb_cluster_reads_total").await - before;
    let most = begin.elapsed().as_secs_f64() * 10.0 + 2.0;
    assert!(reads <= most, "{reads} reads in {:?}", begin.elapsed());
    assert_eq!(nodes[0].asks(&session).await.0, 200);
}

#[test]
fn the_doctor_says_what_is_wrong() {
    // Nobody listens there: the port was free a moment ago.
    let nobody = free_port();
    let (is_good, report) = doctor(&format!("etcd://{nobody}/agb"), &[]);
    assert!(!is_good && report.contains("the registry does not answer") && report.contains("refused"), "{report}");
    for (url, hint) in [
        ("etcd://user:secret-word@host/agb", "AGB_CLUSTER_USER"),
        ("http://host:2379", "etcd://HOST:PORT/PREFIX"),
        ("kubernetes://only", "kubernetes://NAMESPACE/NAME"),
        ("etcd://host/", "prefix"),
    ] {
        let (is_good, report) = doctor(url, &[]);
        assert!(!is_good && report.contains(hint), "{url}: {report}");
        assert!(!report.contains("secret-word"), "{report}");
    }
}

#[test]
fn the_server_says_what_is_wrong_with_its_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let nobody = format!("etcd://{}/agb", free_port());
    let nobody = nobody.as_str();
    for (options, hint) in [
        (&["--cluster", "etcd://user:secret-word@host/agb"][..], "AGB_CLUSTER_USER"),
        (&["--cluster", "http://user:secret-word@host:2379"], "etcd://HOST:PORT/PREFIX"),
        (&["--cluster", "kubernetes://a/b"], "works in a pod"),
        (&["--cluster", nobody, "--node-name", "a b"], "--node-name"),
        (&["--cluster", nobody, "--lost-after", "3"], "give at least four beats"),
        (&["--cluster", nobody, "--advertise", "10.0.0.1"], "an http or https URL"),
        (&["--cluster", nobody, "--cluster-user", "u"], "belong together"),
        (&["--cluster", nobody, "--cluster-ca", "/none"], "--cluster-ca /none"),
        (&["--cluster", nobody, "--peer-ca", "/none"], "--peer-ca /none"),
        (&["--cluster", nobody, "--upstream", "http://127.0.0.1:1"], "exclude each other"),
        (&["--cluster", nobody, "--listen", "0.0.0.0:0", "--insecure-listen"], "--advertise"),
        (&["--node-name", "x"], "--cluster"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agb-server"));
        command.args(["serve", "--isolation", "none", "--warm", "0", "--data-dir"]).arg(folder.path());
        if !options.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(options).env("AGB_API_KEY", KEY).env_remove("KUBERNETES_SERVICE_HOST");
        let output = command.output().expect("it was built");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
        assert!(!output.status.success() && text.contains(hint), "{options:?}: {text}");
        assert!(!text.contains("secret-word"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_which_servers_do_not_fit_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    // It leaves the others' records alone for longer than the test takes.
    let mut node = Node::new("real", &etcd.url(), folder.path()).with(&["--beat", "600", "--lost-after", "2400"]);
    node.spawn();
    node.ready().await;
    let record = |inc: &str, address: std::net::SocketAddr, state: &str| {
        let record = json!({
            "v": 1, "inc": inc, "addr": format!("http://{address}"), "state": state, "n": 1, "started_ms": 1,
            "at_ms": 1, "max": 100, "level": "landlock", "keys": "00000000", "images": ["another-image"],
        });
        record.to_string()
    };
    let nobody = free_port();
    put(&etcd, "agb/nodes/gone", &record("0000000000aa", nobody, "up"));
    put(&etcd, "agb/nodes/taken", &record("0000000000bb", node.address, "up"));
    put(&etcd, "agb/nodes/lost", &record("0000000000cc", nobody, "lost"));
    let (is_good, report) = doctor(&etcd.url(), &[]);
    assert!(!is_good, "{report}");
    for text in [
        &format!(
            "NOT GOOD: gone at http://{nobody}: 0 of 100 sessions, landlock; from here the connection was refused"
        ),
        &format!("NOT GOOD: taken at http://{}: 0 of 100 sessions, landlock; from here another server", node.address),
        "good: lost: was declared lost 1970-01-01T00:00:00Z",
        &format!("good: real at http://{}", node.address),
        "NOT GOOD: the servers have different API keys",
        "NOT GOOD: programs are isolated differently (landlock, none): set --isolation",
        "NOT GOOD: the servers have different images",
    ] {
        assert!(report.contains(text), "{text:?} is missing: {report}");
    }
}
