//! `shell`: a command in `sh`.
//!
//! The command has a sandbox of its own, which shares files and network with the others of its session. The call ends when
//! the command does. What it has put into the background goes on, and ends with the session; after a time limit, or for a
//! caller that has gone away, the whole sandbox ends.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use agb_protocol::command::{MAX_ENVIRONMENT, environment_size};
use agb_protocol::fields::Field;
use serde::Serialize;

use super::answer::{ToolAnswer, as_text};
use super::apart::apart;
use super::args::Args;
use super::error::ToolError;
use crate::command::{self, Captured, CapturedOutput, CapturedText, CommandSpec, Outcome};
use crate::random;
use crate::session::{Session, Stage};

/// What AGB gives a command that does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(1000);

pub(super) async fn shell(session: &Arc<Session>, args: &Args) -> Result<ToolAnswer, ToolError> {
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
        envs: environment(session, args).await?,
        timeout,
        stdin: false,
        terminal: None,
    };
    let host = session.command_host().map_err(ToolError::Run)?;
    let mut captured = Captured::new(limits.max_tool_output / 2, session.budget().nothing());
    let mut stage = session.watch_stage();
    let outcome = tokio::select! {
        outcome = command::execute(host, spec, &mut captured) => Some(outcome),
        _ = stage.wait_for(|stage| *stage != Stage::Running) => None,
    };
    report(outcome, captured)
}

/// The tool's answer; without an outcome the session has ended.
fn report(outcome: Option<Outcome>, captured: Captured) -> Result<ToolAnswer, ToolError> {
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
    let CapturedOutput { stdout, stderr, charge } = captured.finish().map_err(ToolError::NoRoom)?;
    let (size, is_error) = (stdout.size() + stderr.size(), words.is_some());
    let report = Report {
        error_code: is_error.then_some(exit_code),
        exit_code,
        stderr: Stderr { text: stderr, words },
        stdout,
        trace_id: (exit_code != 0).then(random::request_id),
    };
    Ok(ToolAnswer::json(report, size, is_error, charge))
}

/// What the tool answers, as it is on the wire.
#[derive(Serialize)]
struct Report {
    #[serde(rename = "errorCode", skip_serializing_if = "Option::is_none")]
    error_code: Option<i32>,
    exit_code: i32,
    #[serde(serialize_with = "as_text")]
    stderr: Stderr,
    #[serde(serialize_with = "as_text")]
    stdout: CapturedText,
    #[serde(rename = "traceId", skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

/// What a command said there, and what there is to say of its end.
struct Stderr {
    text: CapturedText,
    words: Option<String>,
}

impl Display for Stderr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)?;
        self.words.as_ref().map_or(Ok(()), |words| writeln!(f, "{words}"))
    }
}

/// The variables of the command, read where long texts are.
async fn environment(session: &Session, args: &Args) -> Result<Vec<(String, String)>, ToolError> {
    const PROBLEM: &str = "an object of texts of 2 MiB at most, with names that an environment takes";
    let invalid = || args.invalid("envs", PROBLEM);
    let Some(envs) = args.get("envs") else { return Ok(Vec::new()) };
    // With what JSON makes of a few characters. Longer ones are refused unseen.
    let Field::Json(json) = envs else { return Err(invalid()) };
    if json.len() > 2 * MAX_ENVIRONMENT {
        return Err(invalid());
    }
    let (bytes, envs) = (json.len(), envs.clone());
    let read = move || {
        let is_plain =
            |(name, value): &(String, String)| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        let texts = envs.fields()?.into_iter().map(|(name, value)| match value {
            Field::Text(value) => Some((name, value)).filter(is_plain),
            Field::Json(_) => None,
        });
        let variables = texts.collect::<Option<Vec<_>>>()?;
        (environment_size(&variables) <= MAX_ENVIRONMENT).then_some(variables)
    };
    apart(session.budget(), bytes, read).await.ok_or(ToolError::Defect)?.ok_or_else(invalid)
}
