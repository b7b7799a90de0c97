//! The arguments of a tool, read without trust.

use serde_json::{Map, Value};

use super::error::ToolError;

/// The arguments of a tool.
#[derive(Debug)]
pub(super) struct Args {
    tool: &'static str,
    values: Map<String, Value>,
}

impl Args {
    pub(super) fn new(tool: &'static str, values: Map<String, Value>) -> Self {
        Self { tool, values }
    }

    /// A value that is not null.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// A text that must be there; it may be empty.
    pub(super) fn text(&self, name: &'static str) -> Result<&str, ToolError> {
        self.optional_text(name)?.ok_or(ToolError::Missing { tool: self.tool, name })
    }

    /// A text, if it is there.
    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<&str>, ToolError> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| self.invalid(name, "a text"))).transpose()
    }

    /// A number, also as a text.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<f64>, ToolError> {
        self.get(name)
            .map(|value| {
                value
                    .as_f64()
                    .or_else(|| value.as_str()?.trim().parse().ok())
                    .filter(|number| number.is_finite())
                    .ok_or_else(|| self.invalid(name, "a number"))
            })
            .transpose()
    }

    /// A number of bytes, also as a text.
    pub(super) fn bytes(&self, name: &'static str) -> Result<u64, ToolError> {
        match self.get(name) {
            None => Ok(0),
            Some(value) => value
                .as_u64()
                .or_else(|| value.as_str()?.trim().parse().ok())
                .ok_or_else(|| self.invalid(name, "a whole number, 0 or more")),
        }
    }

    /// A yes or no; no if it is not there.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, ToolError> {
        self.get(name).map_or(Ok(false), |value| value.as_bool().ok_or_else(|| self.invalid(name, "true or false")))
    }

    /// A list of texts; empty if it is not there.
    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<String>, ToolError> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        value
            .as_array()
            .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect())
            .ok_or_else(|| self.invalid(name, "a list of texts"))
    }

    /// The error for a value of the wrong kind.
    pub(super) fn invalid(&self, name: &'static str, expected: impl Into<String>) -> ToolError {
        ToolError::Invalid { tool: self.tool, name, expected: expected.into() }
    }
}
