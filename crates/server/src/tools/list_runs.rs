//! `list_commands` and `list_programs`: the runs of the session that can be attached to.

use serde_json::{Value, json};

use crate::session::{ListedRun, RunKind};

/// A JSON list of the commands, the oldest first.
pub(super) fn list_commands(runs: &[ListedRun]) -> String {
    list(runs, |listed| {
        let RunKind::Command { detached, terminal } = listed.record.kind else { return None };
        let mut command = to_json(listed, "command");
        command["detached"] = json!(detached);
        command["pty"] = json!(terminal);
        if let Some(finish) = &listed.finish {
            command["exitCode"] = json!(finish.exit_code);
            command["signal"] = json!(finish.killed_by.as_ref().and_then(|killed_by| killed_by.signal.as_ref()));
        }
        Some(command)
    })
}

/// A JSON list of the programs, the oldest first.
pub(super) fn list_programs(runs: &[ListedRun]) -> String {
    list(runs, |listed| {
        let RunKind::Program(language) = listed.record.kind else { return None };
        let mut program = to_json(listed, "code");
        program["language"] = json!(language.as_str());
        Some(program)
    })
}

fn list(runs: &[ListedRun], entry: impl FnMut(&ListedRun) -> Option<Value>) -> String {
    runs.iter().filter_map(entry).collect::<Value>().to_string()
}

/// What is said of every run. Its text has the name that it has where it is started.
fn to_json(listed: &ListedRun, text: &str) -> Value {
    let status = match &listed.finish {
        None => "running",
        Some(finish) => finish.reason.map_or("failed", |reason| reason.as_str()),
    };
    let mut run = json!({ "id": listed.id, "startedAt": listed.record.started_at, "status": status });
    run[text] = json!(listed.record.text);
    run
}
