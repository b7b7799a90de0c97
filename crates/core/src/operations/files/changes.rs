//! The text of `get_file_change`, and watching a directory by asking for it again and again.

use serde_json::Value;

use crate::error::ApiError;
use crate::http::Answered;
use crate::json;
use crate::operations::object;
use crate::procedure::{Outcome, Procedure, Single, Step};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// `create`, `modify` or `delete`.
    pub event: String,
    /// What changed.
    pub path: String,
    /// `file` or `directory`.
    pub kind: String,
}

/// What has changed since the look before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChanges {
    /// The changes.
    pub events: Vec<FileChange>,
    /// As the service wrote them.
    pub raw: String,
}

impl FileChanges {
    /// What is not a list has no events.
    pub(super) fn read(raw: String) -> Self {
        let change = |item: Value| {
            let item = json::unquote_object(item).ok()?;
            let text = |names: &[&str]| json::string(&item, names).unwrap_or_default();
            Some(FileChange {
                event: text(&["eventType", "EventType"]),
                path: text(&["path", "Path"]),
                kind: text(&["pathType", "PathType"]),
            })
        };
        let events = match json::parse(&raw).map(json::unquote) {
            Some(Value::Array(items)) => items.into_iter().filter_map(change).collect(),
            _ => Vec::new(),
        };
        Self { events, raw }
    }
}

json_object!(FileChange as change { "eventType": change.event, "path": change.path, "pathType": change.kind });

json_object!(FileChanges as changes { "events": changes.events, "rawData": changes.raw });

/// What one look of a watch came to. The look itself never fails.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchStep {
    /// Go on; these are the changes to report, mostly none.
    GoOn(Vec<FileChange>),
    /// This look failed. The next one may not.
    Failed(ApiError),
    /// The session is gone, or closed to this caller: the watch ends.
    End(ApiError),
}

/// One look of a watch: the first one only starts the comparison, later ones report.
#[derive(Debug)]
pub struct WatchPoll {
    look: Single<FileChanges>,
    is_first: bool,
}

impl WatchPoll {
    pub(super) const fn new(look: Single<FileChanges>, is_first: bool) -> Self {
        Self { look, is_first }
    }
}

impl Procedure for WatchPoll {
    type Output = WatchStep;

    fn next(&mut self, last: Option<Outcome>) -> Step<WatchStep> {
        match self.look.next(last) {
            Step::Call(call) => Step::Call(call),
            Step::Wait(time) => Step::Wait(time),
            Step::Done(Ok(Answered { value, request_id })) => {
                let events = if self.is_first { Vec::new() } else { value.events };
                Step::done(WatchStep::GoOn(events), request_id)
            }
            Step::Done(Err(error)) => {
                let request_id = error.request_id().to_owned();
                Step::done(if is_gone(&error) { WatchStep::End(error) } else { WatchStep::Failed(error) }, request_id)
            }
        }
    }
}

/// By the code, and for services that say it with words only, by those.
pub(super) fn is_gone(error: &ApiError) -> bool {
    match error {
        ApiError::NotFound(_) | ApiError::Unauthorized(_) => true,
        ApiError::Refused(refusal) | ApiError::ToolFailed(refusal) => {
            let text = refusal.message.to_ascii_lowercase();
            [crate::codes::INVALID_TOKEN, "InvalidMcpSession.Deleting"].contains(&refusal.code.as_str())
                || (text.contains("session") && (text.contains("expired") || text.contains("invalid")))
        }
        _ => false,
    }
}

impl From<WatchStep> for Value {
    fn from(step: WatchStep) -> Self {
        let (events, error, ended) = match step {
            WatchStep::GoOn(events) => (events, None, false),
            WatchStep::Failed(error) => (Vec::new(), Some(error), false),
            WatchStep::End(error) => (Vec::new(), Some(error), true),
        };
        let events: Vec<Value> = events.into_iter().map(Value::from).collect();
        object([
            ("events", events.into()),
            ("problem", error.map(|error| error.to_string()).into()),
            ("ended", ended.into()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Refusal, TransportError};
    use crate::operations::files::Files;
    use crate::operations::played::{Played, by_gateway, tool, tool_error};

    const ONE: &str = r#"[{"eventType":"create","path":"/tmp/a","pathType":"file"}]"#;

    fn look(is_first: bool) -> Played<WatchPoll> {
        let mut played = Played::new(Files(by_gateway().toolbox()).watch("/tmp", is_first));
        played.call();
        played
    }

    #[test]
    fn events_have_two_spellings() {
        let other = r#"[{"EventType":"create","Path":"/tmp/a","PathType":"file"}, 3, null]"#;
        for text in [ONE, other] {
            let changes = FileChanges::read(text.to_owned());
            assert_eq!(changes.events.len(), 1);
            assert_eq!((changes.events[0].event.as_str(), changes.events[0].path.as_str()), ("create", "/tmp/a"));
            assert_eq!(changes.raw, text);
        }
        for text in ["", "{}", "no changes", "null"] {
            assert_eq!(FileChanges::read(text.to_owned()).events, []);
        }
    }

    #[test]
    fn the_first_look_starts_the_comparison() {
        assert_eq!(look(true).end(tool(ONE)), Ok(WatchStep::GoOn(Vec::new())));
        assert!(matches!(look(false).end(tool(ONE)), Ok(WatchStep::GoOn(events)) if events.len() == 1));
    }

    #[test]
    fn a_session_that_is_gone_ends_the_watch_and_nothing_else_does() {
        let outcome = |error: ApiError| {
            let mut played = look(false);
            played.fail(error);
            played.result()
        };
        let refusal = |code: &str, message: &str| Refusal {
            code: code.to_owned(),
            message: message.to_owned(),
            status: 400,
            request_id: String::new(),
        };
        for error in [
            ApiError::NotFound(refusal("InvalidMcpSession.NotFound", "gone")),
            ApiError::Unauthorized(refusal("", "")),
            ApiError::Refused(refusal("INVALID_TOKEN", "")),
            ApiError::Refused(refusal("", "Session has expired")),
        ] {
            assert!(matches!(outcome(error), Ok(WatchStep::End(_))));
        }
        for error in [
            ApiError::Refused(refusal("Busy", "try again")),
            TransportError::TimedOut { after: std::time::Duration::from_secs(1) }.into(),
        ] {
            assert!(matches!(outcome(error), Ok(WatchStep::Failed(_))));
        }
        assert!(matches!(look(true).end(tool_error("/tmp/x: not found")), Ok(WatchStep::Failed(_))));
    }
}
