//! The arguments of a tool, read without trust.

use agb_protocol::fields::{Field, Fields};

use super::error::ToolError;

/// The arguments of a tool.
#[derive(Debug)]
pub(super) struct Args {
    tool: &'static str,
    fields: Fields,
}

/// More texts in one list are nobody's wish: each tool has a smaller limit of its own where it costs more.
const MAX_TEXTS: usize = 10_000;

impl Args {
    pub(super) fn new(tool: &'static str, fields: Fields) -> Self {
        Self { tool, fields }
    }

    /// A value that is not null.
    pub(super) fn get(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    /// A text that must be there; it may be empty.
    pub(super) fn text(&self, name: &'static str) -> Result<&str, ToolError> {
        self.optional_text(name)?.ok_or(ToolError::Missing { tool: self.tool, name })
    }

    /// A text, if it is there.
    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<&str>, ToolError> {
        match self.get(name) {
            None => Ok(None),
            Some(Field::Text(text)) => Ok(Some(text)),
            Some(Field::Json(_)) => Err(self.invalid(name, "a text")),
        }
    }

    /// A number, also as a text.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<f64>, ToolError> {
        let number = |field: &Field| field.number().ok_or_else(|| self.invalid(name, "a number"));
        self.get(name).map(number).transpose()
    }

    /// A number of bytes, also as a text.
    pub(super) fn bytes(&self, name: &'static str) -> Result<u64, ToolError> {
        let count = |field: &Field| field.count().ok_or_else(|| self.invalid(name, "a whole number, 0 or more"));
        self.get(name).map_or(Ok(0), count)
    }

    /// A yes or no; no if it is not there.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, ToolError> {
        match self.get(name) {
            None => Ok(false),
            Some(Field::Json(json)) if json == "true" => Ok(true),
            Some(Field::Json(json)) if json == "false" => Ok(false),
            Some(_) => Err(self.invalid(name, "true or false")),
        }
    }

    /// A list of texts; empty if it is not there.
    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<String>, ToolError> {
        let Some(field) = self.get(name) else { return Ok(Vec::new()) };
        field
            .items(MAX_TEXTS)
            .and_then(|items| items.into_iter().map(Field::into_text).collect())
            .ok_or_else(|| self.invalid(name, format!("a list of at most {MAX_TEXTS} texts")))
    }

    /// The error for a value of the wrong kind.
    pub(super) fn invalid(&self, name: &'static str, expected: impl Into<String>) -> ToolError {
        ToolError::Invalid { tool: self.tool, name, expected: expected.into() }
    }
}
