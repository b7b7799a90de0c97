//! What a service says over the WebSocket (wire part 1, WebSocket; part 2 for `seq` and our extra fields).

use serde_json::{Map, Value};

use super::text::Raw;
use super::{SDK, scan};
use crate::batch::Stream;
use crate::io::Push;
use crate::json;
use crate::result::{RichResult, RunFailure};
use crate::run::{Finish, RemoteError, StreamEvent, Violation};

/// One message.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the one that comes a million times; it lives on the stack"
)]
pub enum Incoming<'a> {
    /// A message of the run with this id.
    Run {
        /// `invocationId`, or `requestId`, which services use as well.
        invocation: std::borrow::Cow<'a, str>,
        /// The message's number in its run, where the run has numbers.
        seq: Option<u64>,
        /// What it says, if `invocation` is a live run.
        message: Message<'a>,
        /// What it is if it is not.
        push: Option<Box<Push>>,
    },
    /// A message without an id: a heartbeat's answer, or the service's own affairs.
    NoRun,
    /// Not a JSON object.
    Garbage,
}

/// What a message of a run says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// Output; append it with [`Text::append_to`].
    Chunk(Stream, Text<'a>),
    /// A result, an error, a request for input.
    Event(StreamEvent),
    /// The program was started (ours): from here on its time limit counts.
    Started,
    /// An event that this client does not know. It counts as a sign of life and as a number.
    Unknown,
    /// The end.
    End(Finish),
    /// The run failed, in the service's words.
    Failed(String),
    /// The service broke the protocol.
    Violation(Violation),
}

/// A chunk's text, perhaps still escaped.
#[derive(Clone, Debug, PartialEq)]
pub enum Text<'a> {
    /// As on the wire.
    Raw(Raw<'a>),
    /// Read already.
    Read(String),
}

impl Text<'_> {
    /// Appends the text.
    ///
    /// # Errors
    /// [`Violation::BadChunk`] when the JSON string has an escape that JSON does not know.
    pub fn append_to(&self, out: &mut String) -> Result<(), Violation> {
        match self {
            Text::Raw(raw) => raw.append_to(out).map_err(|_| Violation::BadChunk),
            Text::Read(text) => {
                out.push_str(text);
                Ok(())
            }
        }
    }
}

/// Reads one text frame.
#[must_use]
pub fn parse(text: &str) -> Incoming<'_> {
    if let Some(found) = scan::chunk(text) {
        return Incoming::Run {
            invocation: found.invocation.into(),
            seq: found.seq,
            message: Message::Chunk(found.stream, Text::Raw(found.chunk)),
            push: None,
        };
    }
    match json::parse(text) {
        Some(Value::Object(envelope)) => parse_envelope(envelope),
        _ => Incoming::Garbage,
    }
}

/// Reads a message of no live run, also one that [`parse`] took for a chunk.
pub(crate) fn parse_push(text: &str) -> Option<Box<Push>> {
    match json::parse(text) {
        Some(Value::Object(envelope)) => match parse_envelope(envelope) {
            Incoming::Run { push, .. } => push,
            _ => None,
        },
        _ => None,
    }
}

fn parse_envelope(mut envelope: Map<String, Value>) -> Incoming<'static> {
    let id = ["invocationId", "requestId"].into_iter().find_map(|key| match envelope.get(key) {
        Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
        _ => None,
    });
    let Some(invocation) = id else { return Incoming::NoRun };
    let address = |key| envelope.get(key).and_then(Value::as_str).unwrap_or_default();
    let target = match address("target") {
        SDK | "" => address("source"),
        other => other,
    };
    let target = target.to_owned();
    let data = match envelope.remove("data") {
        Some(Value::Object(data)) => Some(data),
        Some(Value::String(text)) => match json::parse(&text) {
            Some(Value::Object(data)) => Some(data),
            _ => None,
        },
        _ => None,
    };
    let push = Some(Box::new(Push { target, data: data.as_ref().map_or_else(String::new, to_json) }));
    let seq = data.as_ref().and_then(|data| data.get("seq")).and_then(Value::as_u64);
    let message = data.map_or(Message::Violation(Violation::NoData), parse_data);
    Incoming::Run { invocation: invocation.into(), seq, message, push }
}

