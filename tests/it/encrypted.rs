//! `https` and `wss` between the Rust client and the server, with an authority of the test's own making.
//!
//! What a machine trusts is read once a process, so the client is this test program once more, with `SSL_CERT_FILE` set.

use std::process::Command;

use agb_client::{Agb, CreateSession, Options};
use agb_server::{Config, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::server::{KEY, TestServer};

const ENDPOINT: &str = "AGB_TESTS_ENDPOINT";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_talks_to_a_server_with_a_certificate() {
    let folder = tempfile::tempdir().expect("there is room");
    let (authority, files) = certificates(folder.path());
    let mut config = Config::new(KEY.into());
    config.tls = Some(files);
    let server = TestServer::with(config).await;
    let mut child = Command::new(std::env::current_exe().expect("it runs"));
    child
        .args(["--exact", "encrypted::as_a_client", "--ignored"])
        .env("SSL_CERT_FILE", authority)
        .env_remove("SSL_CERT_DIR")
        .env(ENDPOINT, server.endpoint().replace("http:", "https:"));
    let ended = tokio::task::spawn_blocking(move || child.output()).await.expect("it does not panic");
    let ended = ended.expect("it starts");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    server.stop().await;
}

#[tokio::test]
#[ignore = "a part of `the_client_talks_to_a_server_with_a_certificate`"]
async fn as_a_client() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else { return };
    let options = Options::new().api_key(KEY).endpoint(endpoint).environment([("", ""); 0]);
    let agb = Agb::new(&options).expect("the settings are fine");
    let session = agb.create(CreateSession::default()).await.expect("https works");
    let result = session.code().run("print(6 * 7)", "python").stream().expect("it is taken").finish().await;
    assert!(result.success, "wss works: {}", result.error_message);
    assert_eq!(result.logs.stdout.concat(), "42\n");
    session.delete().await.expect("it goes");
}

/// The authority's file, and a certificate of it for 127.0.0.1 with its key.
fn certificates(folder: &std::path::Path) -> (std::path::PathBuf, TlsFiles) {
    let key = KeyPair::generate().expect("ring makes keys");
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("the key is good");
    let issuer = Issuer::new(params, key);
    let server_key = KeyPair::generate().expect("ring makes keys");
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).expect("it is an address");
    let server = server.signed_by(&server_key, &issuer).expect("the keys are good");
    let write = |name: &str, text: String| {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("there is room");
        file
    };
    let files = TlsFiles { cert: write("cert.pem", server.pem()), key: write("key.pem", server_key.serialize_pem()) };
    (write("authority.pem", authority.pem()), files)
}
