//! Carries out the core's transfers: parts of files as bytes, which stay the browser's own.

use agb_core::Secret;
use agb_core::config::BaseUrl;
use agb_core::error::TransportError;
use agb_core::http::{HttpRequest, HttpResponse, Method};
use agb_core::operations::files::{Exchange, Transfer, TransferStep};
use js_sys::{Array, Promise, Uint8Array};
use serde_json::Value;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::service::answer;
use crate::service::host;
use crate::service::http::pause;

/// Resolves to `Answer<Transferred>`.
pub(crate) fn carry(mut transfer: Box<dyn Transfer>, bytes: Option<Uint8Array>) -> Promise {
    future_to_promise(async move {
        let (mut last, parts) = (None, Array::new());
        loop {
            match transfer.next(last.take()) {
                TransferStep::Send { request, body, most } => {
                    // A part has some MiB, and its bounds fit.
                    let body = body.zip(bytes.as_ref());
                    let body = body.map(|(range, bytes)| bytes.subarray(range.start as u32, range.end as u32));
                    last = Some(exchange(&request, body, most, &parts).await);
                }
                TransferStep::Forget(time) => {
                    parts.set_length(0);
                    pause(time).await;
                }
                TransferStep::Wait(time) => pause(time).await,
                TransferStep::Done(outcome) => {
                    let transferred = |part| host::transferred(&Value::from(part).to_string(), &parts);
                    return Ok(answer::answer(outcome.map(|answered| answered.map(transferred))));
                }
            }
        }
    })
}

async fn exchange(request: &HttpRequest, body: Option<Uint8Array>, most: Option<u64>, parts: &Array) -> Exchange {
    let interrupted = |reason: String| TransportError::Interrupted { reason };
    let broken = |reason: String| Exchange { broken: Some(interrupted(reason)), ..Exchange::default() };
    let Ok(base) = BaseUrl::parse(&request.path) else { return broken("the session's link is not a URL".to_owned()) };
    let headers = request.all_headers(&Secret::default());
    let headers = headers.iter().flat_map(|(name, value)| [(*name).to_owned(), value.expose().to_owned()]);
    let carried = host::exchange_bytes(
        request.method.as_str(),
        &request.url(&base),
        headers.collect(),
        body.filter(|_| request.method == Method::Put),
        request.expected.as_secs_f64() * 1e3,
        most.map(|most| most as f64),
        parts,
    );
    let Ok(carried) = JsFuture::from(carried).await else { return broken("the page has no fetch".to_owned()) };
    let carried: host::Carried = carried.unchecked_into();
    let response = carried.status().map(|status| {
        let response =
            HttpResponse { status, request_id_header: carried.request_id(), body: carried.body(), retry_after: None };
        response.with_retry_after(carried.retry_after().as_deref())
    });
    Exchange {
        response,
        etag: carried.etag(),
        content_range: carried.content_range(),
        received: carried.received() as u64,
        broken: carried.broken().map(interrupted),
    }
}
