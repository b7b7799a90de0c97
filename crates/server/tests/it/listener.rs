//! The server's listener: how many connections it permits, how slow they may be, and encryption.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agb_server::{ApiKey, Config, Server, TlsFiles};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::support::{KEY, PATIENCE, TestServer};

#[tokio::test]
async fn heads_have_a_size_and_a_number_of_lines() {
    let server = TestServer::with(|config| config.limits.max_headers = 50).await;
    let ask = async |head: String| {
        let mut socket = TcpStream::connect(server.address).await.expect("a connection");
        // It may be refused before it has been written.
        let _ = socket.write_all(format!("GET /sdk/ListSession HTTP/1.1\r\nHost: x\r\n{head}\r\n").as_bytes()).await;
        let mut answer = [0; 64];
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut answer)).await.expect("an answer").unwrap_or(0);
        String::from_utf8_lossy(&answer[..read]).into_owned()
    };
    let lines = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    assert!(ask(lines(49)).await.starts_with("HTTP/1.1 401"));
    assert!(ask(lines(50)).await.starts_with("HTTP/1.1 431"));
    assert!(ask(format!("x: {}\r\n", "y".repeat(60_000))).await.starts_with("HTTP/1.1 401"));
    // What it has not read may reset the connection before the answer is seen.
    let refused = ask(format!("x: {}\r\n", "y".repeat(200_000))).await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431"), "{refused}");
    server.stop().await;
}

#[tokio::test]
async fn who_takes_nothing_loses_the_seat() {
    let server = TestServer::with(|config| {
        config.limits.max_connections = 2;
        config.limits.read_timeout = Duration::from_secs(3600);
        config.limits.write_timeout = Duration::from_millis(500);
    })
    .await;
    // The first permit is this client's, which keeps its connection.
    let session = server.create().await;
    let text = "x".repeat(10 << 20);
    server.call(&session, "write_file", json!({ "path": "large", "content": text })).await.expect("it works");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it is small");
    let mut slow = socket.connect(server.address).await.expect("a connection");
    let body = json!({ "tool": "read_file", "args": { "path": "large" } }).to_string();
    let head = format!(
        "POST /link/{}/callTool HTTP/1.1\r\nHost: x\r\nX-Access-Token: {}\r\nContent-Length: {}\r\n\r\n{body}",
        session.id,
        session.token,
        body.len(),
    );
    slow.write_all(head.as_bytes()).await.expect("written");
    let mut first = [0; 12];
    slow.read_exact(&mut first).await.expect("an answer begins");
    assert_eq!(&first, b"HTTP/1.1 200");
    // The third gets in when the second is put out.
    let mut third = TcpStream::connect(server.address).await.expect("the system takes it");
    third.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("written");
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, third.read_to_string(&mut answer)).await.expect("it gets in").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;
    assert!(rest.len() < text.len(), "the slow one got everything");
    server.stop().await;
}

/// A certificate of its own making for 127.0.0.1, as files.
fn certificate(folder: &Path) -> TlsFiles {
    let key = KeyPair::generate().expect("ring makes keys");
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("it is an address");
    let cert = params.self_signed(&key).expect("the key is good");
    let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.key, key.serialize_pem()).expect("there is room");
    std::fs::write(&files.cert, cert.pem()).expect("there is room");
    files
}

/// Takes every certificate: who the server is, `tests` looks at with the real client.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate that the server shows, and its answer to a call, in plain text.
async fn shake_hands(server: &TestServer) -> (Vec<u8>, String) {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows them")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let socket = TcpStream::connect(server.address).await.expect("a connection");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a handshake");
    let shown = tls.get_ref().1.peer_certificates().expect("it has shown one")[0].to_vec();
    let request = format!(
        "POST /mcp/createSession HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\nauthorization: Bearer {KEY}\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    );
    tls.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.expect("an answer");
    (shown, answer)
}

#[tokio::test]
async fn a_certificate_encrypts_and_is_renewed() {
    let folder = tempfile::tempdir().expect("there is room");
    let files = certificate(folder.path());
    let server = TestServer::with(|config| {
        config.tls = Some(files.clone());
        config.limits.read_timeout = Duration::from_secs(1);
    })
    .await;
    let (first, answer) = shake_hands(&server).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"wss://localhost:1/ws/") && answer.contains("\"https://localhost:1/link/"), "{answer}");

    // Neither plain HTTP nor a handshake that never comes keeps a permit.
    for words in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"", b"\x16\x03\x01"] {
        let mut plain = TcpStream::connect(server.address).await.expect("a connection");
        plain.write_all(words).await.expect("written");
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut answer)).await;
        assert!(ended.is_ok() && !answer.starts_with(b"HTTP"), "{answer:?}");
    }

    certificate(folder.path());
    let begin = Instant::now();
    while shake_hands(&server).await.0 == first {
        assert!(begin.elapsed() < PATIENCE, "the old certificate is still shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_network_wants_encryption_and_good_keys() {
    let folder = tempfile::tempdir().expect("there is room");
    let server = |key: &str, tls: Option<TlsFiles>| {
        let mut config = Config::new(key.into());
        (config.tls, config.data_dir) = (tls, folder.path().to_owned());
        Server::new(config)
    };
    let everywhere = "0.0.0.0:80".parse().expect("an address");
    let good = "0123456789abcdef";
    let plain = server(good, None).expect("a server");
    for loopback in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80"] {
        assert!(plain.check_exposure(loopback.parse().expect("an address"), false).is_ok());
    }
    for address in ["0.0.0.0:80", "[::]:80", "192.168.1.1:80", "[::ffff:10.0.0.1]:80"] {
        let error = plain.check_exposure(address.parse().expect("an address"), false).expect_err(address).to_string();
        assert!(error.contains("--tls-cert") && error.contains("--insecure-listen"), "{error}");
        assert!(plain.check_exposure(address.parse().expect("an address"), true).is_ok());
    }
    let encrypted = server(good, Some(certificate(folder.path()))).expect("a server");
    assert!(encrypted.check_exposure(everywhere, false).is_ok());
    let error = server("short", None).expect("a server").check_exposure(everywhere, true).expect_err("it is short");
    assert!(error.to_string().contains("has 5 characters"), "{error}");

    let nowhere = |cert: &str, key: &str| {
        let files = TlsFiles { cert: folder.path().join(cert), key: folder.path().join(key) };
        server(good, Some(files)).err().expect("an error").to_string()
    };
    assert!(nowhere("none.pem", "key.pem").contains("--tls-cert"));
    assert!(nowhere("cert.pem", "none.pem").contains("--tls-key"));
    assert!(nowhere("key.pem", "key.pem").contains("--tls-cert"));
    assert!(nowhere("cert.pem", "cert.pem").contains("--tls-key"));
    let strangers = folder.path().join("strangers.pem");
    std::fs::write(&strangers, KeyPair::generate().expect("ring makes keys").serialize_pem()).expect("there is room");
    assert!(nowhere("cert.pem", "strangers.pem").contains("--tls-key"));

    let mut config = Config::new(good.into());
    config.api_keys.push(ApiKey { name: ApiKey::DEFAULT_NAME.to_owned(), secret: "another".into() });
    assert!(Server::new(config).err().expect("an error").to_string().contains("its own"));
}
