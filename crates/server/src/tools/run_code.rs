//! `run_code`: a program and its whole output in one answer.

use std::sync::Arc;

use agb_kernel::{Cell, CellEvent, ExecutionControl};
use agb_protocol::service::killed_by_json;
use agb_protocol::{Finish, MimeBundle, RunStatus, Stream};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::answer::ToolAnswer;
use super::args::Args;
use super::error::ToolError;
use crate::budget::{Charge, OverBudget};
use crate::cell::{ended, failure_of, hold};
use crate::run::event::{Origin, RunFailure, shortened_failure, shortened_finish};
use crate::run::{MAX_CHUNK, vanished};
use crate::session::{Session, parse_language};

/// Interrupts the program when the call is dropped, since nobody hears of it any more. Without effect after its end.
struct InterruptOnDrop(ExecutionControl);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

/// What a program said, up to a limit. It is counted as it comes.
struct Collected {
    limit: usize,
    size: usize,
    left_out: usize,
    own: Streams,
    background: Streams,
    /// A JSON list of what is not read, without its end; nothing where there is none.
    results: String,
    charge: Charge,
    /// There was no room: nothing is kept any more.
    refused: Option<OverBudget>,
}

/// The chunks of both streams. Neighbours are one chunk, up to [`MAX_CHUNK`]: each costs something beside its text.
#[derive(Default, Serialize)]
struct Streams {
    stderr: Vec<String>,
    stdout: Vec<String>,
}

pub(super) async fn run_code(session: &Arc<Session>, args: &Args) -> Result<ToolAnswer, ToolError> {
    let language = parse_language(args.text("language")?).map_err(ToolError::Run)?;
    let code = args.text("code")?;
    let timeout = session.run_timeout(args.number("timeout_s")?).map_err(ToolError::Run)?;
    let (workspace, kernel) = session.kernel(language).map_err(ToolError::Run)?;
    let meter = session.meter(language);
    let mut hint = session.failure_hint(&workspace, language);
    let mut held = session.budget().nothing();
    let mut execution = kernel.run_holding(Cell::new(code, timeout), Box::new(move |bytes| hold(&mut held, bytes)));
    let guard = InterruptOnDrop(execution.control());
    let limit = session.config().limits.max_tool_output;
    let mut collected = Collected::new(limit, session.budget().nothing());
    let mut failure = None;
    let mut finish = vanished();
    while let Some(event) = execution.next().await {
        meter.saw(&event);
        match event {
            CellEvent::Started => {}
            CellEvent::Stdout(text) => collected.chunk(Stream::Stdout.into(), text),
            CellEvent::Stderr(text) => collected.chunk(Stream::Stderr.into(), text),
            CellEvent::Background { stream, text } => collected.chunk(Origin::background(stream), text),
            CellEvent::Result(result) => collected.result(&result.data, result.is_main),
            CellEvent::Error(error) => {
                failure.get_or_insert_with(|| shortened_failure(hint.failure(failure_of(error))));
            }
            CellEvent::InputRequest { .. } => guard.0.close_stdin(),
            CellEvent::End(end) => {
                let ended = hint.ended(ended(end, None));
                failure = failure.or(ended.failure.map(shortened_failure));
                finish = shortened_finish(ended.finish);
            }
        }
    }
    collected.report(failure, finish).map_err(ToolError::NoRoom)
}

/// What the tool answers, as it is on the wire.
#[derive(Serialize)]
struct Report {
    /// Beside what AGB sends: what earlier runs have left behind wrote this before the run, so it is none of its output.
    #[serde(skip_serializing_if = "Streams::is_empty")]
    background: Streams,
    /// Likewise: the parts, for a client that shows them apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Parts>,
    #[serde(rename = "executionError", skip_serializing_if = "Option::is_none")]
    execution_error: Option<String>,
    execution_count: Option<u64>,
    execution_time: f64,
    #[serde(rename = "killedBy", skip_serializing_if = "Option::is_none")]
    killed_by: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(serialize_with = "as_json")]
    result: String,
    #[serde(rename = "stateLost", skip_serializing_if = "std::ops::Not::not")]
    state_lost: bool,
    stderr: Vec<String>,
    stdout: Vec<String>,
}

#[derive(Serialize)]
struct Parts {
    name: String,
    traceback: String,
    value: String,
}

/// Writes JSON as it came.
fn as_json<S: Serializer>(json: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(json).map_err(S::Error::custom)?.serialize(serializer)
}

impl Streams {
    fn is_empty(&self) -> bool {
        self.stdout.is_empty() && self.stderr.is_empty()
    }

    fn push(&mut self, stream: Stream, text: String, charge: &mut Charge) -> Result<(), OverBudget> {
        let chunks = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        if let Some(last) = chunks.last_mut().filter(|last| last.len() + text.len() <= MAX_CHUNK) {
            return charge.push_str(last, &text, MAX_CHUNK);
        }
        charge.grow_past_small(text.capacity() + 2 * size_of::<String>())?; // a list grows by doubling
        chunks.push(text);
        Ok(())
    }
}

impl Collected {
    fn new(limit: usize, charge: Charge) -> Self {
        Self {
            limit,
            size: 0,
            left_out: 0,
            own: Streams::default(),
            background: Streams::default(),
            results: String::new(),
            charge,
            refused: None,
        }
    }

