//! What a program raised, or why a run failed.

use crate::codes;

/// What a program raised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFailure {
    /// The exception's class, or a name of ours such as `ExecutionError`.
    pub name: String,
    /// The exception's message.
    pub value: String,
    /// The traceback as the interpreter prints it; empty where there is none.
    pub traceback: String,
}

/// The name where the service sends a text that does not begin with one.
pub const UNNAMED_FAILURE: &str = "ExecutionError";

impl RunFailure {
    /// Reads `executionError`, which is one text: a traceback, `Name: message`, or a bare sentence.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let text = text.trim_ascii_end();
        let lines: Vec<_> = text.split('\n').collect();
        // A Python traceback ends with the line that names the exception, others begin with it.
        let line = if lines.iter().any(|line| begins_traceback(line.trim_ascii_end())) {
            lines.iter().rfind(|line| is_named(line))
        } else {
            lines.first()
        };
        let named = line.and_then(|line| split_name(line.trim_ascii()));
        let traceback = if lines.len() > 1 { text.to_owned() } else { String::new() };
        let (name, value) = named.unwrap_or((UNNAMED_FAILURE, text));
        Self { name: name.to_owned(), value: value.to_owned(), traceback }
    }

    /// In one line: `Name: value`.
    #[must_use]
    pub fn summary(&self) -> String {
        match (self.name.is_empty(), self.value.is_empty()) {
            (false, false) if self.name == UNNAMED_FAILURE => self.value.clone(),
            (false, false) => format!("{}: {}", self.name, self.value),
            (false, true) => self.name.clone(),
            (true, _) => self.value.clone(),
        }
    }

    /// The stable code of what our service itself says on a run. `None` for what a program raised, which has a traceback.
    #[must_use]
    pub fn service_code(&self) -> Option<&'static str> {
        if !self.traceback.is_empty() {
            return None;
        }
        Some(match self.name.as_str() {
            "Timeout" => codes::TIMED_OUT,
            "Cancelled" => codes::CANCELLED,
            "Interrupted" => codes::INTERRUPTED,
            "Killed" => codes::KILLED,
            "UnknownLanguage" => codes::UNKNOWN_LANGUAGE,
            "InvalidTimeout" => codes::BAD_TIMEOUT,
            "SessionReleased" => codes::SESSION_CLOSED,
            "NotStarted" | "NoRoom" | "TooManyRuns" | "TooMuchCode" | "ServerStopping" => codes::REFUSED,
            _ => return None,
        })
    }

    /// About how much memory it holds, for the limit on unread data.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        self.name.len() + self.value.len() + self.traceback.len()
    }
}

fn begins_traceback(line: &str) -> bool {
    line.strip_suffix(':').unwrap_or(line).ends_with("Traceback (most recent call last)")
}

fn is_named(line: &str) -> bool {
    !line.as_bytes().first().is_some_and(u8::is_ascii_whitespace)
        && split_name(line).is_some_and(|(name, _)| name != "Traceback")
}

/// `Name: message` or a bare `Name`, where the name looks like a class: `ValueError`, `java.io.IOException`.
fn split_name(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    // Letters outside ASCII are taken as they come: the tables that tell them apart weigh more than the rest of this file.
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let begins_class = |byte: &u8| byte.is_ascii_uppercase() || !byte.is_ascii() || *byte == b'_';
    let class = name.bytes().rposition(|byte| byte == b'.').map_or(0, |dot| dot + 1);
    let is_class = name.bytes().all(|byte| is_letter(byte) || matches!(byte, b'_' | b'.' | b'$'))
        && name.as_bytes().get(class).is_some_and(begins_class);
    is_class.then_some((name, value.trim_ascii_start()))
}
