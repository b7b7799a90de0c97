//! The runs of a session that can be attached to: the tools `list_commands` and `list_programs`.

use serde_json::Value;

use super::Toolbox;
use super::toolbox::text_of;
use crate::error::{ApiError, Malformed};
use crate::http::Answered;
use crate::json::{self, Object};
use crate::procedure::Single;

/// A command that can be attached to: it runs, or has ended and is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandInfo {
    /// The run's id.
    pub id: String,
    /// What the shell read, or the beginning of it.
    pub command: String,
    /// `running`, or how it has ended, as the status of its result.
    pub status: String,
    /// When it was started, in milliseconds since the Unix epoch.
    pub started_at: u64,
    /// It goes on without a reader.
    pub detached: bool,
    /// It has a terminal.
    pub pty: bool,
    /// Of one that has ended.
    pub exit_code: Option<i64>,
    /// The signal that ended it.
    pub signal: Option<String>,
}

impl CommandInfo {
    /// Lists the commands of a session, the oldest first.
    #[must_use]
    pub fn list(toolbox: &Toolbox<'_>) -> Single<Vec<Self>> {
        list(toolbox, "list_commands", Self::read)
    }

    fn read(object: &Object) -> Option<Self> {
        let text = |name: &str| json::string(object, &[name]);
        Some(Self {
            id: text("id")?,
            command: text("command").unwrap_or_default(),
            status: text("status").unwrap_or_default(),
            started_at: json::field(object, &["startedAt"]).and_then(Value::as_u64).unwrap_or(0),
            detached: json::flag(object, &["detached"]),
            pty: json::flag(object, &["pty"]),
            exit_code: json::field(object, &["exitCode"]).and_then(Value::as_i64),
            signal: text("signal"),
        })
    }
}

json_object!(CommandInfo as info {
    "id": info.id, "command": info.command, "status": info.status, "startedAt": info.started_at,
    "detached": info.detached, "pty": info.pty, "exitCode": info.exit_code, "signal": info.signal,
});

/// A program that can be attached to: it runs, or has ended and is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramInfo {
    /// The run's id.
    pub id: String,
    /// The program, or the beginning of it.
    pub code: String,
    /// Its language.
    pub language: String,
    /// `running`, or how it has ended, as the status of its result.
    pub status: String,
    /// When it was started, in milliseconds since the Unix epoch.
    pub started_at: u64,
}

impl ProgramInfo {
    /// Lists the programs of a session, the oldest first.
    #[must_use]
    pub fn list(toolbox: &Toolbox<'_>) -> Single<Vec<Self>> {
        list(toolbox, "list_programs", Self::read)
    }

    fn read(object: &Object) -> Option<Self> {
        let text = |name: &str| json::string(object, &[name]);
        Some(Self {
            id: text("id")?,
            code: text("code").unwrap_or_default(),
            language: text("language").unwrap_or_default(),
            status: text("status").unwrap_or_default(),
            started_at: json::field(object, &["startedAt"]).and_then(Value::as_u64).unwrap_or(0),
        })
    }
}

/// What a tool lists. An item that cannot be read is left out.
fn list<T: 'static>(
    toolbox: &Toolbox<'_>,
    tool: &'static str,
    read: impl Fn(&Object) -> Option<T> + Send + 'static,
) -> Single<Vec<T>> {
    Single::new(toolbox.tool(tool).call([]), move |answered| {
        let Answered { value: text, request_id } = text_of(answered)?;
        let Some(Value::Array(items)) = json::parse(&text).map(json::unquote) else {
            return Err(ApiError::Malformed(Malformed {
                status: 200,
                problem: format!("the tool {tool} did not answer a JSON list"),
                request_id,
                ..Malformed::default()
            }));
        };
        let objects = items.into_iter().filter_map(|item| json::unquote_object(item).ok());
        Ok(Answered { value: objects.filter_map(|object| read(&object)).collect(), request_id })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::played::{Played, by_gateway, tool, tool_error};

    #[test]
    fn programs_are_listed_by_a_tool_of_their_own() {
        let mut played = Played::new(ProgramInfo::list(&by_gateway().toolbox()));
        assert_eq!(played.tool(), ("list_programs".to_owned(), Value::Object(Object::new())));
        let text = r#"[{"id":"a","code":"1","language":"r","status":"running","startedAt":5},{"code":"2"}]"#;
        let expected = ProgramInfo {
            id: "a".into(),
            code: "1".into(),
            language: "r".into(),
            status: "running".into(),
            started_at: 5,
        };
        assert_eq!(played.end(tool(text)).unwrap(), [expected]);
    }

    #[test]
    fn what_has_no_id_is_left_out_and_what_is_no_list_is_a_failure() {
        let mut played = Played::new(CommandInfo::list(&by_gateway().toolbox()));
        assert_eq!(played.tool(), ("list_commands".to_owned(), Value::Object(Object::new())));
        let text = r#"[{"id":"a","command":"make","status":"exited","startedAt":5,"detached":true,"exitCode":2},{"command":"x"},7]"#;
        let commands = played.end(tool(text)).unwrap();
        let expected = CommandInfo {
            id: "a".into(),
            command: "make".into(),
            status: "exited".into(),
            started_at: 5,
            detached: true,
            exit_code: Some(2),
            ..CommandInfo::default()
        };
        assert_eq!(commands, [expected]);
        for (reply, code) in [(tool("{}"), "MALFORMED"), (tool_error("Unknown tool"), "TOOL_FAILED")] {
            let mut played = Played::new(CommandInfo::list(&by_gateway().toolbox()));
            played.call();
            assert_eq!(played.end(reply).unwrap_err().code(), code);
        }
    }
}
