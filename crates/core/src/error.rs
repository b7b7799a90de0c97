//! What can go wrong with an HTTP call, by who is to blame.

use std::fmt;
use std::time::Duration;

use agb_protocol::RunStatus;

use crate::codes;
use crate::secret::Secret;

mod excerpt;

pub(crate) use excerpt::start_of;

/// Why an [`Operation`](crate::http::Operation) has no answer.
///
/// No variant ever holds an API key, a token or a URL: see [`hiding`](Self::hiding) for what the service itself may
/// have echoed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiError {
    /// The service does not accept the key, or not for this (HTTP 401 and 403). Repeating is pointless.
    Unauthorized(Refusal),
    /// The session (or image, or tool) named in the call does not exist, or no longer.
    NotFound(Refusal),
    /// The service understood the call and said no.
    Refused(Refusal),
    /// The service did its part, and the session's tool said no.
    ToolFailed(Refusal),
    /// The service's answer could not be read.
    Malformed(Malformed),
    /// Nobody is known to have said anything: the network failed, or the time was up. Parsing never gives this; it is
    /// for drivers, so that both report the same.
    Transport(TransportError),
}

impl ApiError {
    /// Stable code: the service's own where it gave one, such as `InvalidMcpSession.NotFound`, else one of ours, which
    /// are `UNAUTHORIZED`, `NOT_FOUND`, `REFUSED`, `MALFORMED` and those of [`TransportError::code`].
    #[must_use]
    pub fn code(&self) -> &str {
        match self.refusal() {
            Some(refusal) if !refusal.code.is_empty() => &refusal.code,
            _ => self.own_code(),
        }
    }

