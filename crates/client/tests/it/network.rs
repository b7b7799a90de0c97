//! Forward proxies and certificates, for HTTP calls and WebSockets alike.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agb_client::{Agb, Execution, Options, SessionData};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::encrypted::{certificates_for, serve};

/// A host that exists behind the proxy alone.
const HOST: &str = "service.test";
/// Generous: what hangs would take 20 s and more.
const SECONDS: Duration = Duration::from_secs(15);

/// What a proxy does with each connection.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Leads it to the service, whatever host it wants.
    Through,
    Refuse(u16),
    Cut,
    Hang,
}

struct Proxy {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(manner: Manner, service: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (log, service) = (Arc::clone(&heads), service.to_owned());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(lead(tcp, manner, service.clone(), Arc::clone(&log)));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("not poisoned").clone()
    }
}

async fn lead(mut tcp: TcpStream, manner: Manner, service: String, log: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if !tcp.read_buf(&mut head).await.is_ok_and(|length| length > 0) {
            return;
        }
    }
    log.lock().expect("not poisoned").push(String::from_utf8_lossy(&head).into_owned());
    match manner {
        Manner::Cut => {}
        Manner::Hang => std::future::pending().await,
        Manner::Refuse(status) => {
            let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
            let _ = tcp.write_all(answer.as_bytes()).await;
        }
        Manner::Through => {
            let mut up = TcpStream::connect(service).await.expect("the service is there");
            if head.starts_with(b"CONNECT ") {
                tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("the client waits for it");
            } else {
                up.write_all(&head).await.expect("the service reads it");
            }
            let _ = copy_bidirectional(&mut tcp, &mut up).await;
        }
    }
}

/// A service over TLS with a certificate for this name; gives its address and its authority.
async fn service(name: &str, change: impl FnOnce(&mut rcgen::CertificateParams)) -> (String, String) {
    let (authority, config) = certificates_for(name, change);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let address = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
    (address, authority)
}

fn options(host: &str) -> Options {
    Options::new().api_key("k").endpoint(format!("https://{host}")).environment([("", ""); 0])
}

/// One call and one run over a WebSocket.
async fn call_and_run(options: &Options, host: &str) -> (Result<(), agb_client::Error>, Execution) {
    let agb = Agb::new(options).expect("the settings are fine");
    let mut data = SessionData::default();
    data.ws_url = Some(format!("wss://{host}/"));
    data.token = "t".into();
    let session = agb.session(data);
    let called = agb.tools("i").await.map(|_| ());
    (called, session.code().run("1", "python").stream().expect("it is taken").finish().await)
}

#[tokio::test]
async fn calls_and_websockets_go_through_the_same_proxy() {
    let (address, authority) = service(HOST, |_| {}).await;
    let proxy = Proxy::start(Manner::Through, &address).await;
    let options = options(HOST).ca(authority).proxy(format!("http://us%40er:p%3Ass@{}", proxy.address));
    let (called, run) = call_and_run(&options, HOST).await;
    called.expect("the proxy lets it through");
    assert!(run.success, "{run:?}");
    let heads = proxy.heads();
    assert_eq!(heads.len(), 2, "{heads:?}");
    for head in heads {
        assert!(head.starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\r\n")), "{head}");
        // `us@er:p:ss`, its escapes undone.
        let credentials = "Proxy-Authorization: Basic dXNAZXI6cDpzcw==".to_ascii_lowercase();
        assert!(head.to_ascii_lowercase().contains(&credentials), "{head}");
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_let_through_is_named_at_once() {
    for (manner, words) in [(Manner::Refuse(407), "407"), (Manner::Refuse(403), "403"), (Manner::Cut, "proxy")] {
        let proxy = Proxy::start(manner, "").await;
        let options = options(HOST).proxy(format!("http://user:s3cret@{}", proxy.address));
        let options = options.tune(|config| config.give_up = Duration::from_secs(2));
        let began = Instant::now();
        let (called, run) = call_and_run(&options, HOST).await;
        let error = called.expect_err("nobody is let through");
        assert!(began.elapsed() < SECONDS, "{manner:?} took {:?}", began.elapsed());
        for message in [error.to_string(), run.error_message] {
            assert!(message.contains(words) && message.contains(&proxy.address), "{manner:?}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
        assert_eq!(error.code(), "UNREACHABLE");
    }
}

#[tokio::test]
async fn a_proxy_that_is_silent_or_down_is_named_within_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let down = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    let silent = Proxy::start(Manner::Hang, "").await.address;
    for address in [down, silent] {
        let agb = Agb::new(&options(HOST).proxy(format!("http://{address}"))).expect("the settings are fine");
        let began = Instant::now();
        let error = agb.tools("i").await.expect_err("nobody is let through").to_string();
        assert!(error.contains(&address) && began.elapsed() < SECONDS, "{error} after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn this_machine_is_reached_without_a_proxy() {
    let (address, authority) = service("127.0.0.1", |_| {}).await;
    let options = options(&address).ca(authority).proxy("http://proxy.invalid:1");
    let (called, run) = call_and_run(&options, &address).await;
    called.expect("it goes there directly");
    assert!(run.success, "{run:?}");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_of_once_and_at_once() {
    fn expired(params: &mut rcgen::CertificateParams) {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    }
    fn fine(_: &mut rcgen::CertificateParams) {}
    type Change = fn(&mut rcgen::CertificateParams);
    let cases: [(&str, Change, bool, &str); 3] = [
        ("127.0.0.1", fine, false, "authority"),
        ("127.0.0.1", expired, true, "expired"),
        ("other.test", fine, true, "another name"),
    ];
    for (name, change, trusts, reason) in cases {
        let (address, authority) = service(name, change).await;
        let options = if trusts { options(&address).ca(authority) } else { options(&address) };
        let began = Instant::now();
        let (called, run) = call_and_run(&options, &address).await;
        assert!(began.elapsed() < SECONDS, "{reason} took {:?}", began.elapsed());
        let error = called.expect_err("the certificate is no good").to_string();
        for message in [error, run.error_message] {
            assert!(message.contains("127.0.0.1") && message.contains(reason), "{message}");
        }
        assert_eq!(run.interruptions, 0);
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_told_from_one_that_cannot_be_trusted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let address = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            let _ = tcp.read(&mut [0; 1024]).await; // what is unread would become a reset
        }
    });
    let agb = Agb::new(&options(&address)).expect("the settings are fine");
    let error = agb.tools("i").await.expect_err("it speaks no TLS").to_string();
    assert!(error.contains("write `http://`"), "{error}");
}

#[test]
fn settings_that_cannot_be_used_are_refused_at_once() {
    for options in [options(HOST).proxy("proxy.corp:3128"), options(HOST).proxy("socks5://p:1"), options(HOST).ca("x")]
    {
        assert_eq!(Agb::new(&options).expect_err("it is refused").code(), "BAD_NETWORK");
    }
}
