//! What a service says over the WebSocket (wire part 1, WebSocket; part 2 for `seq` and our extra fields).

use std::borrow::Cow;

pub use super::origin::Origin;

use super::object::{Object, Value};
use super::text::Raw;
use crate::batch::Stream;
use crate::result::{KilledBy, RichResult, RunFailure, RunStatus};
use crate::run::{Finish, RemoteError, StreamEvent, Violation};

/// One message.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "the large one is the one that comes; it lives on the stack")]
pub enum Incoming<'a> {
    /// A message of the run with this id.
    Run {
        /// `invocationId`, or `requestId`, which services use as well.
        invocation: Cow<'a, str>,
        /// What it says beside.
        origin: Origin,
        /// What it says, if `invocation` is a live run.
        message: Message<'a>,
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
    /// The service has the run, and its program waits for its turn (ours): its time limit does not count yet.
    /// So much of its input has been taken, where the service says it.
    Accepted(Option<u64>),
    /// The program was started (ours): from here on its time limit counts. Likewise.
    Started(Option<u64>),
    /// The service has taken the input up to this number (ours).
    InputTaken(Option<u64>),
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
    if cfg!(feature = "fast-chunks")
        && let Some(found) = super::scan::chunk(text)
    {
        let message = Message::Chunk(found.stream, Text::Raw(found.chunk));
        return Incoming::Run { invocation: found.invocation.into(), origin: found.origin, message };
    }
    Object::parse(text).map_or(Incoming::Garbage, |envelope| parse_envelope(&envelope))
}

fn parse_envelope<'a>(envelope: &Object<'a>) -> Incoming<'a> {
    let Some(invocation) = envelope.string("invocationId").or_else(|| envelope.string("requestId")) else {
        return Incoming::NoRun;
    };
    with_data(envelope, |data| {
        let origin = data.map_or_else(Origin::default, Origin::parse);
        let message = data.map_or(Message::Violation(Violation::NoData), parse_data);
        Incoming::Run { invocation, origin, message }
    })
}

/// Reads `data`, which is an object or the text of one.
fn with_data<T>(envelope: &Object<'_>, read: impl FnOnce(Option<&Object<'_>>) -> T) -> T {
    let Some(data) = envelope.get("data") else { return read(None) };
    let quoted = data.as_str();
    read(quoted.as_deref().map_or_else(|| data.as_object(), Object::parse).as_ref())
}