fn parse_data(mut data: Map<String, Value>) -> Message<'static> {
    // A non-empty string here ends the run, whatever else the message says.
    if let Some(Value::String(message)) = data.get("error")
        && !message.is_empty()
    {
        return Message::Failed(message.clone());
    }
    let phase = match data.get("phase") {
        Some(Value::String(phase)) => phase.as_str(),
        _ => return Message::Violation(Violation::NoPhase),
    };
    match phase {
        "event" => parse_event(&mut data),
        "end" => Message::End(parse_end(&data)),
        "error" => Message::Failed(failure_text(&data)),
        unknown => Message::Violation(Violation::UnknownPhase(shorten(unknown))),
    }
}

fn parse_event(data: &mut Map<String, Value>) -> Message<'static> {
    let stream = match data.get("eventType").and_then(Value::as_str).unwrap_or_default() {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        "started" => return Message::Started,
        "result" => return Message::Event(StreamEvent::Result(parse_result(data.get("result")))),
        "error" => return Message::Event(StreamEvent::Error(parse_error(data.get("error")))),
        "inputRequest" => return Message::Event(StreamEvent::InputRequest { prompt: string(data, "prompt") }),
        _ => return Message::Unknown,
    };
    match data.remove("chunk") {
        Some(Value::String(chunk)) => Message::Chunk(stream, Text::Read(chunk)),
        _ => Message::Violation(Violation::BadChunk),
    }
}

fn parse_result(result: Option<&Value>) -> RichResult {
    let Some(Value::Object(result)) = result else { return RichResult::default() };
    let is_main = result.get("isMainResult").and_then(Value::as_bool).unwrap_or(false);
    match result.get("mime") {
        Some(Value::Object(mime)) => RichResult::from_mime(mime, is_main),
        _ => RichResult::from_mime(result, is_main),
    }
}

fn parse_error(error: Option<&Value>) -> RemoteError {
    let error = match error {
        Some(Value::Object(error)) => error,
        Some(other) => return RemoteError { message: shorten(&other.to_string()), ..RemoteError::default() },
        None => return RemoteError { message: "the run failed".into(), ..RemoteError::default() },
    };
    let failure = error.contains_key("name").then(|| RunFailure {
        name: string(error, "name"),
        value: string(error, "value"),
        traceback: string(error, "traceback"),
    });
    RemoteError {
        code: string(error, "code"),
        message: string(error, "message"),
        trace_id: string(error, "traceId"),
        failure,
    }
}

fn parse_end(data: &Map<String, Value>) -> Finish {
    let text = |key| match data.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    Finish {
        failed: data.get("status").and_then(Value::as_str) == Some("failed"),
        execution_count: data.get("executionCount").and_then(Value::as_u64),
        execution_time: data.get("executionTime").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0),
        execution_error: text("executionError"),
        reason: text("reason"),
        state_lost: data.get("stateLost").and_then(Value::as_bool).unwrap_or(false),
    }
}

fn failure_text(data: &Map<String, Value>) -> String {
    match data.get("error") {
        Some(Value::Object(error)) => {
            let message = string(error, "message");
            if message.is_empty() { string(error, "code") } else { message }
        }
        _ => match string(data, "message") {
            message if message.is_empty() => "the service reported an error without a message".into(),
            message => message,
        },
    }
}

fn string(data: &Map<String, Value>, key: &str) -> String {
    match data.get(key) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

fn to_json(data: &Map<String, Value>) -> String {
    serde_json::to_string(data).unwrap_or_default()
}

#[cfg(test)]
mod tests;
