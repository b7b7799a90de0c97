//! `https:` and `wss:`, with a certificate that the machine trusts and with one that it does not.
//!
//! What the machine trusts is read once a process, so each case is this test program once more, with the variables that
//! name certificates.

#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::Arc;

use agb_client::{Agb, Options, SessionData};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::peer;

const ADDRESS: &str = "AGB_CLIENT_TEST_ADDRESS";
const TRUSTED: &str = "AGB_CLIENT_TEST_TRUSTED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_must_be_trusted() {
    let (authority, server) = certificates();
    let (other, _) = certificates();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let address = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(server))));
    let folder = tempfile::tempdir().expect("there is room");
    let place = |name: &str| folder.path().join(name);
    for name in ["hashed", "empty"] {
        std::fs::create_dir(place(name)).expect("there is room");
    }
    // As OpenSSL names the files of such a folder: eight digits of a hash, and a number.
    for (name, pem) in [("good", &authority), ("other", &other), ("hashed/0a1b2c3d.0", &authority)] {
        std::fs::write(place(name), pem).expect("there is room");
    }
    // An empty folder stands for a machine that has no certificates.
    for (environment, trusted) in [
        (vec![("SSL_CERT_FILE", "good")], "yes"),
        (vec![("SSL_CERT_FILE", "other")], "no"),
        (vec![("SSL_CERT_DIR", "hashed")], "yes"),
        (vec![("SSL_CERT_FILE", "other"), ("SSL_CERT_DIR", "hashed")], "yes"),
        (vec![("SSL_CERT_DIR", "empty")], "no"),
        (vec![("SSL_CERT_DIR", "empty"), ("NODE_EXTRA_CA_CERTS", "good")], "yes"),
        (vec![("SSL_CERT_FILE", "absent")], "no"),
        (vec![("SSL_CERT_FILE", "absent"), ("NODE_EXTRA_CA_CERTS", "good")], "yes"),
    ] {
        let mut child = Command::new(std::env::current_exe().expect("it runs"));
        child.args(["--exact", "encrypted::with_what_this_process_trusts", "--ignored"]);
        for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"] {
            child.env_remove(variable);
        }
        child.envs(environment.iter().map(|(variable, name)| (variable, place(name))));
        child.env(TRUSTED, trusted).env(ADDRESS, &address);
        let ended = tokio::task::spawn_blocking(move || child.output()).await.expect("it does not panic");
        let ended = ended.expect("it starts");
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && said.contains("1 passed"), "{environment:?}, trusted: {trusted}\n{said}");
    }
}

#[tokio::test]
#[ignore = "a part of `a_certificate_must_be_trusted`"]
async fn with_what_this_process_trusts() {
    let (Ok(address), Ok(trusted)) = (std::env::var(ADDRESS), std::env::var(TRUSTED)) else { return };
    let options = Options::new().api_key("k").endpoint(format!("https://{address}")).environment([("", ""); 0]);
    let options = options.tune(|config| config.give_up = std::time::Duration::from_millis(200));
    let agb = Agb::new(&options).expect("the settings are fine");
    let mut data = SessionData::default();
    data.ws_url = Some(format!("wss://{address}/"));
    data.token = "t".into();
    let session = agb.session(data);
    let tools = agb.tools("i").await;
    let result = session.code().run("1", "python").stream().expect("it is taken").finish().await;
    if trusted == "yes" {
        assert_eq!(tools.expect("the certificate is good"), []);
        assert!(result.success, "{result:?}");
    } else {
        let error = tools.expect_err("nobody knows the certificate");
        assert_eq!(error.code(), "UNREACHABLE");
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(result.error_message.contains("certificate"), "{}", result.error_message);
        for message in [error.to_string(), result.error_message] {
            assert!(message.contains("authority"), "what to do: {message}");
        }
    }
}

/// The authority as PEM, and a server that has a certificate of it for 127.0.0.1.
pub(crate) fn certificates() -> (String, ServerConfig) {
    certificates_for("127.0.0.1", |_| {})
}

/// The same for this name, with a change.
pub(crate) fn certificates_for(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, ServerConfig) {
    let key = KeyPair::generate().expect("ring makes keys");
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("the key is good");
    let issuer = Issuer::new(params, key);
    let server_key = KeyPair::generate().expect("ring makes keys");
    let mut server = CertificateParams::new([name.to_owned()]).expect("it is a name");
    change(&mut server);
    let server = server.signed_by(&server_key, &issuer).expect("the keys are good");
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], private)
        .expect("key and certificate belong together");
    (authority.pem(), config)
}

/// Answers WebSockets as well as calls.
pub(crate) async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((tcp, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(mut tls) = acceptor.accept(tcp).await else { return };
            let mut head = Vec::new();
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                if !tls.read_buf(&mut head).await.is_ok_and(|length| length > 0) {
                    return;
                }
            }
            let head = String::from_utf8_lossy(&head);
            let Some(key) = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")) else {
                let (_, body) = crate::service::fine("\"[]\"");
                let text =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                let _ = tls.write_all(text.as_bytes()).await;
                let _ = tls.shutdown().await;
                return;
            };
            peer::serve_upgraded(tls, key).await;
        });
    }
}
