//! An etcd with users, one with TLS, and servers that reach each other by TLS.

use std::fs;
use std::time::Duration;

use agb_client::{Agb, Options};

use agb_testkit::etcd::Etcd;
use data_encoding::BASE64;
use serde_json::json;

use crate::support::{KEY, Node, Tls, all_up, doctor, run_lines};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_with_users_wants_one_and_gives_it_its_prefix_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let call = |path: &str, body: serde_json::Value| {
        let answer = etcd.post(0, path, &body.to_string()).expect("an answer");
        assert!(answer.get("error").is_none(), "{path}: {answer}");
    };
    let text = |text: &str| BASE64.encode(text.as_bytes());
    for (user, password) in [("root", "of-root"), ("agb", "of-agb")] {
        call("/v3/auth/user/add", json!({ "name": user, "password": password }));
        call("/v3/auth/role/add", json!({ "name": user }));
        call("/v3/auth/user/grant", json!({ "user": user, "role": user }));
    }
    let permission = json!({ "permType": "READWRITE", "key": text("agb/"), "range_end": text("agb0") });
    call("/v3/auth/role/grant", json!({ "name": "agb", "perm": permission }));
    call("/v3/auth/enable", json!({}));

    let user = |name: &str, password: &str| {
        ["--cluster-user".to_owned(), name.to_owned(), "--cluster-password".to_owned(), password.to_owned()]
    };
    let start = |name: &str, url: &str, given: &[String]| {
        let given: Vec<_> = given.iter().map(String::as_str).collect();
        let mut node = Node::new(name, url, folder.path()).with(&given);
        node.spawn();
        node
    };
    let mut nodes =
        vec![start("s0", &etcd.url(), &user("agb", "of-agb")), start("s1", &etcd.url(), &user("agb", "of-agb"))];
    for node in &mut nodes {
        node.ready().await;
    }
    all_up(&nodes, 2).await;
    let elsewhere = etcd.url().replace("/agb", "/other");
    for (name, url, given, hint) in [
        ("none", &etcd.url(), Vec::new(), "it wants a user"),
        ("wrong", &etcd.url(), user("agb", "of-nobody").to_vec(), "does not know this user with this password"),
        ("other", &elsewhere, user("agb", "of-agb").to_vec(), "may not read and write the prefix"),
    ] {
        let mut node = start(name, url, &given);
        crate::support::eventually(&format!("{name} says why"), Duration::from_secs(30), async || {
            node.log().contains(hint)
        })
        .await;
        assert_eq!(node.readiness().await.expect("an answer").1, "joining: the registry does not answer\n");
        assert!(!node.log().contains("of-nobody") && !node.log().contains("of-agb"), "{}", node.log());
        assert!(node.ended().is_none(), "it waits for somebody to mend it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_with_tls_is_trusted_by_its_authority_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = Tls::write(folder.path());
    let options = ["--cert-file", &tls.certificate, "--key-file", &tls.key];
    let etcd = Etcd::start_with(&folder.path().join("etcd"), 1, &options).expect("etcd");
    let mut good = Node::new("good", &etcd.url(), folder.path()).with(&["--cluster-ca", &tls.authority]);
    good.spawn();
    good.ready().await;

    let mut stranger = Node::new("stranger", &etcd.url(), folder.path());
    stranger.spawn();
    let plain = etcd.url().replace("etcds://", "etcd://");
    let mut plain = Node::new("plain", &plain, folder.path());
    plain.spawn();
    for (node, hint) in [(&mut stranger, "no TLS"), (&mut plain, "does not answer")] {
        crate::support::eventually(&format!("{} says why", node.name), Duration::from_secs(30), async || {
            node.log().contains(hint)
        })
        .await;
        assert!(node.ended().is_none());
    }
    let mut missing = Node::new("missing", &etcd.url(), folder.path()).with(&["--cluster-ca", &tls.key]);
    missing.spawn();
    assert_eq!(missing.exit_code(Duration::from_secs(20)).await, Some(1));
    assert!(missing.log().contains("--cluster-ca") && missing.log().contains("no certificate"), "{}", missing.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_with_tls_are_trusted_by_their_authority_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let etcd = Etcd::start(&folder.path().join("etcd"), 1).expect("etcd");
    let tls = Tls::write(folder.path());
    let trusting = ["--peer-ca", tls.authority.as_str()];
    let mut nodes: Vec<_> = [("s0", &trusting[..]), ("s1", &trusting[..]), ("stranger", &[][..])]
        .map(|(name, options)| Node::new(name, &etcd.url(), folder.path()).with_tls(&tls).with(options))
        .into();
    for node in &mut nodes {
        node.spawn();
        node.ready().await;
    }
    all_up(&nodes, 3).await;
    let [entry, owner, stranger] = &nodes[..] else { unreachable!() };
    let id = owner.own_session(entry).await["sessionId"].as_str().expect("an id").to_owned();
    assert_eq!(entry.asks(&id).await.0, 200, "{}", entry.log());
    assert!(entry.listed().await.expect("all answer").contains(&id));
    let authority = fs::read_to_string(&tls.authority).expect("it was written");
    let options = Options::new().api_key(KEY).endpoint(entry.url("")).ca(authority);
    let session = Agb::new(&options).expect("an account").get(id.clone()).await.expect("it is there");
    run_lines(&session, "r", 20, |_| {}).await;
    assert!(entry.metric("agb_tunnels").await >= 1.0, "it came through the entry");

    // Whoever does not trust the others can ask nobody, and says so.
    let (status, code) = stranger.asks(&id).await;
    assert_eq!((status, code.as_str()), (503, "ServiceUnavailable.Owner"), "{}", stranger.log());
    let (status, answer) = stranger.listed().await.expect_err("a part is not all");
    assert_eq!((status, &answer["code"]), (503, &json!("ServiceUnavailable.List")), "{answer}");
    let (is_good, report) = doctor(&etcd.url(), &trusting);
    assert!(is_good && report.contains("s1 at https://"), "{report}");
    let (is_good, report) = doctor(&etcd.url(), &[]);
    assert!(!is_good && report.contains("s1 at https://") && report.contains("from here no TLS"), "{report}");
}
