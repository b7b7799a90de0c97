//! `run_code`: a program and its whole output in one answer.

use std::sync::Arc;

use agb_kernel::{Cell, CellEvent, ExecutionControl};
use agb_protocol::service::killed_by_json;
use agb_protocol::{Finish, MimeBundle, Stream};
use serde_json::json;

use super::apart::apart;
use super::args::Args;
use super::error::ToolError;
use crate::cell::{ended, failure_of, hold};
use crate::run::event::RunFailure;
use crate::run::vanished;
use crate::session::{Session, parse_language};

/// Interrupts the program when the call is dropped, since nobody hears of it any more. Without effect after its end.
struct InterruptOnDrop(ExecutionControl);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

/// What a program said, up to a limit.
struct Collected {
    limit: usize,
    size: usize,
    left_out: usize,
    stdout: Vec<String>,
    stderr: Vec<String>,
    background: Background,
    /// As JSON, which is not read.
    results: Vec<String>,
}

#[derive(Default, PartialEq)]
struct Background {
    stdout: Vec<String>,
    stderr: Vec<String>,
}

pub(super) async fn run_code(session: &Arc<Session>, args: &Args) -> Result<String, ToolError> {
    let language = parse_language(args.text("language")?).map_err(ToolError::Run)?;
    let code = args.text("code")?;
    let timeout = session.run_timeout(args.number("timeout_s")?).map_err(ToolError::Run)?;
    let (workspace, kernel) = session.kernel(language).map_err(ToolError::Run)?;
    let meter = session.meter(language);
    let mut hint = session.failure_hint(&workspace, language);
    let mut held = session.budget().nothing();
    let mut execution = kernel.run_holding(Cell::new(code, timeout), Box::new(move |bytes| hold(&mut held, bytes)));
    let guard = InterruptOnDrop(execution.control());
    let mut collected = Collected::new(session.config().limits.max_tool_output);
    let mut failure = None;
    let mut finish = vanished();
    while let Some(event) = execution.next().await {
        meter.saw(&event);
        match event {
            CellEvent::Started => {}
            CellEvent::Stdout(text) => collected.chunk(text, |all| &mut all.stdout),
            CellEvent::Stderr(text) => collected.chunk(text, |all| &mut all.stderr),
            CellEvent::Background { stream: Stream::Stdout, text } => {
                collected.chunk(text, |all| &mut all.background.stdout);
            }
            CellEvent::Background { stream: Stream::Stderr, text } => {
                collected.chunk(text, |all| &mut all.background.stderr);
            }
            CellEvent::Result(result) => collected.result(&result.data, result.is_main),
            CellEvent::Error(error) => {
                failure.get_or_insert_with(|| hint.failure(failure_of(error)));
            }
            CellEvent::InputRequest { .. } => guard.0.close_stdin(),
            CellEvent::End(end) => {
                let ended = hint.ended(ended(end, None));
                failure = failure.or(ended.failure);
                finish = ended.finish;
            }
        }
    }
    let written = apart(collected.size, move || written(collected, failure, finish));
    written.await.ok_or(ToolError::Defect)
}

/// The answer, as the text that it is.
fn written(mut collected: Collected, failure: Option<RunFailure>, finish: Finish) -> String {
    collected.tell_what_is_left_out();
    let mut answer = json!({
        "result": [],
        "stdout": collected.stdout,
        "stderr": collected.stderr,
        "execution_count": finish.execution_count,
        "execution_time": finish.execution_time.unwrap_or(0.0),
    });
    if let Some(error) = finish.execution_error {
        answer["executionError"] = json!(error);
    }
    if let Some(failure) = failure {
        // Beside what AGB sends: the parts, for a client that shows them apart.
        answer["error"] = json!({ "name": failure.name, "value": failure.value, "traceback": failure.traceback });
    }
    if collected.background != Background::default() {
        // Likewise: what earlier runs have left behind wrote this before the run, so it is none of its output.
        let Background { stdout, stderr } = collected.background;
        answer["background"] = json!({ "stdout": stdout, "stderr": stderr });
    }
    if let Some(reason) = finish.reason {
        answer["reason"] = json!(reason.as_str());
    }
    if let Some(killed_by) = &finish.killed_by {
        answer["killedBy"] = killed_by_json(killed_by);
    }
    if finish.state_lost {
        answer["stateLost"] = json!(true);
    }
    // Inside of a string the quotes would be escaped.
    let results = format!(r#""result":[{}]"#, collected.results.join(","));
    answer.to_string().replacen(r#""result":[]"#, &results, 1)
}

impl Collected {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            size: 0,
            left_out: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
            background: Background::default(),
            results: Vec::new(),
        }
    }

    fn chunk(&mut self, mut text: String, stream: fn(&mut Self) -> &mut Vec<String>) {
        let room = self.limit.saturating_sub(self.size);
        if text.len() > room {
            let cut = text.floor_char_boundary(room);
            self.left_out += text.len() - cut;
            // From here on nothing fits, so that what is shown is the beginning, without gaps.
            self.limit = 0;
            text.truncate(cut);
        }
        self.size += text.len();
        if !text.is_empty() {
            stream(self).push(text);
        }
    }

    fn result(&mut self, mime: &MimeBundle, is_main: bool) {
        let mut json = mime.to_json();
        if json.len() > self.limit.saturating_sub(self.size) {
            self.left_out += json.len();
            return;
        }
        self.size += json.len();
        json.pop();
        let comma = if json.len() > 1 { "," } else { "" };
        self.results.push(format!(r#"{json}{comma}"isMainResult":{is_main}}}"#));
    }

    fn tell_what_is_left_out(&mut self) {
        if self.left_out > 0 {
            let note =
                format!("[{} bytes of output are left out here; stream the run to get all of it]\n", self.left_out);
            self.stderr.push(note);
        }
    }
}
