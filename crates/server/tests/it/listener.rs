//! The server's own door: keys, tokens, limits, encryption, and what an error says of the machine behind it.

use std::path::{Path, PathBuf};
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

use crate::support::{KEY, PATIENCE, Reply, TestServer, TestSession};

async fn post_with(server: &TestServer, key: &str, path: &str) -> reqwest::Response {
    server.http.post(server.url(path)).bearer_auth(key).json(&json!({})).send().await.expect("an answer")
}

/// Waits for an answer with this status to a call with this key.
async fn until_status(server: &TestServer, key: &str, status: u16) {
    let begin = Instant::now();
    while post_with(server, key, "/mcp/listTools").await.status() != status {
        assert!(begin.elapsed() < PATIENCE, "still not {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn keys_come_and_go_with_their_file() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("keys");
    std::fs::write(&file, "old 0123456789abcdef-old\n").expect("there is room");
    let server = TestServer::with(|config| config.api_keys_file = Some(file.clone())).await;
    for (key, status) in [("0123456789abcdef-old", 200), (KEY, 200), ("0123456789abcdef-new", 401), ("old", 401)] {
        assert_eq!(post_with(&server, key, "/mcp/listTools").await.status(), status, "{key}");
    }
    let session =
        TestSession::of(&Reply::of(post_with(&server, "0123456789abcdef-old", "/mcp/createSession").await).await.ok());
    // As an editor does: a new file in the old one's place.
    let fresh = folder.path().join("fresh");
    std::fs::write(&fresh, "new 0123456789abcdef-new\n").expect("there is room");
    std::fs::rename(&fresh, &file).expect("the same folder");
    until_status(&server, "0123456789abcdef-new", 200).await;
    until_status(&server, "0123456789abcdef-old", 401).await;
    // What is not good changes nothing; nor does it end what goes on.
    std::fs::write(&file, "new short\n").expect("there is room");
    tokio::time::sleep(Duration::from_secs(3)).await;
    until_status(&server, "0123456789abcdef-new", 200).await;
    assert_eq!(server.run_code(&session, "python", "print(1)").await["stdout"], json!(["1\n"]));
    server.stop().await;
}

#[tokio::test]
async fn a_token_opens_its_own_session_and_not_for_ever() {
    let server = TestServer::with(|config| config.limits.token_time = Duration::from_secs(3)).await;
    let (session, other) = (server.create().await, server.create().await);
    assert_eq!((session.token.len(), session.token == other.token), (64, false));
    let call = async |id: &str, token: &str| {
        let request = server.http.post(server.url(&format!("/link/{id}/callTool"))).header("X-Access-Token", token);
        let body = json!({ "tool": "list_directory", "args": { "path": "." } });
        Reply::of(request.json(&body).send().await.expect("an answer")).await
    };
    call(&session.id, &other.token).await.is_error(401, "InvalidAccessToken.NotFound", "not this session's");
    let crossed = TestSession { token: other.token.clone(), ..session.clone() };
    assert_eq!(crossed.try_connect(Some(&other.token)).await.err().expect("a refusal").0, 401);
    // What was opened in time stays open.
    let mut socket = session.connect().await;
    let begin = Instant::now();
    while call(&session.id, &session.token).await.status != 401 {
        assert!(begin.elapsed() < PATIENCE, "the token lasts");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    call(&session.id, &session.token).await.is_error(401, "InvalidAccessToken.Expired", "fetch the session anew");
    assert_eq!(session.try_connect(Some(&session.token)).await.err().expect("a refusal").0, 401);
    let fresh = TestSession::of(&server.post("/mcp/getSession", json!({ "sessionId": session.id })).await.ok());
    assert_ne!(fresh.token, session.token);
    assert_eq!(call(&session.id, &fresh.token).await.status, 200);
    socket.start("a", "python", "print(1)").await;
    socket.until_end().await;
    server.stop().await;
}

#[tokio::test]
async fn too_many_calls_are_told_when_to_come_again() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("keys");
    std::fs::write(&file, "other 0123456789abcdef\n").expect("there is room");
    let server = TestServer::with(|config| {
        config.api_keys_file = Some(file);
        (config.limits.calls_per_second, config.limits.calls_burst) = (1, 3);
    })
    .await;
    let session = server.create().await;
    let mut statuses = Vec::new();
    for _ in 0..50 {
        let response = post_with(&server, KEY, "/mcp/listTools").await;
        statuses.push(response.status().as_u16());
        if response.status() == 429 {
            assert_eq!(response.headers()["retry-after"], "1");
            Reply::of(response).await.is_error(429, "LimitExceeded.Rate", "come again in 1 s");
            break;
        }
    }
    assert!(statuses.len() >= 3 && statuses.last() == Some(&429), "{statuses:?}");
    // Others do not wait for this one: another key, a session's token, whoever has none.
    assert_eq!(post_with(&server, "0123456789abcdef", "/mcp/listTools").await.status(), 200);
    assert_eq!(post_with(&server, "wrong", "/mcp/listTools").await.status(), 401);
    server.call(&session, "list_directory", json!({ "path": "." })).await.expect("it works");
    let mut last = 200;
    for _ in 0..50 {
        let request = server.http.post(format!("{}/callTool", session.link_url)).json(&json!({}));
        last = request.header("X-Access-Token", &session.token).send().await.expect("an answer").status().as_u16();
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    server.stop().await;
}

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
    // The first seat is this client's, which keeps its connection.
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

    // Neither plain HTTP nor a handshake that never comes keeps a seat.
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

/// What no error may tell: where things lie on this machine, and who may come in.
fn secrets(server: &TestServer, session: &TestSession) -> Vec<String> {
    let places = [
        Some(server.data_dir.clone()),
        Some(std::env::temp_dir()),
        Some(PathBuf::from(env!("CARGO_MANIFEST_DIR"))),
        std::env::current_exe().ok(),
        std::env::home_dir(),
    ];
    let places = places.into_iter().flatten().map(|path| path.display().to_string());
    places.chain([KEY.to_owned(), session.token.clone(), "/usr/".to_owned(), "/src/".to_owned()]).collect()
}

#[tokio::test]
async fn errors_tell_nothing_of_the_machine() {
    let server = TestServer::with(|config| {
        config.limits.max_sessions = 2;
        config.limits.max_body = 10_000;
    })
    .await;
    let (session, other) = (server.create().await, server.create().await);
    let secrets = secrets(&server, &session);
    let mut codes = std::collections::BTreeSet::new();
    let mut check = |reply: &Reply, asked: &str| {
        if reply.status == 200 {
            return;
        }
        let text = reply.body.to_string();
        for secret in secrets.iter().filter(|secret| !asked.contains(secret.as_str())) {
            assert!(!text.contains(secret.as_str()), "{asked}: {secret:?} is in {text}");
        }
        codes.insert(reply.body["code"].as_str().unwrap_or_default().to_owned());
    };
    let paths = [
        "/mcp/createSession",
        "/mcp/getSession",
        "/mcp/getSessionInfo",
        "/mcp/releaseSession",
        "/mcp/releaseSessionAsync",
        "/mcp/refreshSessionIdleTime",
        "/mcp/getMcpResource",
        "/mcp/listTools",
        "/mcp",
        "/sdk/SetLabel",
        "/internet/getCdpLink",
        "/nothing",
        "/../../etc/passwd",
    ];
    let bodies = [
        json!({}),
        json!({ "sessionId": "none", "imageId": "none", "name": "none" }),
        json!({ "sessionId": [], "imageId": [], "name": [], "timeout": [], "labels": [] }),
        json!({ "sessionId": session.id, "name": "none", "Labels": "{" }),
        json!({ "sessionId": session.id, "name": "shell", "args": "{" }),
        json!({ "persistenceDataList": [1] }),
        json!({ "timeout": -1 }),
        json!("x".repeat(20_000)),
        json!([]),
    ];
    for path in paths {
        for body in bodies.iter().filter(|_| !path.contains("release")) {
            check(&server.post(path, body.clone()).await, &format!("{path} {body}"));
        }
        check(&server.get(path, &[]).await, path);
        check(&Reply::of(post_with(&server, "wrong", path).await).await, path);
        let bare = server.http.post(server.url(path)).send().await.expect("an answer");
        check(&Reply::of(bare).await, path);
    }
    for (path, query) in [
        ("/sdk/ListSession", ("nextToken", "x")),
        ("/sdk/GetLabel", ("sessionId", "x")),
        ("/internet/getLink", ("sessionId", session.id.as_str())),
    ] {
        check(&server.get(path, &[query]).await, path);
    }
    // By the link, with tokens that open nothing, or not this.
    for token in ["", "x", &other.token, &session.token] {
        for body in [json!({}), json!({ "tool": "x" }), json!({ "tool": "shell", "args": [] }), json!({ "scope": "x" })]
        {
            for path in ["callTool", "browserAccess", "none"] {
                let request = server.http.post(format!("{}/{path}", session.link_url)).header("X-Access-Token", token);
                let reply = Reply::of(request.json(&body).send().await.expect("an answer")).await;
                check(&reply, &format!("{path} {body}"));
            }
        }
    }
    // A page from elsewhere, a name that is not ours, no upgrade.
    for (name, value) in [("Origin", "https://example.org"), ("Host", "x\"y")] {
        let request = server.http.post(server.url("/mcp/createSession")).bearer_auth(KEY).header(name, value);
        check(&Reply::of(request.send().await.expect("an answer")).await, name);
    }
    let request = server.http.get(server.url(&format!("/ws/{}", session.id))).header("X-Access-Token", &session.token);
    check(&Reply::of(request.send().await.expect("an answer")).await, "no upgrade");
    for wanted in [
        "InvalidApiKey.Missing",
        "InvalidApiKey.NotFound",
        "InvalidAccessToken.NotFound",
        "InvalidBody.Malformed",
        "InvalidBody.TooLarge",
        "InvalidImage.NotFound",
        "InvalidMcpSession.NotFound",
        "InvalidMethod.NotAllowed",
        "InvalidOrigin.NotAllowed",
        "InvalidParameter.Missing",
        "InvalidParameter.Value",
        "InvalidPath.NotFound",
        "InvalidTool.NotFound",
        "InvalidUpgrade",
        "LimitExceeded.Sessions",
        "NotSupported.Local",
    ] {
        assert!(codes.contains(wanted), "{wanted} did not occur: {codes:?}");
    }

    // The tools' own errors.
    for (tool, args) in [
        ("read_file", json!({ "path": "none" })),
        ("read_file", json!({ "path": "../../../etc/shadow" })),
        ("read_file", json!({ "path": "." })),
        ("read_multiple_files", json!({ "paths": 3 })),
        ("write_file", json!({ "path": "../x", "content": "" })),
        ("write_file", json!({ "path": "none/x/y", "content": "" })),
        ("edit_file", json!({ "path": "none", "edits": [] })),
        ("move_file", json!({ "source": "none", "destination": "x" })),
        ("list_directory", json!({ "path": "/" })),
        ("search_files", json!({ "path": "none", "pattern": "[" })),
        ("get_file_info", json!({ "path": "none" })),
        ("delete_file", json!({ "path": "none" })),
        ("run_code", json!({ "code": "1", "language": "cobol" })),
        ("shell", json!({ "command": 1 })),
    ] {
        let text = server.call(&session, tool, args.clone()).await.unwrap_or_else(|error| error);
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{tool} {args}: {secret:?} is in {text}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn no_answer_is_a_page() {
    let server = TestServer::start().await;
    let session = server.create().await;
    for path in ["/", "/mcp", "/healthz", &format!("/ws/{}", session.id)] {
        let response = server.http.get(server.url(path)).send().await.expect("an answer");
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn those_who_look_after_it_can_see_how_it_is() {
    let server = TestServer::with(|config| config.limits.max_sessions = 1).await;
    for path in ["/healthz", "/readyz"] {
        let response = server.http.get(server.url(path)).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.text().await.expect("a body").len() < 10, "{path} says more than it should");
    }
    let response = server.http.get(server.url("/metrics")).send().await.expect("an answer");
    Reply::of(response).await.is_error(401, "InvalidApiKey.Missing", "Bearer");

    let session = server.create().await;
    server.post("/mcp/createSession", json!({})).await.is_error(429, "LimitExceeded.Sessions", "1 sessions");
    server.run_code(&session, "python", "1").await;
    let mut socket = session.connect().await;
    for code in ["1", "1/0"] {
        socket.start(code, "python", code).await;
        socket.until_end().await;
    }
    let metrics = async || {
        let response = server.http.get(server.url("/metrics")).bearer_auth(KEY).send().await.expect("an answer");
        assert!(response.headers()["content-type"].to_str().expect("text").starts_with("application/openmetrics-text"));
        response.text().await.expect("a body")
    };
    let text = metrics().await;
    for line in [
        "agb_sessions 1",
        "agb_runs 0",
        "agb_kernels{language=\"python\"} 1",
        "agb_kernels{language=\"r\"} 0",
        "agb_kernels_taken_total{language=\"python\",state=\"cold\"} 1",
        "agb_warm_kernels{language=\"python\"} 0",
        "agb_sessions_created_total 1",
        "agb_runs_ended_total{language=\"python\",outcome=\"finished\"} 2",
        "agb_runs_ended_total{language=\"python\",outcome=\"failed\"} 1",
        "agb_run_start_seconds_count{language=\"python\"} 3",
        "agb_run_seconds_count 3",
        "agb_limits_hit_total{limit=\"LimitExceeded.Sessions\"} 1",
        "agb_calls_total{code=\"InvalidApiKey.Missing\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    for secret in [KEY, &session.token, &session.id] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    assert_eq!(server.post("/mcp/releaseSession", json!({ "sessionId": session.id })).await.status, 200);
    let text = metrics().await;
    assert!(
        text.contains("agb_sessions 0\n") && text.contains("agb_sessions_released_total{reason=\"asked\"} 1\n"),
        "{text}"
    );
    drop(socket);
    server.stop().await;
}