    /// [`code`](Self::code) without the service's own.
    #[must_use]
    pub const fn own_code(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => codes::UNAUTHORIZED,
            Self::NotFound(_) => codes::NOT_FOUND,
            Self::Refused(_) => codes::REFUSED,
            Self::ToolFailed(_) => codes::TOOL_FAILED,
            Self::Malformed(_) => codes::MALFORMED,
            Self::Transport(error) => error.code(),
        }
    }

    /// The id under which the service knows this call; empty where it gave none.
    #[must_use]
    pub fn request_id(&self) -> &str {
        match self {
            Self::Malformed(malformed) => &malformed.request_id,
            _ => self.refusal().map_or("", |refusal| &refusal.request_id),
        }
    }

    /// The HTTP status, where there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Malformed(malformed) => Some(malformed.status),
            _ => self.refusal().map(|refusal| refusal.status).filter(|status| *status != 0),
        }
    }

    /// The name that a result's `error` carries when this kept a run from beginning.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "AuthenticationError",
            Self::NotFound(_) => "NotFoundError",
            Self::Transport(TransportError::TimedOut { .. }) => "TimeoutError",
            Self::Transport(TransportError::Interrupted { .. }) => "Interrupted",
            Self::Transport(_) => "ConnectionError",
            _ => "ServiceError",
        }
    }

    /// The status of a run that this kept from beginning or from being followed.
    #[must_use]
    pub const fn run_status(&self) -> RunStatus {
        match self {
            Self::Transport(TransportError::TimedOut { .. }) => RunStatus::Timeout,
            Self::Transport(TransportError::Interrupted { .. }) => RunStatus::Interrupted,
            _ => RunStatus::Failed,
        }
    }

    /// On the link a 401 is about the session's token, of which the API key's owner knows nothing.
    pub(crate) fn blame_token(self) -> Self {
        match self {
            Self::Unauthorized(refusal) => Self::Refused(refusal.of_token()),
            other => other,
        }
    }

    const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Unauthorized(refusal)
            | Self::NotFound(refusal)
            | Self::Refused(refusal)
            | Self::ToolFailed(refusal) => Some(refusal),
            Self::Malformed(_) | Self::Transport(_) => None,
        }
    }

    /// The same error without any trace of `secret`: a service may repeat the key it refuses in its message.
    #[must_use]
    pub fn hiding(mut self, secret: &Secret) -> Self {
        if secret.is_empty() {
            return self;
        }
        let hide = |text: &mut String| hide(text, secret.expose());
        match &mut self {
            Self::Unauthorized(refusal)
            | Self::NotFound(refusal)
            | Self::Refused(refusal)
            | Self::ToolFailed(refusal) => refusal.hide(secret),
            Self::Malformed(malformed) => {
                [&mut malformed.problem, &mut malformed.start, &mut malformed.request_id].into_iter().for_each(hide);
            }
            Self::Transport(
                TransportError::Unreachable { reason }
                | TransportError::Interrupted { reason }
                | TransportError::Untrusted { reason }
                | TransportError::ProxyRefused { reason },
            ) => hide(reason),
            Self::Transport(TransportError::TimedOut { .. }) => {}
        }
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // It was no API key that was not accepted, and a page has none.
            Self::Unauthorized(refusal) if refusal.code.starts_with("InvalidAccessToken.") => refusal.write_refused(f),
            Self::Unauthorized(refusal) => {
                f.write_str("the service did not accept the API key; check AGB_API_KEY and the endpoint")?;
                refusal.write_details(f)
            }
            Self::NotFound(refusal) => refusal.write_missing(f),
            Self::Refused(refusal) => refusal.write_refused(f),
            Self::ToolFailed(refusal) => f.write_str(&refusal.message),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Transport(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ApiError {}

// By windows: the standard library's search is a kibibyte and more of what a page loads, and the texts are short.

fn says_not_found(text: &str) -> bool {
    text.as_bytes().windows(9).any(|part| part.eq_ignore_ascii_case(b"not found"))
}

fn hide(text: &mut String, secret: &str) {
    if secret.is_empty() {
        return;
    }
    // In one pass: what stands in its place may have the secret in it.
    let (mut hidden, mut rest) = (String::new(), text.as_str());
    while let Some(at) = rest.as_bytes().windows(secret.len()).position(|part| part == secret.as_bytes()) {
        hidden.push_str(&rest[..at]);
        hidden.push_str("[hidden]");
        rest = &rest[at + secret.len()..];
    }
    if rest.len() < text.len() {
        hidden.push_str(rest);
        *text = hidden;
    }
}

impl From<TransportError> for ApiError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

/// What the service says when it says no (`success: false`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The service's code; empty where it gave none.
    pub code: String,
    /// The service's words for a person.
    pub message: String,
    /// The HTTP status, or the body's `httpStatusCode` when HTTP itself was content.
    pub status: u16,
    /// The id under which the service knows this call.
    pub request_id: String,
}

/// Of one that is not about an API key.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_of_missing() { self.write_missing(f) } else { self.write_refused(f) }
    }
}

impl Refusal {
    /// Whether it is about who calls. A session's files have permissions of their own, which no key changes.
    pub(crate) fn is_of_caller(&self) -> bool {
        self.status == 401 || (self.status == 403 && !self.code.starts_with("InvalidFile."))
    }

    /// The document's sign of something missing is the code `InvalidMcpSession.NotFound` with HTTP 400 and a message containing
    /// `not found`; each of code and message is enough, the message only with a status that fits.
    pub(crate) fn is_of_missing(&self) -> bool {
        let says_so = || matches!(self.status, 400 | 404) && says_not_found(&self.message);
        !self.is_of_caller() && (self.code.ends_with("NotFound") || says_so())
    }

    /// One that is about the caller, where a session's token is what it calls with.
    pub(crate) fn of_token(mut self) -> Self {
        if self.code.is_empty() {
            self.code = codes::INVALID_TOKEN.to_owned();
        }
        if self.message.is_empty() {
            self.message = String::from("the session does not accept its token any more; get the session again");
        }
        self
    }