fn parse_data(data: &Object<'_>) -> Message<'static> {
    // A non-empty string here ends the run, whatever else the message says.
    if let Some(message) = data.string("error") {
        return Message::Failed(message.into_owned());
    }
    let Some(phase) = data.get("phase").and_then(Value::as_str) else {
        return Message::Violation(Violation::NoPhase);
    };
    match &*phase {
        "event" => parse_event(data),
        "end" => Message::End(parse_end(data)),
        "error" => Message::Failed(failure_text(data)),
        unknown => Message::Violation(Violation::UnknownPhase(shorten(unknown))),
    }
}

fn parse_event(data: &Object<'_>) -> Message<'static> {
    let input = || data.get("inputSeq").and_then(Value::as_u64);
    let stream = match &*data.string("eventType").unwrap_or_default() {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        "accepted" => return Message::Accepted(input()),
        "started" => return Message::Started(input()),
        "inputTaken" => return Message::InputTaken(input()),
        "result" => return Message::Event(StreamEvent::Result(parse_result(data.get("result")))),
        "error" => return Message::Event(StreamEvent::Error(parse_error(data.get("error")))),
        "inputRefused" => {
            return Message::Event(StreamEvent::InputRefused { message: string(data, "message") });
        }
        "outputDropped" => {
            let bytes = data.get("bytes").and_then(Value::as_u64).unwrap_or(0);
            return Message::Event(StreamEvent::OutputDropped { bytes });
        }
        "inputRequest" => {
            let password = data.get("password").is_some_and(Value::is_true);
            return Message::Event(StreamEvent::InputRequest { prompt: string(data, "prompt"), password });
        }
        _ => return Message::Unknown,
    };
    match data.get("chunk").and_then(Value::as_str) {
        Some(chunk) => Message::Chunk(stream, Text::Read(chunk.into_owned())),
        None => Message::Violation(Violation::BadChunk),
    }
}

fn parse_result(result: Option<Value<'_>>) -> RichResult {
    let Some(result) = result.and_then(Value::as_object) else { return RichResult::default() };
    let is_main = result.get("isMainResult").is_some_and(Value::is_true);
    let mime = result.get("mime").and_then(Value::as_object).unwrap_or(result);
    let text = |name: &str| mime.get(name).map(|value| value.to_plain(""));
    RichResult::from_forms(text, |name| mime.get(name).map(document), is_main)
}

/// A JSON document as text. A service may send it as a value or as text already; a text that is neither an object nor a
/// list is a value itself.
fn document(value: Value<'_>) -> String {
    let quoted = value.as_str();
    let inner = quoted.as_deref().and_then(Value::parse);
    inner.map(Value::text).filter(|text| text.starts_with(['{', '['])).unwrap_or(value.text()).to_owned()
}

fn parse_error(error: Option<Value<'_>>) -> RemoteError {
    let Some(error) = error else { return RemoteError { message: "the run failed".into(), ..RemoteError::default() } };
    let Some(error) = error.as_object() else {
        return RemoteError { message: shorten(error.text()), ..RemoteError::default() };
    };
    let failure = error.get("name").map(|_| RunFailure {
        name: string(&error, "name"),
        value: string(&error, "value"),
        traceback: string(&error, "traceback"),
    });
    RemoteError {
        code: string(&error, "code"),
        message: string(&error, "message"),
        trace_id: string(&error, "traceId"),
        failure,
    }
}

fn parse_end(data: &Object<'_>) -> Finish {
    let text = |name| data.string(name).map(Cow::into_owned);
    Finish {
        failed: data.string("status").is_some_and(|status| status == "failed"),
        execution_count: data.get("executionCount").and_then(Value::as_u64),
        execution_time: data.get("executionTime").and_then(Value::as_f64),
        execution_error: text("executionError"),
        reason: data.string("reason").and_then(|word| RunStatus::parse(&word)),
        exit_code: data.get("exitCode").and_then(exit_code),
        killed_by: data.get("killedBy").and_then(Value::as_object).map(|object| parse_killed_by(&object)),
        state_lost: data.get("stateLost").is_some_and(Value::is_true),
        unconfirmed: data.get("unconfirmed").is_some_and(Value::is_true),
    }
}

fn parse_killed_by(object: &Object<'_>) -> KilledBy {
    KilledBy {
        exit_code: object.get("exitCode").and_then(exit_code),
        signal: object.string("signal").map(Cow::into_owned),
        out_of_memory: object.get("outOfMemory").is_some_and(Value::is_true),
    }
}

/// 0 to 255 where there are processes.
fn exit_code(value: Value<'_>) -> Option<i32> {
    value.as_u64().and_then(|code| i32::try_from(code).ok())
}

fn failure_text(data: &Object<'_>) -> String {
    let error = data.get("error").and_then(Value::as_object);
    let words = match &error {
        Some(error) => [string(error, "message"), string(error, "code")],
        None => [string(data, "message"), String::new()],
    };
    let words = words.into_iter().find(|words| !words.is_empty());
    words.unwrap_or_else(|| "the service reported an error without a message".into())
}

fn string(object: &Object<'_>, name: &str) -> String {
    object.get(name).map_or_else(String::new, |value| match value.as_str() {
        Some(text) => text.into_owned(),
        None => value.text().to_owned(),
    })
}

fn shorten(text: &str) -> String {
    text[..text.floor_char_boundary(100)].to_owned()
}

#[cfg(test)]
mod tests;