    fn chunk(&mut self, origin: Origin, mut text: String) {
        let room = self.limit.saturating_sub(self.size);
        if text.len() > room {
            let cut = text.floor_char_boundary(room);
            self.left_out += text.len() - cut;
            // From here on nothing fits, so that what is shown is the beginning, without gaps.
            self.limit = 0;
            text.truncate(cut);
        }
        if text.is_empty() || self.refused.is_some() {
            return;
        }
        self.size += text.len();
        let streams = if origin.background { &mut self.background } else { &mut self.own };
        if let Err(over) = streams.push(origin.stream, text, &mut self.charge) {
            self.refuse(over);
        }
    }

    fn result(&mut self, mime: &MimeBundle, is_main: bool) {
        let mut json = mime.to_json();
        json.pop();
        let comma = if json.len() > 1 { "," } else { "" };
        let before = if self.results.is_empty() { "[" } else { "," };
        let item = format!(r#"{before}{json}{comma}"isMainResult":{is_main}}}"#);
        if item.len() > self.limit.saturating_sub(self.size) {
            self.left_out += json.len() + 1;
            return;
        }
        if self.refused.is_some() {
            return;
        }
        self.size += item.len();
        if let Err(over) = self.charge.push_str(&mut self.results, &item, self.limit) {
            self.refuse(over);
        }
    }

    /// A half is nobody's answer, and others need the room.
    fn refuse(&mut self, over: OverBudget) {
        *self = Self { refused: Some(over), ..Self::new(self.limit, self.charge.another()) };
    }

    /// The tool's answer.
    fn report(self, failure: Option<RunFailure>, finish: Finish) -> Result<ToolAnswer, OverBudget> {
        let Self { size, left_out, mut own, background, mut results, mut charge, refused, .. } = self;
        if let Some(over) = refused {
            return Err(over);
        }
        if left_out > 0 {
            own.stderr
                .push(format!("[{left_out} bytes of output are left out here; stream the run to get all of it]\n"));
        }
        let before = results.capacity();
        results.push_str(if results.is_empty() { "[]" } else { "]" });
        let grown = results.capacity() - before;
        let failed = failure.as_ref().map_or(0, RunFailure::memory_size)
            + finish.execution_error.as_ref().map_or(0, String::len);
        charge.hold(charge.bytes() + grown + failed);
        let report = Report {
            background,
            error: failure.map(|RunFailure { name, value, traceback }| Parts { name, traceback, value }),
            execution_error: finish.execution_error,
            execution_count: finish.execution_count,
            execution_time: finish.execution_time.unwrap_or(0.0),
            killed_by: finish.killed_by.as_ref().map(killed_by_json),
            reason: finish.reason.map(RunStatus::as_str),
            result: results,
            state_lost: finish.state_lost,
            stderr: own.stderr,
            stdout: own.stdout,
        };
        Ok(ToolAnswer::json(report, size + failed, false, charge))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::budget::Budget;

    fn read(collected: Collected) -> Value {
        let answer = collected.report(None, Finish::default()).expect("there is room");
        let answer: Value =
            serde_json::from_str(&serde_json::to_string(&answer).expect("it is written")).expect("JSON");
        serde_json::from_str(answer["content"][0]["text"].as_str().expect("a text")).expect("JSON")
    }

    #[test]
    fn pieces_of_a_byte_cost_a_byte() {
        const EACH: usize = 3 * MAX_CHUNK / 2;
        let mut collected = Collected::new(1 << 20, Budget::new(1 << 20).nothing());
        for _ in 0..EACH {
            for stream in [Stream::Stdout, Stream::Stderr] {
                collected.chunk(stream.into(), "x".to_owned());
                collected.chunk(Origin::background(stream), "y".to_owned());
            }
        }
        assert!(collected.charge.bytes() < 4 * EACH + 4 * MAX_CHUNK, "{:?}", collected.charge);
        let answer = read(collected);
        for (streams, letter) in [(&answer, "x"), (&answer["background"], "y")] {
            let chunks = json!([letter.repeat(MAX_CHUNK), letter.repeat(EACH - MAX_CHUNK)]);
            assert_eq!((&streams["stdout"], &streams["stderr"]), (&chunks, &chunks));
        }
    }

    #[test]
    fn results_count_by_what_is_told_of_them() {
        let mut collected = Collected::new(100, Budget::new(1 << 20).nothing());
        let mut named = MimeBundle::default();
        named.insert_text("text/plain", "a\n\"b\"");
        collected.result(&named, true);
        for _ in 0..100 {
            collected.result(&MimeBundle::default(), false);
        }
        assert!(collected.size <= 100, "{}", collected.size);
        let answer = read(collected);
        let empty = json!({ "isMainResult": false });
        assert_eq!(answer["result"], json!([{ "text/plain": "a\n\"b\"", "isMainResult": true }, empty, empty]));
        assert_eq!(
            answer["stderr"],
            json!(["[196 bytes of output are left out here; stream the run to get all of it]\n"])
        );
        assert_eq!(read(Collected::new(100, Budget::new(0).nothing()))["result"], json!([]));
    }

    #[test]
    fn what_has_no_room_is_let_go_of_and_told() {
        let budget = Budget::new(100_000);
        let mut collected = Collected::new(1 << 20, budget.nothing());
        collected.chunk(Stream::Stdout.into(), "x".repeat(60_000));
        assert!(budget.charge(50_000).is_err(), "it counts while the program runs");
        collected.chunk(Stream::Stderr.into(), "y".repeat(60_000));
        drop(budget.charge(100_000).expect("all of it was given back"));
        collected.chunk(Stream::Stdout.into(), "x".to_owned());
        collected.result(&MimeBundle::default(), false);
        assert_eq!(collected.report(None, Finish::default()).err().map(OverBudget::most), Some(100_000));
    }
}
