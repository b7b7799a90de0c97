//! The HTTP client with which a server passes calls on to another one of its cluster.
//!
//! Connections are kept and used again. A failure says whether the other server can have seen the call: only then may
//! it have done something.

use std::error::Error as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use thiserror::Error;
use tokio::sync::watch;

use super::live_socket::LiveConnector;

/// Passes requests on to other servers.
pub(crate) struct PeerClient {
    client: Client<HttpsConnector<LiveConnector>, Body>,
    closed: watch::Sender<bool>,
}

/// Why a request has no answer.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The other server has not seen it.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// It may have been executed.
    #[error("the connection broke before the answer: {0}")]
    Interrupted(String),
    /// It may have been executed, or may be yet.
    #[error("no answer: {0}")]
    Silent(String),
}

/// Less than `--read-timeout` by default, after which the other server closes a connection that is not used.
const IDLE: Duration = Duration::from_secs(20);
/// Connections to one server that are kept while nothing uses them: as many as a burst of calls needs, and few enough for
/// the descriptors of a hundred servers.
const KEPT: usize = 32;

impl PeerClient {
    /// A client that trusts what `tls` says, where servers have `https` addresses. A connection that has something to send
    /// may be silent for `silence`: as long as a silent server is waited for before it is declared lost.
    pub(crate) fn new(tls: ClientConfig, connect_time: Duration, silence: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_time));
        tcp.set_keepalive(Some(silence));
        tcp.set_tcp_user_timeout(Some(silence));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT)
            .set_host(false) // the client's own `Host` goes on: addresses in answers are made from it
            .build(connector.wrap_connector(LiveConnector(tcp)));
        Self { client, closed: watch::Sender::new(false) }
    }

    /// Ends what goes on by way of this server: it is about to end.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Comes when [`PeerClient::close`] was called.
    pub(crate) async fn closed(&self) {
        // An error says that the client is gone, which is the same.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Sends a request to the server at `address`, which is what its record says: `http://host:port`.
    pub(crate) async fn send(&self, address: &str, request: Request<Body>) -> Result<Response<Incoming>, NoAnswer> {
        let (mut parts, body) = request.into_parts();
        parts.uri = at(address, parts.uri.path_and_query()).ok_or_else(|| {
            NoAnswer::Unreachable(format!("the address {address:?} in its record is not an http or https URL"))
        })?;
        parts.version = axum::http::Version::HTTP_11;
        self.client.request(Request::from_parts(parts, body)).await.map_err(|error| NoAnswer::of(&error))
    }
}

impl NoAnswer {
    fn of(error: &Error) -> Self {
        let cause = error.source().map_or_else(|| error.to_string(), |cause| cause.to_string());
        if error.is_connect() { Self::Unreachable(cause) } else { Self::Interrupted(cause) }
    }
}

/// The URL of this path at that server.
fn at(address: &str, path: Option<&PathAndQuery>) -> Option<Uri> {
    let base: Uri = address.parse().ok()?;
    let scheme = base.scheme().filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))?.clone();
    let authority: Authority = base.authority()?.clone();
    let path = path.cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_path_is_asked_for_at_the_records_address() {
        let uri = |address| at(address, Some(&PathAndQuery::from_static("/mcp?a=b"))).map(|uri| uri.to_string());
        assert_eq!(uri("http://10.0.0.7:8080").as_deref(), Some("http://10.0.0.7:8080/mcp?a=b"));
        assert_eq!(uri("https://n3.example.org/").as_deref(), Some("https://n3.example.org/mcp?a=b"));
        for bad in ["", "10.0.0.7:8080", "/x", "ftp://h", "etcd://h", "http://"] {
            assert_eq!(uri(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_has_not_seen_the_call() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        let error = client().send(&address, request()).await.expect_err("nobody listens");
        assert!(matches!(error, NoAnswer::Unreachable(_)), "{error}");
    }

    fn client() -> PeerClient {
        let tls = ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        PeerClient::new(tls, Duration::from_secs(2), Duration::from_secs(10))
    }

    /// The runtime has one thread, which waits in the test itself: it cannot have heard of the end.
    #[tokio::test]
    async fn a_kept_connection_that_has_ended_takes_no_call() {
        for farewell in [Farewell::Orderly, Farewell::Reset] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = format!("http://{}", listener.local_addr().expect("an address"));
            let (end, ends) = std::sync::mpsc::channel::<()>();
            let server = std::thread::spawn(move || {
                let (mut socket, _) = listener.accept().expect("a connection");
                let mut head = [0; 1024];
                assert!(socket.read(&mut head).expect("a request") > 0);
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("it is open");
                ends.recv().expect("the test goes on");
                if farewell == Farewell::Reset {
                    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).expect("it is a socket");
                }
            });
            let client = client();
            let answer = client.send(&address, request()).await.expect("an answer");
            drop(answer);
            tokio::task::yield_now().await; // the connection is kept
            end.send(()).expect("the server waits");
            server.join().expect("no panic");
            let error = client.send(&address, request()).await.expect_err("nobody listens any more");
            assert!(matches!(error, NoAnswer::Unreachable(_)), "{farewell:?}: {error}");
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Farewell {
        Orderly,
        Reset,
    }

    fn request() -> Request<Body> {
        Request::post("/mcp/callMcpTool").body(Body::empty()).expect("a request")
    }
}
