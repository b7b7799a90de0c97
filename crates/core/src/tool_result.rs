//! What a tool answers.

use serde_json::{Value, json};

/// What a tool answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    /// The tool itself says that it failed; its words are in the content.
    pub is_error: bool,
    /// Parts such as `{"type":"text","text":"…"}`; with `blob` or `data` for what is not text.
    pub content: Vec<Value>,
}

impl ToolResult {
    pub(crate) fn plain(text: String) -> Self {
        Self { is_error: false, content: vec![json!({"type": "text", "text": text})] }
    }

    /// The parts that are text.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        self.content.iter().filter_map(|part| part.get("text")?.as_str()).collect()
    }

    /// The parts that are text, joined by newlines.
    #[must_use]
    pub fn text(&self) -> String {
        self.texts().join("\n")
    }

    /// The first part that is not text, in base64 as it was sent.
    #[must_use]
    pub fn binary(&self) -> Option<&str> {
        self.content.iter().find_map(|part| part.get("blob").or_else(|| part.get("data"))?.as_str())
    }

    /// The whole content, as JSON text.
    #[must_use]
    pub fn content_json(&self) -> String {
        Value::Array(self.content.clone()).to_string()
    }
}

impl From<ToolResult> for Value {
    fn from(result: ToolResult) -> Self {
        json!({"isError": result.is_error, "text": result.text(), "contentJson": result.content_json()})
    }
}
