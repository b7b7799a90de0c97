//! `list_commands`: the commands of the session that are followed as runs.

use serde_json::{Value, json};

use crate::session::Session;

/// A JSON list, the oldest first.
pub(super) fn list_commands(session: &Session) -> String {
    let commands = session.commands().into_iter().map(|listed| {
        let record = listed.record;
        let mut command = json!({
            "id": listed.id,
            "command": record.command,
            "startedAt": record.started_at,
            "detached": record.detached,
            "pty": record.terminal,
            "status": "running",
        });
        if let Some(finish) = listed.finish {
            command["status"] = json!(finish.reason.map_or("failed", |reason| reason.as_str()));
            command["exitCode"] = json!(finish.exit_code);
            command["signal"] = json!(finish.killed_by.and_then(|killed_by| killed_by.signal));
        }
        command
    });
    commands.collect::<Value>().to_string()
}
