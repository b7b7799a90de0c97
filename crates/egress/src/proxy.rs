//! The egress proxy of one sandbox: the HTTP proxy that its programs use to reach allowed domains.
//!
//! ```text
//! EgressProxy ── accept loop (EgressProxy::serve) ── a connection (a task each, all end with the loop)
//! ```

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri, client};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::allow::Allow;
use crate::name::Name;
use crate::outside::{DialError, Outside};
use crate::patient::Patient;
use crate::tunnel;

/// What is too much and too long for one sandbox's way out.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once; more wait. Package managers use 10 to 50.
    pub connections: usize,
    /// Names that are resolved at once; more wait. A resolver that answers takes milliseconds for each.
    pub lookups: usize,
    /// Time for a request's head. It comes from this machine.
    pub head: Duration,
    /// Time to resolve a name, and to connect to each of its addresses.
    pub connect: Duration,
    /// A connection over which nothing goes for so long is closed, and one whose program reads nothing for so long of what
    /// has come for it. Downloads stall for seconds, not for minutes.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            lookups: 8,
            head: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(120),
        }
    }
}

/// A sandbox's way out.
pub struct EgressProxy {
    /// For the log: whose sandbox it is.
    owner: String,
    allow: Allow,
    outside: Outside,
    lookups: Arc<Semaphore>,
    limits: Limits,
    refused: Mutex<VecDeque<String>>,
}

/// As many refused places are remembered; the first are the ones that matter.
const MOST_REFUSED: usize = 8;

type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

