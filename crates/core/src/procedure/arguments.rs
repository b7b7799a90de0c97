//! The arguments of a procedure, as a language binding gives them: one JSON object.

use std::time::Duration;

use serde_json::Value;

use crate::json::{self, Object};

/// An argument that is missing or of the wrong kind. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadArguments(String);

impl BadArguments {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Reads arguments by name. What is `null` counts as absent.
pub(crate) struct Arguments(Object);

impl Arguments {
    pub(crate) fn parse(text: &str) -> Result<Self, BadArguments> {
        match json::parse(text) {
            Some(Value::Object(object)) => Ok(Self(object)),
            _ => Err(BadArguments::new("the arguments are not a JSON object")),
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        json::field(&self.0, &[name])
    }

    /// A text with something other than blanks in it, as it is.
    pub(crate) fn text(&self, name: &str) -> Result<String, BadArguments> {
        match self.get(name).and_then(Value::as_str) {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            _ => Err(wrong(name, "a non-empty string")),
        }
    }

    /// [`text`](Self::text) without blanks around it.
    pub(crate) fn word(&self, name: &str) -> Result<String, BadArguments> {
        self.text(name).map(|text| text.trim().to_owned())
    }

    /// A text that may be empty.
    pub(crate) fn any_text(&self, name: &str) -> Result<String, BadArguments> {
        self.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| wrong(name, "a string"))
    }

    /// A text without blanks around it; absent also where nothing is left.
    pub(crate) fn optional_word(&self, name: &str) -> Result<Option<String>, BadArguments> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    /// One of a few words, which `parse` knows. An empty one is none of them.
    pub(crate) fn choice<T>(
        &self,
        name: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BadArguments> {
        self.get(name).map(|value| value.as_str().and_then(parse).ok_or_else(|| wrong(name, wanted))).transpose()
    }

    /// False where it is absent.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, BadArguments> {
        Ok(self.optional_flag(name)?.unwrap_or(false))
    }

    pub(crate) fn optional_flag(&self, name: &str) -> Result<Option<bool>, BadArguments> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A whole number of at least `least`.
    pub(crate) fn count(&self, name: &str, least: u64, default: u64) -> Result<u64, BadArguments> {
        match (self.get(name), json::count(&self.0, &[name])) {
            (None, _) => Ok(default),
            (Some(Value::Number(_)), Some(count)) if count >= least => Ok(count),
            _ => Err(wrong(name, &format!("a whole number, at least {least}"))),
        }
    }

    /// A whole number of at least `least`, where it is given.
    pub(crate) fn optional_count(&self, name: &str, least: u64) -> Result<Option<u64>, BadArguments> {
        self.get(name).map(|_| self.count(name, least, least)).transpose()
    }

    /// A number of seconds above zero, where it is given.
    pub(crate) fn optional_seconds(&self, name: &str) -> Result<Option<Duration>, BadArguments> {
        match self.get(name).map(Value::as_f64) {
            None => Ok(None),
            Some(Some(seconds)) if seconds > 0.0 => {
                let time = Duration::try_from_secs_f64(seconds);
                time.map(Some).map_err(|_| BadArguments::new(format!("{name} is too long")))
            }
            Some(_) => Err(wrong(name, "a number above 0")),
        }
    }

    /// Pairs of strings; empty where it is absent.
    pub(crate) fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, BadArguments> {
        self.list(name, "a list of [name, value]", |item| match item.as_array()?.as_slice() {
            [Value::String(name), Value::String(value)] => Some((name.clone(), value.clone())),
            _ => None,
        })
    }

    pub(crate) fn object(&self, name: &str) -> Result<Object, BadArguments> {
        match self.get(name) {
            None => Ok(Object::new()),
            Some(Value::Object(object)) => Ok(object.clone()),
            Some(_) => Err(wrong(name, "an object")),
        }
    }

    /// A list of texts; empty where it is absent.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, BadArguments> {
        self.list(name, "a list of strings", |item| item.as_str().map(str::to_owned))
    }

    /// A list of what `read` takes; empty where it is absent.
    pub(crate) fn list<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, BadArguments> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                items.iter().map(read).collect::<Option<_>>().ok_or_else(|| wrong(name, wanted))
            }
            Some(_) => Err(wrong(name, wanted)),
        }
    }
}

fn wrong(name: &str, wanted: &str) -> BadArguments {
    BadArguments(format!("{name} must be {wanted}"))
}