    pub(crate) fn hide(&mut self, secret: &Secret) {
        [&mut self.code, &mut self.message, &mut self.request_id]
            .into_iter()
            .for_each(|text| hide(text, secret.expose()));
    }

    /// What it holds in texts.
    pub(crate) fn memory_size(&self) -> usize {
        size_of::<Self>() + self.code.len() + self.message.len() + self.request_id.len()
    }

    pub(crate) fn write_missing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who says what was not found knows more.
        if says_not_found(&self.message) {
            f.write_str(&self.message)?;
            return self.write_origin(f);
        }
        f.write_str("not found; it may have been released, or never existed")?;
        self.write_details(f)
    }

    pub(crate) fn write_refused(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service refused the call")?;
        self.write_details(f)
    }

    /// `: message (Code, HTTP 400, request r-1)`, as far as it is known.
    fn write_details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.message.is_empty() {
            f.write_str(": ")?;
            f.write_str(&self.message)?;
        }
        self.write_origin(f)
    }

    /// ` (Code, HTTP 400, request r-1)`, as far as it is known.
    fn write_origin(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" (")?;
        if !self.code.is_empty() {
            f.write_str(&self.code)?;
            f.write_str(", ")?;
        }
        write_status(f, self.status, &self.request_id)?;
        f.write_str(")")
    }
}

/// An answer that could not be read: no JSON, or not the JSON that the call answers with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Malformed {
    /// The HTTP status.
    pub status: u16,
    /// What was wrong with it.
    pub problem: String,
    /// How the body began, at most 200 characters, with everything masked that could be a secret.
    pub start: String,
    /// The id under which the service knows this call, where a header told it.
    pub request_id: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service's answer cannot be read: ")?;
        f.write_str(&self.problem)?;
        f.write_str(" (")?;
        write_status(f, self.status, &self.request_id)?;
        f.write_str("); is the endpoint the right one?")?;
        if !self.start.is_empty() {
            f.write_str(" It begins: ")?;
            f.write_str(&self.start)?;
        }
        Ok(())
    }
}

/// How a call failed without an answer. Reasons are written by drivers and hold no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection was made: the service has not seen the call.
    #[error("cannot reach the service: {reason}; check the endpoint and the network")]
    Unreachable {
        /// What the transport said, without the URL.
        reason: String,
    },
    /// The service's certificate is not trusted: nothing was sent, and nothing is tried again.
    #[error("the service cannot be trusted: {reason}")]
    Untrusted {
        /// Host, reason and remedy.
        reason: String,
    },
    /// A forward proxy does not let this client through: the service has not seen the call.
    #[error("{reason}")]
    ProxyRefused {
        /// The proxy, its status and the remedy.
        reason: String,
    },
    /// The connection broke before the answer was whole: the service may have done what was asked.
    #[error("the connection broke before the answer came: {reason}; the outcome is unknown")]
    Interrupted {
        /// What the transport said, without the URL.
        reason: String,
    },
    /// The time limit passed: the service may still do what was asked.
    #[error("not done within {} ms (AGB_TIMEOUT_MS limits ordinary calls); the service may still do it", after.as_millis())]
    TimedOut {
        /// The limit.
        after: Duration,
    },
}

impl TransportError {
    /// Stable code: `UNREACHABLE`, `INTERRUPTED` or `TIMED_OUT`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::ProxyRefused { .. } => codes::UNREACHABLE,
            Self::Interrupted { .. } => codes::INTERRUPTED,
            Self::TimedOut { .. } => codes::TIMED_OUT,
        }
    }
}

