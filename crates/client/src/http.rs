//! HTTP: the core's operations, sent with reqwest.
//!
//! What to send, how long to wait, whether to send again and how to read the answer is the core's to say.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agb_core::config::BaseUrl;
use agb_core::error::{ApiError, TransportError};
use agb_core::http::{Answered, CallStep, HttpCall, HttpRequest, HttpResponse, Method, Operation, Repeat};
use agb_core::{DisconnectReason, Secret};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url};

use crate::answer::{Collected, Room};
use crate::clock::Clock;
use crate::drive::apart;
use crate::network::Network;
use crate::proxy::{Proxy, is_loopback};
use crate::tls;
use crate::wire::LOCALHOST;

/// Clients with their pools of connections, made when they are needed.
#[derive(Debug)]
pub(crate) struct Http {
    /// How long the tries of one call may wait for one another.
    retry_wait: Duration,
    pub(crate) network: Arc<Network>,
    /// By [`Pool`], and within by what may happen twice.
    clients: [[OnceLock<Result<Client, String>>; 2]; 4],
}

impl Http {
    /// How long making a connection may take: TCP and TLS with two lost packets on a mobile network, as for WebSockets.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// How long an idle connection is kept for the next call. Default 10 s: below the 30 s after which our server closes
    /// it, and the 60 s of usual proxies.
    const SAFE_IDLE: Duration = Duration::from_secs(10);
    /// The same for calls that must not be repeated: one that meets a connection which the other side is closing has an
    /// unknown outcome. Default 1 s: below what any server or proxy is set to, and enough for calls in a row.
    const UNSAFE_IDLE: Duration = Duration::from_secs(1);

    pub(crate) fn new(retry_wait: Option<Duration>, network: Arc<Network>) -> Self {
        let retry_wait = retry_wait.unwrap_or(HttpCall::<()>::RETRY_WAIT);
        Self { retry_wait, network, clients: Default::default() }
    }

    /// Calls the service. `timeout` is the caller's limit for all tries together.
    pub(crate) async fn call<O: Operation>(
        &self,
        operation: &O,
        base: &BaseUrl,
        key: &Secret,
        timeout: Duration,
        room: Room<'_>,
    ) -> Result<Answered<O::Output>, ApiError> {
        let request = operation.request();
        let clock = Clock::start();
        let mut call = HttpCall::new(&request, timeout, self.retry_wait, clock.now());
        loop {
            match call.next(clock.now()) {
                CallStep::Send { until } => {
                    let sent = clock.within(until, self.send(&request, base, key, room)).await;
                    let came = sent.map(|sent| match sent {
                        Ok(response) => {
                            let retry_after = response.retry_after;
                            (operation.take(response, key), retry_after)
                        }
                        Err(error) => (Err(error.into()), None),
                    });
                    if let Some((Err(error), _)) = &came {
                        tracing::debug!(target: "agb::http", path = path(&request), code = error.code(), "the call failed");
                    }
                    call.handle(clock.now(), came);
                }
                CallStep::WaitUntil(at) => clock.wait_until(at).await,
                CallStep::Done(outcome) => return outcome,
            }
        }
    }

