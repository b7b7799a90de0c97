//! An etcd with users, and one with TLS.

use std::fs;
use std::time::Duration;

use agb_testkit::etcd::Etcd;
use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::support::{Node, all_up};

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
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).expect("names").signed_by(&own, &issuer).expect("a certificate");
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("there is room");
        path.to_str().expect("text").to_owned()
    };
    let (ca, cert, key) =
        (file("ca.pem", authority.pem()), file("cert.pem", certificate.pem()), file("key.pem", own.serialize_pem()));
    let options = ["--cert-file", &cert, "--key-file", &key];
    let etcd = Etcd::start_with(&folder.path().join("etcd"), 1, &options).expect("etcd");
    let mut good = Node::new("good", &etcd.url(), folder.path()).with(&["--cluster-ca", &ca]);
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
    let mut missing = Node::new("missing", &etcd.url(), folder.path()).with(&["--cluster-ca", &key]);
    missing.spawn();
    assert_eq!(missing.exit_code(Duration::from_secs(20)).await, Some(1));
    assert!(missing.log().contains("--cluster-ca") && missing.log().contains("no certificate"), "{}", missing.log());
}
