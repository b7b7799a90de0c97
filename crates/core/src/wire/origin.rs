//! Which event of a run a message is, and when and where it was written.

use super::object::{Object, Value};

/// What a message says beside: extra fields of a service that knows the extensions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// Its number in its run.
    pub seq: Option<u64>,
    /// When it happened, in milliseconds since the Unix epoch.
    pub time: Option<u64>,
    /// It is output from before this run.
    pub background: bool,
}

impl Origin {
    /// Reads the fields of a message's data; what is missing or of another kind is absent.
    pub(super) fn parse(data: &Object<'_>) -> Self {
        let number = |name| data.get(name).and_then(Value::as_u64);
        let background = data.get("background").is_some_and(Value::is_true);
        Self { seq: number("seq"), time: number("time"), background }
    }
}
