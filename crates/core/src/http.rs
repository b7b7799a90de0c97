//! HTTP calls as plain data: what to send, how to read the answer, whether to send again.
//!
//! A driver decides nothing: it makes an [`HttpCall`] of an operation's [`request`](Operation::request) and carries out
//! its steps. It sends to [`url`](HttpRequest::url) with [`headers`](HttpRequest::all_headers), and gives what came to
//! [`answer`](Operation::answer).

use std::fmt;
use std::time::Duration;

use crate::config::BaseUrl;
use crate::error::ApiError;
use crate::secret::Secret;

#[cfg(not(target_family = "wasm"))]
mod apart;
mod call;
mod envelope;
mod retry;

#[cfg(not(target_family = "wasm"))]
pub use apart::{Apart, Reading, counted};
pub use call::{CallStep, Came, HttpCall};
pub(crate) use envelope::{Envelope, refusal_of_stream};
pub use retry::{Repeat, retry_after};

/// Answers longer than this are not read: a driver ends such a call as interrupted. The longest honest ones are files
/// read in base64 and charts of a run, some MiB each.
pub const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// One call of the service.
pub trait Operation {
    /// What the service answers, read.
    type Output;

    /// What to send.
    fn request(&self) -> HttpRequest;

    /// Reads the answer.
    ///
    /// # Errors
    /// [`ApiError`] by blame; total over every status and body.
    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError>;

    /// Reads the answer, and keeps `key` out of an error in which the service repeated it. Drivers call this one.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse).
    fn answer(&self, response: &HttpResponse, key: &Secret) -> Result<Answered<Self::Output>, ApiError> {
        self.parse(response).map_err(|error| error.hiding(key))
    }

    /// The same of an answer that nobody else needs: what is kept of it need not be copied.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse).
    fn take(&self, response: HttpResponse, key: &Secret) -> Result<Answered<Self::Output>, ApiError> {
        self.answer(&response, key)
    }
}

/// An answer and the id under which the service knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// What the service answered.
    pub value: T,
    /// From the body, else from the header; empty where neither had one.
    pub request_id: String,
}

impl<T> Answered<T> {
    /// Changes the value and keeps the id.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answered<U> {
        Answered { value: change(self.value), request_id: self.request_id }
    }
}

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
}

impl Method {
    /// As HTTP spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// What to send. `Debug` shows neither the values of headers and query nor the body, for any of them may hold a token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpRequest {
    /// How to ask.
    pub method: Method,
    /// A path below the endpoint, such as `/mcp/createSession`, or an absolute URL that the service gave us.
    pub path: String,
    /// Not encoded; [`url`](Self::url) does that.
    pub query: Vec<(&'static str, String)>,
    /// Beside those that every call has.
    pub headers: Vec<(&'static str, Secret)>,
    /// JSON text.
    pub body: Option<String>,
    /// How long the far side may rightly take; zero where it is to answer at once.
    pub expected: Duration,
    /// Whether a second execution would do harm.
    pub repeat: Repeat,
}

/// For the way there and back, beside the time that a call is expected to take.
const MARGIN: Duration = Duration::from_secs(15);

impl HttpRequest {
    pub(crate) fn new(method: Method, path: impl Into<String>, repeat: Repeat) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            expected: Duration::ZERO,
            repeat,
        }
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn query_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub(crate) fn body(mut self, body: crate::json::Object) -> Self {
        self.body = Some(serde_json::Value::Object(body).to_string());
        self
    }

    /// The whole URL, encoded.
    #[must_use]
    pub fn url(&self, base: &BaseUrl) -> String {
        let mut url = if self.is_absolute() { self.path.clone() } else { [base.as_str(), &self.path].concat() };
        for (name, value) in &self.query {
            url.push(if url.contains('?') { '&' } else { '?' });
            encode(name, &mut url);
            url.push('=');
            encode(value, &mut url);
        }
        url
    }

    /// All headers. The key goes to the endpoint only: an absolute URL may lead to another host, and such calls carry
    /// a token of their own.
    #[must_use]
    pub fn all_headers(&self, key: &Secret) -> Vec<(&'static str, Secret)> {
        let mut headers = vec![
            ("accept", Secret::from("application/json")),
            // Also without a body: part 1 says that every call carries it.
            ("content-type", Secret::from("application/json")),
        ];
        if !self.is_absolute() {
            headers.push(("authorization", Secret::from(["Bearer ", key.expose()].concat())));
        }
        headers.extend(self.headers.iter().cloned());
        headers
    }

    /// How long to wait for the answer: what the caller configured, or what the call is expected to take and a margin,
    /// whichever is longer. A program that may run for ten minutes must not be given up after one.
    #[must_use]
    pub fn time_limit(&self, configured: Duration) -> Duration {
        if self.expected.is_zero() { configured } else { configured.max(self.expected.saturating_add(MARGIN)) }
    }

    fn is_absolute(&self) -> bool {
        !self.path.starts_with('/')
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.path.split(['?', '#']).next().unwrap_or_default();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("path", &shown)
            .field("query", &self.query.iter().map(|(name, _)| *name).collect::<Vec<_>>())
            .field("headers", &self.headers)
            .field("body", &self.body.as_ref().map(String::len))
            .finish_non_exhaustive()
    }
}

/// What came back. `Debug` shows the length of the body only.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The header `x-request-id`.
    pub request_id_header: Option<String>,
    /// The body as text.
    pub body: String,
    /// How long the service asks to wait: the header `retry-after`, where it is a number of seconds.
    pub retry_after: Option<Duration>,
}

impl HttpResponse {
    /// Takes the body as it came; bytes that are not UTF-8 become U+FFFD, as in a browser's `text()`.
    #[must_use]
    pub fn new(status: u16, request_id_header: Option<String>, body: Vec<u8>) -> Self {
        let body =
            String::from_utf8(body).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Self { status, request_id_header, body, retry_after: None }
    }

    /// Takes the header `retry-after`.
    #[must_use]
    pub fn with_retry_after(mut self, header: Option<&str>) -> Self {
        self.retry_after = header.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        self
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("request_id_header", &self.request_id_header)
            .field("body", &self.body.len())
            .finish()
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986, which no server reads as anything else.
fn encode(text: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(DIGITS[usize::from(byte >> 4)]));
            into.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests;