fn write_status(f: &mut fmt::Formatter<'_>, status: u16, request_id: &str) -> fmt::Result {
    write!(f, "HTTP {status}")?;
    if !request_id.is_empty() {
        f.write_str(", request ")?;
        f.write_str(request_id)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Refusal {
        Refusal {
            code: String::from("Quota.Exceeded"),
            message: String::from("too many sessions"),
            status: 429,
            request_id: String::from("r-1"),
        }
    }

    #[test]
    fn says_what_to_do() {
        for (error, code, text) in [
            (
                ApiError::Refused(refusal()),
                "Quota.Exceeded",
                "the service refused the call: too many sessions (Quota.Exceeded, HTTP 429, request r-1)",
            ),
            (
                ApiError::Unauthorized(Refusal {
                    code: String::from("InvalidAccessToken.Scope"),
                    message: String::from("watching only"),
                    status: 403,
                    ..Refusal::default()
                }),
                "InvalidAccessToken.Scope",
                "the service refused the call: watching only (InvalidAccessToken.Scope, HTTP 403)",
            ),
            (
                ApiError::Unauthorized(Refusal { status: 401, ..Refusal::default() }),
                "UNAUTHORIZED",
                "the service did not accept the API key; check AGB_API_KEY and the endpoint (HTTP 401)",
            ),
            (
                ApiError::NotFound(Refusal { code: String::new(), ..refusal() }),
                "NOT_FOUND",
                "not found; it may have been released, or never existed: too many sessions (HTTP 429, request r-1)",
            ),
            (
                ApiError::NotFound(Refusal { message: String::from("\"/tmp/a\" not found"), status: 404, ..refusal() }),
                "Quota.Exceeded",
                "\"/tmp/a\" not found (Quota.Exceeded, HTTP 404, request r-1)",
            ),
            (
                ApiError::Malformed(Malformed {
                    status: 502,
                    problem: String::from("it is not JSON"),
                    start: String::from("<html>"),
                    request_id: String::new(),
                }),
                "MALFORMED",
                "the service's answer cannot be read: it is not JSON (HTTP 502); is the endpoint the right one? It begins: <html>",
            ),
            (
                TransportError::TimedOut { after: Duration::from_millis(1500) }.into(),
                "TIMED_OUT",
                "not done within 1500 ms (AGB_TIMEOUT_MS limits ordinary calls); the service may still do it",
            ),
            (
                TransportError::Unreachable { reason: String::from("connection refused") }.into(),
                "UNREACHABLE",
                "cannot reach the service: connection refused; check the endpoint and the network",
            ),
        ] {
            assert_eq!(error.code(), code);
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(ApiError::Refused(refusal()).request_id(), "r-1");
        assert_eq!(ApiError::Refused(refusal()).status(), Some(429));
    }

    #[test]
    fn hides_what_the_service_echoed() {
        let secret = Secret::from("ako-123");
        let echo = |text: &str| format!("key {text} is bad");
        for error in [
            ApiError::Unauthorized(Refusal { message: echo("ako-123"), ..Refusal::default() }),
            ApiError::Malformed(Malformed { start: echo("ako-123"), ..Malformed::default() }),
            TransportError::Interrupted { reason: echo("ako-123") }.into(),
        ] {
            let hidden = error.clone().hiding(&secret);
            assert!(!hidden.to_string().contains("ako-123") && hidden.to_string().contains("[hidden]"));
            assert!(!format!("{hidden:?}").contains("ako-123"));
            assert_eq!(error.clone().hiding(&Secret::default()), error);
        }
    }

    #[test]
    fn a_secret_is_hidden_wherever_it_stands_and_whatever_it_is() {
        for (text, secret, expected) in [
            ("key k-1, again k-1k-1", "k-1", "key [hidden], again [hidden][hidden]"),
            ("add", "d", "a[hidden][hidden]"),
            ("\u{fc}\u{e4}\u{fc}", "\u{e4}", "\u{fc}[hidden]\u{fc}"),
            ("nothing", "k-1", "nothing"),
            ("", "k-1", ""),
            ("all", "", "all"),
        ] {
            let mut said = Refusal { message: text.to_owned(), ..Refusal::default() };
            said.hide(&Secret::from(secret.to_owned()));
            assert_eq!(said.message, expected, "{text} {secret}");
        }
    }
}
