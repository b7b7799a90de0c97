//! Carries out the core's [transfers](agb_core::operations::files::Transfer): parts of files as plain bytes.

use std::future::Future;

use agb_core::Secret;
use agb_core::by_name::transfer_by_name;
use agb_core::config::BaseUrl;
use agb_core::error::TransportError;
use agb_core::http::{Answered, HttpRequest, HttpResponse, MAX_RESPONSE_BYTES, Method};
use agb_core::operations::Toolbox;
use agb_core::operations::files::{Exchange, Part, Transfer, TransferStep};
use bytes::Bytes;
use reqwest::{Response, Url};

use crate::error::Error;
use crate::http::{self, Http};
use crate::random;
use crate::received::{PartSink, Received};
use crate::session::Session;

impl Session {
    /// Carries out a transfer. `bytes` are those to write; what comes back are those that were read.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn transfer(
        &self,
        transfer: Box<dyn Transfer>,
        bytes: Bytes,
    ) -> Result<(Answered<Part>, Received), Error> {
        let mut kept = Received::default();
        let part = self.transfer_into(transfer, bytes, &mut kept).await?;
        Ok((part, kept))
    }

    /// The same; what comes back goes into `kept` as it comes.
    ///
    /// # Errors
    /// As [`transfer`](Self::transfer).
    pub async fn transfer_into(
        &self,
        mut transfer: Box<dyn Transfer>,
        bytes: Bytes,
        kept: &mut impl PartSink,
    ) -> Result<Answered<Part>, Error> {
        let mut last = None;
        loop {
            match transfer.next(last.take()) {
                TransferStep::Send { request, body, most } => {
                    let body = body.map(|range| bytes.slice(range));
                    last = Some(self.api().http.exchange(&request, body, most, kept).await);
                }
                TransferStep::Forget(time) => {
                    kept.clear();
                    tokio::time::sleep(time).await;
                }
                TransferStep::Wait(time) => tokio::time::sleep(time).await,
                TransferStep::Done(outcome) => return Ok(outcome?),
            }
        }
    }

    /// Carries out the transfer of a name, with JSON arguments; see [`transfer_by_name`]. For bindings of other languages.
    ///
    /// # Errors
    /// [`Error::Arguments`], and those of [`transfer`](Self::transfer).
    pub async fn transfer_by_name(
        &self,
        name: &str,
        arguments: &str,
        bytes: Bytes,
        kept: &mut impl PartSink,
    ) -> Result<Answered<Part>, Error> {
        let id = random::id();
        let toolbox = Toolbox { session: self.data(), is_guest: self.api().is_guest(), id: &id };
        let transfer = transfer_by_name(name, arguments, bytes.len() as u64, &toolbox)?;
        self.transfer_into(transfer, bytes, kept).await
    }
}

impl Http {
    /// One exchange of a transfer. Bytes of the part are appended to `kept`, also where the exchange breaks.
    async fn exchange(
        &self,
        request: &HttpRequest,
        body: Option<Bytes>,
        most: Option<u64>,
        kept: &mut impl PartSink,
    ) -> Exchange {
        let mut exchange = Exchange::default();
        if let Err(error) = self.try_exchange(request, body, most, kept, &mut exchange).await {
            tracing::debug!(target: "agb::http", code = error.code(), "a part of a file is cut");
            exchange.broken = Some(error);
        }
        exchange
    }

    async fn try_exchange(
        &self,
        request: &HttpRequest,
        body: Option<Bytes>,
        most: Option<u64>,
        kept: &mut impl PartSink,
        exchange: &mut Exchange,
    ) -> Result<(), TransportError> {
        let not_a_url = |error: String| http::unreachable(format!("the session's link is not a URL: {error}"));
        let base = BaseUrl::parse(&request.path).map_err(|error| not_a_url(error.to_string()))?;
        let url = Url::parse(&request.url(&base)).map_err(|error| not_a_url(error.to_string()))?;
        let client = self.client(&url, request.repeat).map_err(http::unreachable)?;
        let mut call = http::begin(client, request, &url, &Secret::default())?;
        if request.method == Method::Put {
            call = call.body(body.unwrap_or_default());
        }
        let mut response = match moving(request, call.send()).await? {
            Ok(response) => response,
            Err(error) => return Err(self.failure(&url, &error).await),
        };
        if let Some(error) = self.refused_by_proxy(&url, &response) {
            return Err(error);
        }
        let status = response.status().as_u16();
        (exchange.etag, exchange.content_range) = (header(&response, "etag"), header(&response, "content-range"));
        let head = HttpResponse::new(status, header(&response, "x-request-id"), Vec::new())
            .with_retry_after(header(&response, "retry-after").as_deref());
        let most = most.filter(|_| matches!(status, 200 | 206));
        exchange.response = Some(head.clone());
        let mut text = Vec::new();
        loop {
            let mut chunk = match moving(request, response.chunk()).await? {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => return Err(self.failure(&url, &error).await),
            };
            match most {
                Some(most) => {
                    let room = usize::try_from(most - exchange.received).unwrap_or(usize::MAX);
                    let fits = chunk.split_to(chunk.len().min(room));
                    let count = fits.len() as u64;
                    kept.push(fits).map_err(|reason| TransportError::Interrupted { reason: reason.into() })?;
                    exchange.received += count; // no byte that is not kept
                    if !chunk.is_empty() {
                        return Err(TransportError::Interrupted { reason: "more came than was asked for".into() });
                    }
                }
                None if text.len() + chunk.len() > MAX_RESPONSE_BYTES => {
                    let reason = format!("the answer is longer than {MAX_RESPONSE_BYTES} bytes");
                    return Err(TransportError::Interrupted { reason });
                }
                None => text.extend_from_slice(&chunk),
            }
        }
        if most.is_none() {
            let text = String::from_utf8_lossy(&text).into_owned();
            exchange.response = Some(HttpResponse { body: text, ..head });
        }
        Ok(())
    }
}

/// What comes before the exchange counts as broken.
async fn moving<T>(request: &HttpRequest, future: impl Future<Output = T>) -> Result<T, TransportError> {
    let quiet = request.expected;
    let reason = || TransportError::Interrupted { reason: format!("nothing moved for {} s", quiet.as_secs()) };
    tokio::time::timeout(quiet, future).await.map_err(|_| reason())
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
