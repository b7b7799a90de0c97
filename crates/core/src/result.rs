//! What a run of code gives its caller.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::json;
use crate::wire::object::split_at;

mod budget;
mod code;
mod shapes;
mod status;
mod streamed;

pub use budget::ResultBudget;
pub use status::{KilledBy, RunStatus};

/// The result of one run (wire protocol, "The result a caller gets").
///
/// `success` is false exactly when `error_message` says something.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Execution {
    /// The id to quote when asking the service about this run; the invocation id when streaming.
    pub request_id: String,
    /// The program came to its end and raised nothing.
    pub success: bool,
    /// How it ended, in one word.
    pub status: RunStatus,
    /// How many runs the kernel has had, this one included.
    pub execution_count: Option<u64>,
    /// Seconds, measured around the program; 0 where the service does not say.
    pub execution_time: f64,
    /// What the program printed, as far as it is kept here. Streaming keeps its own log.
    pub logs: Logs,
    /// Values and displays, in order.
    pub results: Vec<RichResult>,
    /// What the program raised, or else why the run failed.
    pub error: Option<RunFailure>,
    /// What went wrong, for a person; empty on success.
    pub error_message: String,
    /// The logs or the results were cut at a limit.
    pub truncated: bool,
    /// How often the connection was lost and the run was found again. Nothing is missing for it.
    pub interruptions: u32,
    /// The interpreter was restarted: its variables are gone.
    pub state_lost: bool,
    /// With [`RunStatus::Killed`]: what ended the interpreter, where the service says it.
    pub killed_by: Option<KilledBy>,
}

impl Execution {
    /// Reads the text content of an answer to `run_code` (wire protocol, "What `run_code` answers").
    ///
    /// `is_error` is the flag beside the content. Total: what is no known shape is plain text.
    #[must_use]
    pub fn from_answer(request_id: String, texts: &[&str], is_error: bool) -> Self {
        shapes::read(request_id, texts, is_error)
    }

    /// The result that the program meant as its value: the last one marked as main.
    #[must_use]
    pub fn main_result(&self) -> Option<&RichResult> {
        self.results.iter().rfind(|result| result.is_main)
    }

    /// Keeps at most so many bytes of results; see [`ResultBudget`].
    pub fn limit_results(&mut self, limit: usize) {
        let mut budget = ResultBudget::new(limit);
        self.results = self.results.iter().filter_map(|result| budget.keep(result)).map(Cow::into_owned).collect();
        self.truncated |= budget.is_truncated();
    }

    /// Settles `success`, `status` and `error_message`, which must agree, from everything else that is known. `reason`
    /// is the service's own word.
    fn conclude(&mut self, failed: bool, reason: Option<RunStatus>, words: Option<String>) {
        let words = words.filter(|words| !words.is_empty());
        let reason = reason.filter(|reason| *reason != RunStatus::Finished);
        self.success = !failed && reason.is_none() && self.error.is_none();
        self.status = reason.unwrap_or(if self.success { RunStatus::Finished } else { RunStatus::Failed });
        self.error_message = if self.success {
            String::new()
        } else {
            words
                .or_else(|| self.error.as_ref().map(RunFailure::summary))
                .unwrap_or_else(|| String::from("the service reports that the run failed and does not say why"))
        };
    }
}

/// The chunks of a program's two streams, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// Standard output.
    pub stdout: Vec<String>,
    /// Standard error.
    pub stderr: Vec<String>,
}

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
const UNNAMED_FAILURE: &str = "ExecutionError";

impl RunFailure {
    /// Reads `executionError`, which is one text: a traceback, `Name: message`, or a bare sentence.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let text = text.trim_ascii_end();
        let lines = lines(text);
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

    /// Reads `{name, value, traceback}`, a text, or whatever came instead; nothing for null and the empty text.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null | Value::Bool(false) => None,
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(Self::from_text(text)),
            Value::Object(object) if object.is_empty() => None,
            Value::Object(object) => {
                let part =
                    |spellings: &[&str]| json::field(object, spellings).and_then(|value| json::plain(value, "\n"));
                let failure = Self {
                    name: part(&["name", "code"]).unwrap_or_default(),
                    value: part(&["value", "message"]).unwrap_or_default(),
                    traceback: part(&["traceback"]).unwrap_or_default(),
                };
                Some(failure.or_unnamed(value))
            }
            other => Some(Self::from_text(&other.to_string())),
        }
    }

    /// In one line: `Name: value`.
    #[must_use]
    pub fn summary(&self) -> String {
        match (self.name.is_empty(), self.value.is_empty()) {
            (false, false) if self.name == UNNAMED_FAILURE => self.value.clone(),
            (false, false) => [&self.name, ": ", &self.value].concat(),
            (false, true) => self.name.clone(),
            (true, _) => self.value.clone(),
        }
    }

    /// About how much memory it holds, for the limit on unread data.
    pub(crate) fn memory_size(&self) -> usize {
        self.name.len() + self.value.len() + self.traceback.len()
    }

    fn or_unnamed(mut self, original: &Value) -> Self {
        if self.name.is_empty() {
            UNNAMED_FAILURE.clone_into(&mut self.name);
        }
        if self.value.is_empty() && self.traceback.is_empty() && self.name == UNNAMED_FAILURE {
            self.value = original.to_string();
        }
        self
    }
}

