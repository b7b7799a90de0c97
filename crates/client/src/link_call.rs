//! Calls of somebody else's to a session's own link, passed on with their bodies as they come: for a gateway.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agb_core::error::{ApiError, TransportError};
use agb_core::http::{Method, Repeat};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Response, Url};

use crate::error::Error;
use crate::http;
use crate::session::Session;

/// A call to a session's link. The session's token is added; nothing else is.
pub struct LinkCall {
    /// How it was asked.
    pub method: Method,
    /// Path and query behind the link, as they came: `/files?path=%2Ftmp%2Fa`.
    pub target: String,
    /// Headers by lower-case names. Those that are not valid make the call fail before anything is sent.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The body, if there is one. It is read as fast as the service takes it; an error in it breaks the call off.
    pub body: Option<BoxStream<'static, Result<Bytes, std::io::Error>>>,
    /// How long nothing may move in either direction.
    pub quiet: Duration,
}

/// The answer to a [`LinkCall`].
pub struct LinkAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers as they came. A name may come more than once.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body as it comes. After an error nothing follows.
    pub body: BoxStream<'static, Result<Bytes, Error>>,
}

impl Session {
    /// Passes a call on to the session's link. Every answer is an answer, whatever its status.
    ///
    /// # Errors
    /// What the network says, and [`Error::NotSupported`] for a session whose service gave it no link.
    pub async fn forward_to_link(&self, call: LinkCall) -> Result<LinkAnswer, Error> {
        let LinkCall { method, target, headers, body, quiet } = call;
        let data = self.data();
        let no_link = Error::NotSupported("the service gave this session no link of its own");
        let link = data.link_url.as_deref().filter(|link| !link.is_empty()).ok_or(no_link)?;
        let own = &self.api().http;
        let url = format!("{link}{target}");
        let url = Url::parse(&url).map_err(|error| unreachable(format!("the session's link is not a URL: {error}")))?;
        // Whether a second execution does harm is for the caller to know; here it is never sent twice.
        let client = own.client(&url, Repeat::Unsafe).map_err(unreachable)?;
        let mut request = http::call_to(client, method, &url).headers(read_headers(headers)?);
        let no_header = || unreachable("the header X-Access-Token cannot carry the session's token".to_owned());
        request = request.header("x-access-token", http::sensitive(&data.token).ok_or_else(no_header)?);
        let moved = Arc::new(AtomicU64::new(0));
        if let Some(body) = body {
            let moved = Arc::clone(&moved);
            request = request.body(Body::wrap_stream(body.inspect_ok(move |_| {
                moved.fetch_add(1, Ordering::Relaxed);
            })));
        }
        let response = match while_moving(quiet, &moved, request.send()).await? {
            Ok(response) => response,
            Err(error) => return Err(failed(own.failure(&url, &error).await)),
        };
        if let Some(error) = own.refused_by_proxy(&url, &response) {
            return Err(failed(error));
        }
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let (status, headers) = (response.status().as_u16(), headers.collect());
        Ok(LinkAnswer { status, headers, body: body_of(response, quiet).boxed() })
    }
}

/// The body of an answer, piece by piece.
fn body_of(response: Response, quiet: Duration) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    stream::unfold(Some(response), move |response| async move {
        let mut response = response?;
        let piece = match tokio::time::timeout(quiet, response.chunk()).await {
            Ok(Ok(Some(piece))) => return Some((Ok(piece), Some(response))),
            Ok(Ok(None)) => return None,
            Ok(Err(error)) => TransportError::Interrupted { reason: http::innermost(&error) },
            Err(_) => nothing_moved(quiet),
        };
        Some((Err(failed(piece)), None))
    })
}

/// What comes before nothing has moved for so long.
async fn while_moving<T>(quiet: Duration, moved: &AtomicU64, work: impl Future<Output = T>) -> Result<T, Error> {
    let mut work = std::pin::pin!(work);
    let mut before = moved.load(Ordering::Relaxed);
    loop {
        if let Ok(done) = tokio::time::timeout(quiet, work.as_mut()).await {
            return Ok(done);
        }
        let now = moved.load(Ordering::Relaxed);
        if std::mem::replace(&mut before, now) == now {
            return Err(failed(nothing_moved(quiet)));
        }
    }
}

fn read_headers(headers: Vec<(&'static str, Vec<u8>)>) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(&value)
            .map_err(|_| unreachable(format!("the header {name} cannot carry its value")))?;
        map.append(HeaderName::from_static(name), value);
    }
    Ok(map)
}

fn nothing_moved(quiet: Duration) -> TransportError {
    TransportError::Interrupted { reason: format!("nothing moved for {} s", quiet.as_secs_f64()) }
}

fn unreachable(reason: String) -> Error {
    failed(http::unreachable(reason))
}

fn failed(error: TransportError) -> Error {
    ApiError::from(error).into()
}

impl fmt::Debug for LinkCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default(); // a query may hold anything
        f.debug_struct("LinkCall").field("method", &self.method).field("path", &path).finish_non_exhaustive()
    }
}

impl fmt::Debug for LinkAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}
