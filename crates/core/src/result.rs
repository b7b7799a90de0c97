//! What a run of code gives its caller.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::json;

mod budget;
mod code;
mod log_budget;
mod recorder;
mod shapes;
mod streamed;

pub use agb_protocol::{KilledBy, RunFailure, RunStatus};
pub use budget::ResultBudget;
pub use log_budget::LogBudget;
pub use recorder::RunRecorder;

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
    /// Of a command, as a shell tells it: the exit code, or 128 and the number of the signal that ended it; 124 at its time
    /// limit.
    pub exit_code: Option<i32>,
    /// With [`RunStatus::Killed`] what ended the interpreter, with [`RunStatus::Signalled`] what ended the command, where
    /// the service says it.
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
        self.success = !failed && reason.is_none_or(|reason| reason == RunStatus::Exited) && self.error.is_none();
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
