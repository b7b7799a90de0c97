//! The core's HTTP operations over the page's `fetch`. What to send, how long to wait and whether to send again is the
//! core's to say.

use std::rc::Rc;
use std::time::Duration;

use agb_core::config::{BaseUrl, DEFAULT_TIMEOUT, Endpoint};
use agb_core::error::{ApiError, TransportError};
use agb_core::http::{Answered, CallStep, HttpCall, HttpRequest, HttpResponse, MAX_RESPONSE_BYTES, Operation};
use agb_core::operations::{DeleteSession, DeleteStep, SessionStatus};
use agb_core::{Instant, Secret};
use js_sys::Promise;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use super::answer;
use super::host;
use crate::logger;
use crate::timer::now;

/// Where the service is, and who asks.
pub(crate) struct Http {
    pub(crate) base: BaseUrl,
    pub(crate) key: Secret,
    pub(crate) timeout: Duration,
}

/// Reads one operation's answer into JavaScript. Boxed, so that all operations share one future.
type Reader = Box<dyn Fn(&HttpResponse, &Secret) -> Result<Answered<JsValue>, ApiError>>;

impl Http {
    /// For calls to a session's own link, which carry its token.
    pub(crate) fn without_key() -> Self {
        let base = Endpoint::default().base_url().cloned().expect("the default is a remote service");
        Self { base, key: Secret::default(), timeout: DEFAULT_TIMEOUT }
    }

    /// Calls the service; resolves to an `Answer` and never rejects.
    pub(crate) fn promise<O: Operation + 'static>(
        self: &Rc<Self>,
        operation: O,
        convert: impl Fn(O::Output) -> JsValue + 'static,
    ) -> Promise {
        self.promise_with(operation.request(), reader(operation, convert), answer::answer)
    }

    /// The same, with the outcome as something other than an `Answer`.
    pub(crate) fn promise_with(
        self: &Rc<Self>,
        request: HttpRequest,
        read: Reader,
        finish: impl FnOnce(Result<Answered<JsValue>, ApiError>) -> JsValue + 'static,
    ) -> Promise {
        let http = Rc::clone(self);
        future_to_promise(async move { Ok(finish(http.call(&request, &read).await)) })
    }

    pub(crate) async fn call(&self, request: &HttpRequest, read: &Reader) -> Result<Answered<JsValue>, ApiError> {
        let mut call = HttpCall::new(request, self.timeout, HttpCall::<JsValue>::RETRY_WAIT, now());
        loop {
            match call.next(now()) {
                CallStep::Send { until } => {
                    let came = match self.send(request, until).await {
                        Some(Ok(response)) => Some((read(&response, &self.key), response.retry_after)),
                        Some(Err(error)) => Some((Err(error.into()), None)),
                        None => None,
                    };
                    if let Some((Err(error), _)) = &came {
                        logger::debug("agb::http", || format!("the call failed: {}", error.code()));
                    }
                    call.handle(now(), came);
                }
                CallStep::WaitUntil(at) => pause(at - now()).await,
                CallStep::Done(outcome) => return outcome,
            }
        }
    }

    /// What came by this moment.
    async fn send(&self, request: &HttpRequest, until: Instant) -> Option<Result<HttpResponse, TransportError>> {
        let headers = request.all_headers(&self.key);
        let headers = headers.iter().flat_map(|(name, value)| [(*name).to_owned(), value.expose().to_owned()]);
        let exchanged = host::exchange(
            request.method.as_str(),
            &request.url(&self.base),
            headers.collect(),
            request.body.clone(),
            (until - now()).as_millis() as f64,
            MAX_RESPONSE_BYTES as f64,
        );
        let exchanged: host::Exchanged = match JsFuture::from(exchanged).await {
            Ok(exchanged) => exchanged.unchecked_into(),
            Err(_) => return Some(Err(TransportError::Interrupted { reason: String::from("the page has no fetch") })),
        };
        match exchanged.status() {
            Some(status) => {
                let response = HttpResponse {
                    status,
                    request_id_header: exchanged.request_id(),
                    body: exchanged.body(),
                    retry_after: None,
                };
                Some(Ok(response.with_retry_after(exchanged.retry_after().as_deref())))
            }
            None if exchanged.timed_out() == Some(true) => None,
            // A browser does not say whether the call reached anybody, nor that its own rules forbade it.
            None => Some(Err(TransportError::Interrupted {
                reason: format!(
                    "the browser says: {} (no connection, or the service does not allow this page's origin)",
                    exchanged.reason()
                ),
            })),
        }
    }

    /// Releases a session and waits until it is gone; one that is gone already is as good.
    pub(crate) fn delete(self: &Rc<Self>, session_id: String, then: impl FnOnce() + 'static) -> Promise {
        let http = Rc::clone(self);
        future_to_promise(async move {
            let outcome = http.release(session_id).await;
            if outcome.is_ok() {
                then();
            }
            Ok(answer::answer(outcome))
        })
    }

    async fn release(&self, session_id: String) -> Result<Answered<JsValue>, ApiError> {
        let mut delete = DeleteSession::new(session_id);
        loop {
            match delete.next(now()) {
                DeleteStep::Release(operation) => {
                    let outcome = self.call(&operation.request(), &reader(operation, |()| JsValue::NULL)).await;
                    delete.released(now(), outcome.map(|answered| answered.map(|_| ())));
                }
                DeleteStep::Look(operation) => {
                    let request = operation.request();
                    let read = reader(operation, |status| JsValue::from_str(status.as_str()));
                    let outcome = self.call(&request, &read).await;
                    let status = |word: JsValue| SessionStatus::from(word.as_string().unwrap_or_default().as_str());
                    delete.looked(now(), &outcome.map(|answered| answered.map(status)));
                }
                DeleteStep::WaitUntil(at) => pause(at - now()).await,
                DeleteStep::Done(outcome) => return outcome.map(|answered| answered.map(|()| JsValue::NULL)),
            }
        }
    }
}

/// Reads an operation's answer and converts it.
pub(crate) fn reader<O: Operation + 'static>(operation: O, convert: impl Fn(O::Output) -> JsValue + 'static) -> Reader {
    Box::new(move |response, key| Ok(operation.answer(response, key)?.map(&convert)))
}

pub(crate) async fn pause(delay: Duration) {
    if !delay.is_zero() {
        // A timer's promise does not reject.
        let _ = JsFuture::from(host::pause(delay.as_secs_f64() * 1e3)).await;
    }
}