// Below, bytes instead of characters and searchers: a page that loads this would load 3 KB of those.

fn lines(text: &str) -> Vec<&str> {
    let (mut lines, mut rest) = (Vec::new(), text);
    while let Some((line, behind)) = split_at(rest, |byte| byte == b'\n') {
        lines.push(line);
        rest = behind;
    }
    lines.push(rest);
    lines
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
    let (name, value) = split_at(line, |byte| byte == b':').unwrap_or((line, ""));
    // Letters outside ASCII are taken as they come: the tables that tell them apart weigh more than the rest of this file.
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let begins_class = |byte: &u8| byte.is_ascii_uppercase() || !byte.is_ascii() || *byte == b'_';
    let class = name.bytes().rposition(|byte| byte == b'.').map_or(0, |dot| dot + 1);
    let is_class = name.bytes().all(|byte| is_letter(byte) || matches!(byte, b'_' | b'.' | b'$'))
        && name.as_bytes().get(class).is_some_and(begins_class);
    is_class.then_some((name, value.trim_ascii_start()))
}

/// One value or display of a program in the forms in which it offered itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RichResult {
    /// `text/plain`.
    pub text: Option<String>,
    /// `text/html`.
    pub html: Option<String>,
    /// `text/markdown`.
    pub markdown: Option<String>,
    /// `image/png`, in base64.
    pub png: Option<String>,
    /// `image/jpeg`, in base64.
    pub jpeg: Option<String>,
    /// `image/svg+xml`.
    pub svg: Option<String>,
    /// `application/json`, as JSON text.
    pub json: Option<String>,
    /// `text/latex`.
    pub latex: Option<String>,
    /// A Vega-Lite specification, as JSON text.
    pub chart: Option<String>,
    /// The value of the program's last expression, not a display on the way.
    pub is_main: bool,
}

impl RichResult {
    /// A result that is nothing but text.
    #[must_use]
    pub fn plain(text: impl Into<String>, is_main: bool) -> Self {
        Self { text: Some(text.into()), is_main, ..Self::default() }
    }

    /// Reads a bundle: an object keyed by MIME type, as in streamed `result` events and in shape 1. Unknown types are
    /// left out; a list of lines, as notebooks store them, is joined.
    #[must_use]
    pub fn from_mime(bundle: &Map<String, Value>, is_main: bool) -> Self {
        let text = |name: &str| json::field(bundle, &[name]).and_then(|value| json::plain(value, ""));
        Self::from_forms(text, |name| json::field(bundle, &[name]).map(document), is_main)
    }

    /// From the forms by MIME type: `text` gives one that is text, `document` one that is JSON.
    pub(crate) fn from_forms(
        text: impl Fn(&str) -> Option<String>,
        document: impl Fn(&str) -> Option<String>,
        is_main: bool,
    ) -> Self {
        Self {
            text: text("text/plain"),
            html: text("text/html"),
            markdown: text("text/markdown"),
            png: text("image/png"),
            jpeg: text("image/jpeg"),
            svg: text("image/svg+xml"),
            json: document("application/json"),
            latex: text("text/latex"),
            chart: document("application/vnd.vegalite.v5+json")
                .or_else(|| document("application/vnd.vegalite.v4+json")),
            is_main,
        }
    }

    /// Reads a result of shape 2, keyed by our own field names.
    fn from_fields(fields: &Map<String, Value>) -> Self {
        let text = |name: &str| json::field(fields, &[name]).and_then(|value| json::plain(value, ""));
        let document = |name: &str| json::field(fields, &[name]).map(document);
        Self {
            text: text("text"),
            html: text("html"),
            markdown: text("markdown"),
            png: text("png"),
            jpeg: text("jpeg"),
            svg: text("svg"),
            json: document("json"),
            latex: text("latex"),
            chart: document("chart"),
            is_main: json::flag(fields, &["is_main_result", "isMainResult"]),
        }
    }

    /// Whether it has no form at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forms().all(|form| form.is_none())
    }

    /// About how much memory it holds, for the limit on unread data.
    pub(crate) fn memory_size(&self) -> usize {
        self.forms().flatten().map(String::len).sum()
    }

    /// The MIME types of its forms.
    fn types(&self) -> Vec<&'static str> {
        const TYPES: [&str; 9] = [
            "text/plain",
            "text/html",
            "text/markdown",
            "image/png",
            "image/jpeg",
            "image/svg+xml",
            "application/json",
            "text/latex",
            "application/vnd.vegalite.v5+json",
        ];
        self.forms().zip(TYPES).filter_map(|(form, name)| form.map(|_| name)).collect()
    }

    fn forms(&self) -> impl Iterator<Item = Option<&String>> {
        let Self { text, html, markdown, png, jpeg, svg, json, latex, chart, is_main: _ } = self;
        [text, html, markdown, png, jpeg, svg, json, latex, chart].into_iter().map(Option::as_ref)
    }
}

/// A JSON document as text. A service may send it as a value or as text already; a text that is neither an object nor a
/// list is a value itself.
fn document(value: &Value) -> String {
    match value {
        Value::String(text) => match json::parse(text) {
            Some(Value::Object(_) | Value::Array(_)) => text.clone(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
