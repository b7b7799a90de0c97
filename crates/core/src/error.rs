//! What can go wrong with an HTTP call, by who is to blame.

use std::fmt;
use std::time::Duration;

use crate::secret::Secret;

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
        let (refusal, fallback) = match self {
            Self::Unauthorized(refusal) => (refusal, "UNAUTHORIZED"),
            Self::NotFound(refusal) => (refusal, "NOT_FOUND"),
            Self::Refused(refusal) => (refusal, "REFUSED"),
            Self::Malformed(_) => return "MALFORMED",
            Self::Transport(error) => return error.code(),
        };
        if refusal.code.is_empty() { fallback } else { &refusal.code }
    }

    /// The id under which the service knows this call; empty where it gave none.
    #[must_use]
    pub fn request_id(&self) -> &str {
        match self {
            Self::Unauthorized(refusal) | Self::NotFound(refusal) | Self::Refused(refusal) => &refusal.request_id,
            Self::Malformed(malformed) => &malformed.request_id,
            Self::Transport(_) => "",
        }
    }

    /// The HTTP status, where there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Unauthorized(refusal) | Self::NotFound(refusal) | Self::Refused(refusal) => Some(refusal.status),
            Self::Malformed(malformed) => Some(malformed.status),
            Self::Transport(_) => None,
        }
    }

    /// The same error without any trace of `secret`: a service may repeat the key it refuses in its message.
    #[must_use]
    pub fn hiding(mut self, secret: &Secret) -> Self {
        if secret.is_empty() {
            return self;
        }
        let hide = |text: &mut String| {
            if text.contains(secret.expose()) {
                *text = text.replace(secret.expose(), "[hidden]");
            }
        };
        match &mut self {
            Self::Unauthorized(refusal) | Self::NotFound(refusal) | Self::Refused(refusal) => {
                [&mut refusal.code, &mut refusal.message, &mut refusal.request_id].into_iter().for_each(hide);
            }
            Self::Malformed(malformed) => {
                [&mut malformed.problem, &mut malformed.start, &mut malformed.request_id].into_iter().for_each(hide);
            }
            Self::Transport(TransportError::Unreachable { reason } | TransportError::Interrupted { reason }) => {
                hide(reason)
            }
            Self::Transport(TransportError::TimedOut { .. }) => {}
        }
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized(refusal) => {
                f.write_str("the service did not accept the API key; check AGB_API_KEY and the endpoint")?;
                refusal.write_details(f)
            }
            Self::NotFound(refusal) => {
                f.write_str("not found; it may have been released, or never existed")?;
                refusal.write_details(f)
            }
            Self::Refused(refusal) => {
                f.write_str("the service refused the call")?;
                refusal.write_details(f)
            }
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Transport(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ApiError {}

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

impl Refusal {
    /// `: message (Code, HTTP 400, request r-1)`, as far as it is known.
    fn write_details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.message.is_empty() {
            f.write_str(": ")?;
            f.write_str(&self.message)?;
        }
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
    /// The connection broke before the answer was whole: the service may have done what was asked.
    #[error("the connection broke before the answer came: {reason}")]
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
            Self::Unreachable { .. } => "UNREACHABLE",
            Self::Interrupted { .. } => "INTERRUPTED",
            Self::TimedOut { .. } => "TIMED_OUT",
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

/// How a body begins, for [`Malformed::start`]: at most 200 characters, on one line.
///
/// What could be a secret never gets in. Of text that looks like JSON every string value is masked, since a cut-off
/// answer of `createSession` is exactly such a text; of other text (an error page of a proxy) every long word without
/// a break, which is what keys and tokens are, and everything behind a `?`, where URLs carry them.
pub(crate) fn start_of(body: &str) -> String {
    /// Enough for the title of an error page.
    const SHOWN: usize = 200;
    // Masking only shortens, so that this much input decides what is shown; it bounds the work on a large body.
    let head: String = body.trim_start().chars().take(8 * SHOWN).collect();
    let masked = if head.starts_with(['{', '[', '"']) { mask_strings(&head) } else { mask_words(&head) };
    let mut start = String::new();
    let mut words = masked.split_whitespace();
    if let Some(first) = words.next() {
        start.push_str(first);
    }
    for word in words {
        start.push(' ');
        start.push_str(word);
    }
    start.chars().take(SHOWN).collect()
}

/// Keeps structure, numbers and the keys of objects; a string counts as a key when it is short, plain and followed by
/// a colon.
fn mask_strings(json: &str) -> String {
    let mut masked = String::new();
    let mut rest = json;
    while let Some(open) = rest.find('"') {
        masked.push_str(mask_words(&rest[..open]).as_str());
        let inside = &rest[open + 1..];
        let length = string_length(inside);
        let text = &inside[..length];
        rest = inside.get(length + 1..).unwrap_or("");
        let is_key = rest.trim_start().starts_with(':')
            && text.len() <= 24
            && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        masked.push('"');
        masked.push_str(if is_key { text } else { "…" });
        masked.push('"');
    }
    masked.push_str(&mask_words(rest));
    masked
}

/// Up to the closing quote, or all of it.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index,
            _ => {}
        }
    }
    text.len()
}

/// Masks words that are long and unbroken, or begin with `?`.
fn mask_words(text: &str) -> String {
    /// Shorter than any key or token; longer than the words of a sentence mostly are.
    const LONG: usize = 16;
    let is_part =
        |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | '/' | '=' | '%' | '&' | '?');
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if length == 0 {
            masked.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        rest = after;
        match word.find('?') {
            Some(query) if query < LONG => {
                masked.push_str(&word[..query]);
                masked.push_str("?…");
            }
            _ if length >= LONG => masked.push('…'),
            _ => masked.push_str(word),
        }
    }
    masked
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
    fn the_start_of_a_page_is_readable() {
        assert_eq!(start_of("\n<html>\r\n  <title>502 Bad Gateway</title>"), "<html> <title>502 Bad Gateway</title>");
        assert_eq!(start_of("upstream timed out"), "upstream timed out");
        assert_eq!(start_of(""), "");
        assert_eq!(start_of(&"word ".repeat(1000)).chars().count(), 200);
        assert_eq!(start_of("😀 ".repeat(1000).as_str()).chars().count(), 200);
    }

    #[test]
    fn the_start_never_shows_a_secret() {
        const TOKEN: &str = "tok-SECRET-0123456789";
        for body in [
            format!(r#"{{"data":{{"token":"{TOKEN}","wsUrl":"wss://h/?t={TOKEN}"#),
            format!(r#"{{"data":"{{\"token\":\"{TOKEN}\"}}"}}"#),
            format!(r#"["{TOKEN}", {TOKEN}]"#),
            format!(r#"{{"{TOKEN}": 1}}"#),
            format!("<a href='https://h/x?token={TOKEN}'>"),
            format!("Authorization: Bearer {TOKEN}"),
            format!("GET /a?k={TOKEN} HTTP/1.1"),
            format!("\"\\\" {TOKEN}"),
        ] {
            let start = start_of(&body);
            assert!(!start.contains("SECRET"), "{start}");
        }
        assert_eq!(
            start_of(r#"{"success":true,"data":{"sessionId":"s-1","count":3}"#),
            r#"{"success":true,"data":{"sessionId":"…","count":3}"#
        );
        assert_eq!(start_of("see /a?k=short for"), "see /a?… for");
    }
}
