//! The commands of a session that are followed as runs: the tool `list_commands`.

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
        let call = toolbox.tool("list_commands").call([]);
        Single::new(call, |answered| {
            let Answered { value: text, request_id } = text_of(answered)?;
            let items = match json::parse(&text).map(json::unquote) {
                Some(Value::Array(items)) => items,
                _ => {
                    return Err(ApiError::Malformed(Malformed {
                        status: 200,
                        problem: String::from("the tool list_commands did not answer a JSON list"),
                        request_id,
                        ..Malformed::default()
                    }));
                }
            };
            let objects = items.into_iter().filter_map(|item| json::unquote_object(item).ok());
            Ok(Answered { value: objects.filter_map(|object| Self::read(&object)).collect(), request_id })
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procedure::fixtures::{Played, by_gateway, tool, tool_error};

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
