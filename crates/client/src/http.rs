//! HTTP: the core's operations, sent with reqwest.
//!
//! What to send, how long to wait, whether to send again and how to read the answer is the core's to say.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use agb_core::Secret;
use agb_core::config::BaseUrl;
use agb_core::error::{ApiError, TransportError};
use agb_core::http::{Answered, HttpRequest, HttpResponse, MAX_RESPONSE_BYTES, Method, Operation, retry_after};
use reqwest::header::HeaderValue;
use reqwest::{Client, Url};
use tokio::time::{Instant, timeout_at};

use crate::tls;

/// Clients with their pools of connections, made when they are needed.
#[derive(Debug)]
pub(crate) struct Http {
    /// How long the tries of one call may wait for one another.
    retry_wait: Duration,
    /// To this machine: never through a proxy.
    loopback: OnceLock<Result<Client, String>>,
    plain: OnceLock<Result<Client, String>>,
    secure: OnceLock<Result<Client, String>>,
}

impl Http {
    /// How long making a connection may take: TCP and TLS with two lost packets on a mobile network, as for WebSockets.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Default of [`Options::retry_wait`](crate::Options::retry_wait): a busy service has room again by then, or needs
    /// more than the patience of whoever waits for the call.
    const RETRY_WAIT: Duration = Duration::from_secs(10);

    pub(crate) fn new(retry_wait: Option<Duration>) -> Self {
        let retry_wait = retry_wait.unwrap_or(Self::RETRY_WAIT);
        Self { retry_wait, loopback: OnceLock::new(), plain: OnceLock::new(), secure: OnceLock::new() }
    }

    /// Calls the service. `timeout` is the caller's limit for all tries together.
    pub(crate) async fn call<O: Operation>(
        &self,
        operation: &O,
        base: &BaseUrl,
        key: &Secret,
        timeout: Duration,
    ) -> Result<Answered<O::Output>, ApiError> {
        let request = operation.request();
        let limit = request.time_limit(timeout);
        let deadline = Instant::now().checked_add(limit);
        let (mut tries, mut waited) = (0, Duration::ZERO);
        loop {
            tries += 1;
            let sent = within(deadline, self.send(&request, base, key)).await;
            let response = sent.unwrap_or(Err(TransportError::TimedOut { after: limit }));
            let (answer, asked) = match response {
                Ok((response, asked)) => (operation.answer(&response, key), asked),
                Err(error) => (Err(error.into()), None),
            };
            let error = match answer {
                Ok(answered) => return Ok(answered),
                Err(error) => error,
            };
            tracing::debug!(target: "agb::http", path = path(&request), tries, code = error.code(), "the call failed");
            let Some(delay) = retry_after(request.repeat, &error, tries, asked) else { return Err(error) };
            waited = delay.saturating_add(waited);
            if waited > self.retry_wait || within(deadline, tokio::time::sleep(delay)).await.is_none() {
                return Err(error);
            }
        }
    }

    /// The answer, and how long to wait before the next try if the service says so in seconds.
    async fn send(
        &self,
        request: &HttpRequest,
        base: &BaseUrl,
        key: &Secret,
    ) -> Result<(HttpResponse, Option<Duration>), TransportError> {
        let url = Url::parse(&request.url(base)).map_err(|error| unreachable(format!("its URL is none: {error}")))?;
        let client = self.client(&url).map_err(unreachable)?;
        let host = authority(&url);
        let mut call = match request.method {
            Method::Get => client.get(url),
            Method::Post => client.post(url),
        };
        for (name, value) in request.all_headers(key) {
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| unreachable(format!("the header {name} cannot carry its value")))?;
            value.set_sensitive(true);
            call = call.header(name, value);
        }
        if let Some(body) = &request.body {
            call = call.body(body.clone());
        }
        let failure = |error| failure(&host, &error);
        let started = Instant::now();
        let mut response = call.send().await.map_err(failure)?;
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let request_id = header("x-request-id");
        let asked = header("retry-after").and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
                let reason = format!("the answer is longer than {MAX_RESPONSE_BYTES} bytes");
                return Err(TransportError::Interrupted { reason });
            }
            body.extend_from_slice(&chunk);
        }
        let took = started.elapsed();
        tracing::debug!(target: "agb::http", path = path(request), status, ?took, "answered");
        Ok((HttpResponse::new(status, request_id, body), asked))
    }

    pub(crate) fn client(&self, url: &Url) -> Result<&Client, String> {
        let (cell, loopback) = match (url.scheme(), is_loopback(url)) {
            ("https", _) => (&self.secure, false),
            (_, false) => (&self.plain, false),
            (_, true) => (&self.loopback, true),
        };
        cell.get_or_init(|| make(url.scheme() == "https", loopback)).as_ref().map_err(Clone::clone)
    }
}

fn make(secure: bool, loopback: bool) -> Result<Client, String> {
    let tls = if secure { (*tls::config()?).clone() } else { tls::unused()? };
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(crate::USER_AGENT)
        .connect_timeout(Http::CONNECT_TIMEOUT)
        // A redirect would carry the key to wherever it leads.
        .redirect(reqwest::redirect::Policy::none());
    if loopback {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| format!("the HTTP client cannot be set up: {}", innermost(&error)))
}

/// Host and port: all of a URL that an error may show.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An IPv6 host has brackets here.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

async fn within<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await), // a limit beyond what the clock can hold
    }
}

/// The path for a log line: of an absolute URL nothing but that it is one.
fn path(request: &HttpRequest) -> &str {
    if request.path.starts_with('/') { &request.path } else { "(link)" }
}

fn unreachable(reason: String) -> TransportError {
    TransportError::Unreachable { reason }
}

fn failure(host: &str, error: &reqwest::Error) -> TransportError {
    let reason = format!("{host}: {}", innermost(error));
    if error.is_connect() { unreachable(reason) } else { TransportError::Interrupted { reason } }
}

/// The words of the last cause. Those before it only repeat where it happened, and the first one names the URL.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut last = error.source();
    while let Some(cause) = last.and_then(|cause| cause.source()) {
        last = Some(cause);
    }
    last.map_or_else(|| "the request could not be made".into(), ToString::to_string)
}
