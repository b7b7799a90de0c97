//! `shell`: a command in `sh`.
//!
//! The command has a sandbox of its own, which shares files and network with the others of its session. The call ends when
//! the command does. What it has put into the background goes on, and ends with the session; after a time limit, or for a
//! caller that has gone away, the whole sandbox ends.

use std::sync::Arc;
use std::time::Duration;

use agb_protocol::fields::Field;
use serde_json::json;

use super::apart::apart;
use super::args::Args;
use super::error::ToolError;
use crate::command::{self, Captured, CommandSpec, Outcome};
use crate::random;
use crate::session::{Session, Stage};

/// What AGB gives a command that does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(1000);

pub(super) async fn shell(session: &Arc<Session>, args: &Args) -> Result<String, ToolError> {
    let command = args.text("command")?;
    let limits = &session.config().limits;
    let timeout = match args.number("timeout_ms")? {
        None => DEFAULT_TIMEOUT,
        Some(millis) => Duration::try_from_secs_f64(millis / 1000.0)
            .ok()
            .filter(|timeout| !timeout.is_zero() && *timeout <= limits.max_run_timeout)
            .ok_or_else(|| {
                args.invalid("timeout_ms", "a number of milliseconds, more than 0 and not above the server's limit")
            })?,
    };
    let spec = CommandSpec {
        command: command.to_owned(),
        cwd: args.optional_text("cwd")?.map(str::to_owned),
        envs: environment(args)?,
        timeout,
        stdin: false,
        terminal: None,
    };
    let host = session.command_host().map_err(ToolError::Run)?;
    let mut captured = Captured::new(limits.max_tool_output / 2);
    let mut stage = session.watch_stage();
    let outcome = tokio::select! {
        outcome = command::execute(host, spec, &mut captured) => Some(outcome),
        _ = stage.wait_for(|stage| *stage != Stage::Running) => None,
    };
    let written = apart(captured.size(), move || report(outcome, captured));
    written.await.unwrap_or(Err(ToolError::Defect))
}

/// The tool's answer; without an outcome the session has ended.
fn report(outcome: Option<Outcome>, captured: Captured) -> Result<String, ToolError> {
    let Captured { stdout, stderr } = captured;
    let (stdout, mut stderr) = (stdout.into_text(), stderr.into_text());
    let words = match &outcome {
        Some(Outcome::NotStarted(reason)) => return Err(ToolError::Report(reason.clone())),
        Some(Outcome::Exited(_) | Outcome::Signalled(_)) => None,
        Some(Outcome::TimedOut(limit)) => Some(format!(
            "the command ran longer than {} ms and was killed; give it more by timeout_ms",
            limit.as_millis()
        )),
        Some(Outcome::Exceeded(limit)) => Some(format!("the command was killed: its session exceeded its {limit}")),
        // Nobody can cancel a call of a tool but by giving it up, and then there is nobody to answer.
        Some(Outcome::Cancelled) | None => Some("the command was killed, because its session was released".to_owned()),
    };
    let exit_code = outcome.as_ref().and_then(Outcome::exit_code).unwrap_or(128 + libc::SIGKILL);
    if let Some(words) = &words {
        stderr.push_str(words);
        stderr.push('\n');
    }
    let mut answer = json!({ "stdout": stdout, "stderr": stderr, "exit_code": exit_code });
    if exit_code != 0 {
        answer["traceId"] = json!(random::request_id());
    }
    if words.is_some() {
        answer["errorCode"] = json!(exit_code);
        return Err(ToolError::Report(answer.to_string()));
    }
    Ok(answer.to_string())
}

fn environment(args: &Args) -> Result<Vec<(String, String)>, ToolError> {
    let invalid = || args.invalid("envs", "an object of texts, with names that an environment takes");
    let Some(envs) = args.get("envs") else { return Ok(Vec::new()) };
    let Field::Json(_) = envs else { return Err(invalid()) };
    let envs = envs.fields().ok_or_else(invalid)?;
    envs.into_iter()
        .map(|(name, value)| match value {
            Field::Text(value) if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') => {
                Ok((name, value))
            }
            _ => Err(invalid()),
        })
        .collect()
}
