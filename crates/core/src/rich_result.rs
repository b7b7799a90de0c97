//! A value or a display of a program: text, a picture, a table, a chart.

use serde_json::{Map, Value};

use crate::json;

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
    pub(crate) fn from_fields(fields: &Map<String, Value>) -> Self {
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
    pub(crate) fn types(&self) -> Vec<&'static str> {
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