    async fn send(
        &self,
        request: &HttpRequest,
        base: &BaseUrl,
        key: &Secret,
        room: Room<'_>,
    ) -> Result<HttpResponse, TransportError> {
        let url = Url::parse(&request.url(base)).map_err(|error| unreachable(format!("its URL is none: {error}")))?;
        let client = self.client(&url, request.repeat).map_err(unreachable)?;
        let mut call = begin(client, request, &url, key)?;
        if let Some(body) = &request.body {
            call = call.body(body.clone());
        }
        let started = Clock::start();
        let mut response = match call.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.failure(&url, &error).await),
        };
        let status = response.status().as_u16();
        if let Some(error) = self.refused_by_proxy(&url, &response) {
            return Err(error);
        }
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let request_id = header("x-request-id");
        let retry_after = header("retry-after");
        let mut body = Collected::new(response.content_length(), room);
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.push(&chunk).map_err(|reason| TransportError::Interrupted { reason })?,
                Ok(None) => break,
                Err(error) => return Err(self.failure(&url, &error).await),
            }
        }
        let body = body.whole().map_err(|reason| TransportError::Interrupted { reason })?;
        let took = started.now().elapsed();
        tracing::debug!(target: "agb::http", path = path(request), status, ?took, "answered");
        let response = apart(body.len(), || HttpResponse::new(status, request_id, body));
        Ok(response.with_retry_after(retry_after.as_deref()))
    }

    /// The client for this URL, with a pool of its own for calls that must not be repeated.
    pub(crate) fn client(&self, url: &Url, repeat: Repeat) -> Result<&Client, String> {
        let pool = match (url.scheme() == "https", is_loopback(url)) {
            (false, false) => Pool::Plain,
            (false, true) => Pool::PlainLoopback,
            (true, false) => Pool::Secure,
            (true, true) => Pool::SecureLoopback,
        };
        let cell = &self.clients[pool as usize][usize::from(repeat == Repeat::Unsafe)];
        cell.get_or_init(|| self.make(url, pool, repeat)).as_ref().map_err(Clone::clone)
    }

    /// Without a tunnel a proxy answers in the service's place.
    pub(crate) fn refused_by_proxy(&self, url: &Url, response: &Response) -> Option<TransportError> {
        let status = response.status().as_u16();
        let proxy = self.network.proxies.to(url).filter(|_| url.scheme() == "http")?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_ours = content_type.is_some_and(|value| value.starts_with("application/json"));
        if status != 407 && (is_ours || status != 403) {
            return None;
        }
        Some(match proxy.refused(status, &authority(url)) {
            DisconnectReason::ProxyRefused(reason) => TransportError::ProxyRefused { reason },
            reason => unreachable(reason.to_string()),
        })
    }

    /// What a failure without an answer means. Where a proxy's tunnel failed, it is asked once more for its own words,
    /// which reqwest does not keep.
    pub(crate) async fn failure(&self, url: &Url, error: &reqwest::Error) -> TransportError {
        let host = authority(url);
        if let Some(problem) = tls::problem(error) {
            return TransportError::Untrusted { reason: format!("{host}: {problem}") };
        }
        if tls::is_plain(error) {
            return unreachable(format!("{host}: {}", tls::NOT_TLS));
        }
        let reason = format!("{host}: {}", innermost(error));
        let Some(proxy) = self.network.proxies.to(url).filter(|_| error.is_connect()) else {
            return if error.is_connect() { unreachable(reason) } else { TransportError::Interrupted { reason } };
        };
        if url.scheme() == "https" && !error.is_timeout() {
            let (name, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
            match proxy.tunnel(name, port, &self.network.trust).await {
                Err(DisconnectReason::ProxyRefused(reason)) => return TransportError::ProxyRefused { reason },
                Err(reason) => return unreachable(reason.to_string()),
                Ok(_) => {}
            }
        }
        unreachable(format!("{reason}, through {}", proxy.name()))
    }

    fn make(&self, url: &Url, pool: Pool, repeat: Repeat) -> Result<Client, String> {
        let tls = match pool {
            Pool::Secure | Pool::SecureLoopback => (*self.network.trust.config()?).clone(),
            Pool::Plain | Pool::PlainLoopback => tls::unused()?,
        };
        let failed = |error: reqwest::Error| format!("the HTTP client cannot be set up: {}", innermost(&error));
        let connect = if self.network.proxies.to(url).is_some() { Proxy::TIMEOUT } else { Self::CONNECT_TIMEOUT };
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(crate::USER_AGENT)
            .connect_timeout(connect)
            .pool_idle_timeout(if repeat == Repeat::Unsafe { Self::UNSAFE_IDLE } else { Self::SAFE_IDLE })
            // A redirect would carry the key to wherever it leads.
            .redirect(reqwest::redirect::Policy::none());
        builder = match pool {
            Pool::PlainLoopback | Pool::SecureLoopback => builder.no_proxy().resolve_to_addrs("localhost", &LOCALHOST),
            Pool::Plain | Pool::Secure => self.network.proxies.apply(builder).map_err(failed)?,
        };
        builder.build().map_err(failed)
    }
}

/// A call with its head.
pub(crate) fn begin(
    client: &Client,
    request: &HttpRequest,
    url: &Url,
    key: &Secret,
) -> Result<RequestBuilder, TransportError> {
    let mut call = call_to(client, request.method, url);
    for (name, value) in request.all_headers(key) {
        let value =
            sensitive(&value).ok_or_else(|| unreachable(format!("the header {name} cannot carry its value")))?;
        call = call.header(name, value);
    }
    Ok(call)
}

pub(crate) fn call_to(client: &Client, method: Method, url: &Url) -> RequestBuilder {
    match method {
        Method::Get => client.get(url.clone()),
        Method::Post => client.post(url.clone()),
        Method::Put => client.put(url.clone()),
        Method::Delete => client.delete(url.clone()),
    }
}

/// The value of a header that no log shows; `None` where no header can carry it.
pub(crate) fn sensitive(value: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Which connections a call may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pool {
    Plain,
    /// To this machine: never through a proxy.
    PlainLoopback,
    Secure,
    SecureLoopback,
}

/// Host and port: all of a URL that an error may show.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The path for a log line: of an absolute URL nothing but that it is one.
fn path(request: &HttpRequest) -> &str {
    if request.path.starts_with('/') { &request.path } else { "(link)" }
}

pub(crate) fn unreachable(reason: String) -> TransportError {
    TransportError::Unreachable { reason }
}

/// The words of the last cause. Those before it only repeat where it happened, and the first one names the URL.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut last = error.source();
    while let Some(cause) = last.and_then(|cause| cause.source()) {
        last = Some(cause);
    }
    last.map_or_else(|| "the request could not be made".into(), ToString::to_string)
}