impl EgressProxy {
    /// A way out to what `allow` names.
    #[must_use]
    pub fn new(owner: impl Into<String>, allow: Allow, outside: Outside, limits: Limits) -> Arc<Self> {
        let lookups = Arc::new(Semaphore::new(limits.lookups.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Self { owner: owner.into(), allow, outside, lookups, limits, refused: Mutex::default() })
    }

    /// What was refused since the last call: a rule for each place that would allow it, the first few, none twice.
    pub fn refusals(&self) -> Vec<String> {
        self.refused().drain(..).collect()
    }

    /// Serves the sandbox. Never ends by itself; when it is dropped, its connections are closed.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let mut connections = JoinSet::new();
        loop {
            let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((socket, _)) => {
                    let proxy = Arc::clone(&self);
                    // Where there is none, this sandbox's next connection waits, and takes no descriptor.
                    let place = self.outside.place().await;
                    connections.spawn(async move {
                        proxy.serve_one(socket).await;
                        drop((permit, place));
                    });
                }
                // Descriptors have run out, or the program has hung up: neither is cured by trying at once.
                Err(error) => {
                    tracing::warn!(owner = self.owner, %error, "a connection out of a sandbox could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }

    /// Serves one connection of a program.
    pub async fn serve_one(self: Arc<Self>, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (tunnels, mut opened) = tokio::sync::mpsc::channel(1);
        let is_tunnel = Arc::new(AtomicBool::new(false));
        let socket = Patient::new(socket, self.limits.idle, Arc::clone(&is_tunnel));
        let proxy = Arc::clone(&self);
        let service = service_fn(move |request| {
            let (proxy, tunnels) = (Arc::clone(&proxy), tunnels.clone());
            async move { Ok::<_, Infallible>(proxy.answer(request, tunnels).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades();
        if let Err(error) = connection.await {
            tracing::debug!(owner = self.owner, %error, "a connection out of a sandbox broke");
        }
        // After CONNECT the connection is the tunnel's, and ends with it.
        if let Ok(Tunnel { upgrade, outside }) = opened.try_recv()
            && let Ok(inside) = upgrade.await
        {
            is_tunnel.store(true, Ordering::Relaxed); // in which one direction may wait while the other goes on
            let _ = tunnel::join(TokioIo::new(inside), outside, self.limits.idle).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>, tunnels: tokio::sync::mpsc::Sender<Tunnel>) -> Response<Body> {
        let result = if request.method() == Method::CONNECT {
            self.connect(request, tunnels).await
        } else {
            self.forward(request).await
        };
        result.unwrap_or_else(|refusal| {
            tracing::info!(owner = self.owner, reason = %refusal, "a sandbox's request was refused");
            refusal.into_response()
        })
    }

    /// Opens a tunnel.
    async fn connect(
        &self,
        mut request: Request<Incoming>,
        tunnels: tokio::sync::mpsc::Sender<Tunnel>,
    ) -> Result<Response<Body>, Refusal> {
        let (name, port) = target(request.uri(), None)?;
        let outside = self.dial(&name, port).await?;
        let upgrade = hyper::upgrade::on(&mut request);
        // There is one a connection: nothing is read as HTTP after it.
        let _ = tunnels.try_send(Tunnel { upgrade, outside });
        Ok(Response::new(nothing()))
    }

    /// Sends a request on, over a connection of its own.
    async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        if request.uri().scheme_str() != Some("http") {
            return Err(Refusal::NotAProxyRequest);
        }
        let (name, port) = target(request.uri(), Some(80))?;
        let socket = self.dial(&name, port).await?;
        let lost = |problem: String| Refusal::Dial(DialError::Unreachable { name: name.clone(), problem });
        let (mut sender, connection) =
            client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|error| lost(error.to_string()))?;
        // The Host that is sent is the one that was allowed.
        let host = if port == 80 { name.to_string() } else { format!("{name}:{port}") };
        let host = HeaderValue::from_str(&host).map_err(|error| lost(error.to_string()))?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse::<Uri>().map_err(|error| lost(error.to_string()))?;
        remove_hop_by_hop(request.headers_mut());
        request.headers_mut().insert(header::HOST, host);
        let idle = self.limits.idle;
        let answered = sender.send_request(request);
        // The connection is driven here until the head is there, and by the body's reader from then on.
        let driver = tokio::spawn(async move { drop(connection.await) });
        let abort = AbortOnDrop(driver.abort_handle());
        let response = tokio::time::timeout(idle, answered)
            .await
            .map_err(|_| lost(format!("no answer within {} s", idle.as_secs_f64())))?
            .map_err(|error| lost(error.to_string()))?;
        let (mut head, body) = response.into_parts();
        remove_hop_by_hop(&mut head.headers);
        // The connection lives as long as its body is read, and the body as long as something comes of it.
        let frames = stream::try_unfold((body, abort), move |(mut body, abort)| async move {
            let next = tokio::time::timeout(idle, body.frame()).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(next.transpose()?.map(|frame| (frame, (body, abort))))
        });
        Ok(Response::from_parts(head, BodyExt::boxed(StreamBody::new(frames))))
    }

    async fn dial(&self, name: &Name, port: u16) -> Result<tokio::net::TcpStream, Refusal> {
        if !self.allow.permits(name, port) {
            let rule = Allow::rule_for(name, port);
            let mut refused = self.refused();
            if refused.len() < MOST_REFUSED && !refused.contains(&rule) {
                refused.push_back(rule.clone());
            }
            return Err(Refusal::NotAllowed { rule });
        }
        Ok(self.outside.connect(name, port, self.limits.connect, &self.lookups).await?)
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Tunnel {
    upgrade: hyper::upgrade::OnUpgrade,
    outside: tokio::net::TcpStream,
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a request does not get out.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the server allows no connection to {rule}: start it with --network allow={rule}")]
    NotAllowed { rule: String },
    #[error("{0}")]
    BadTarget(String),
    #[error("this is a proxy for http and, by CONNECT, for everything else: send the whole URL")]
    NotAProxyRequest,
    #[error(transparent)]
    Dial(#[from] DialError),
}

impl Refusal {
    fn into_response(self) -> Response<Body> {
        let status = match &self {
            Self::NotAllowed { .. } | Self::Dial(DialError::NotPublic(_)) => StatusCode::FORBIDDEN,
            Self::BadTarget(_) | Self::NotAProxyRequest => StatusCode::BAD_REQUEST,
            Self::Dial(_) => StatusCode::BAD_GATEWAY,
        };
        let message = self.to_string();
        let mut response = Response::new(text(format!("{message}\n")));
        *response.status_mut() = status;
        // Clients that asked for a tunnel show nothing but this.
        if let Ok(reason) = ReasonPhrase::try_from(message.into_bytes()) {
            response.extensions_mut().insert(reason);
        }
        // What a client says after a CONNECT that was refused is not for us.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

/// Where a request wants to go.
fn target(uri: &Uri, default_port: Option<u16>) -> Result<(Name, u16), Refusal> {
    let shown = || uri.authority().map_or("", |authority| authority.as_str()).chars().take(100).collect::<String>();
    let bad = |problem: &str| Refusal::BadTarget(format!("{:?} is not a place to connect to: {problem}", shown()));
    let authority = uri.authority().ok_or(Refusal::NotAProxyRequest)?;
    if authority.as_str().contains('@') {
        return Err(bad("it has a user name"));
    }
    let name = Name::parse(authority.host()).map_err(|error| bad(&error.to_string()))?;
    let rest = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let port = match (rest.strip_prefix(':'), default_port) {
        (Some(port), _) => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| bad("it has no valid port"))?,
        (None, Some(port)) => port,
        (None, None) => return Err(bad("it has no port")),
    };
    Ok((name, port))
}

/// Removes what is between two neighbours only (RFC 9110, section 7.6.1), and what names the proxy's own user. Hyper writes
/// those of its own connections.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let known = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    for name in named.iter().map(HeaderName::as_str).chain(known) {
        headers.remove(name);
    }
}

fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn text(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}
