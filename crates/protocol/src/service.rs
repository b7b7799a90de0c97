//! The wire from the server's side: what clients ask, and the frames that answer.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use crate::command::{self, StartCommand, TerminalSize};
use crate::object::{Object, Value};
use crate::text::push_json_str;
use crate::{Finish, KilledBy, RunFailure, SDK, Stream};

/// One request of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Run code.
    Start {
        /// The run's id, made by the client.
        invocation: String,
        /// The tool server it is for.
        target: String,
        /// What to run, and how.
        start: StartRun,
    },
    /// Run a shell command (extension `command`).
    StartCommand {
        /// The run's id, made by the client.
        invocation: String,
        /// What to run, and how.
        start: StartCommand,
    },
    /// Send a signal to a command's process group.
    Signal {
        /// The run's id.
        invocation: String,
        /// The signal's name, such as `SIGTERM`.
        signal: String,
        /// Its number among the pieces of the run's input.
        seq: Option<u64>,
    },
    /// Change the size of a command's terminal.
    Resize {
        /// The run's id.
        invocation: String,
        /// The new size.
        size: TerminalSize,
        /// Its number among the pieces of the run's input.
        seq: Option<u64>,
    },
    /// Follow a run no longer, and let it go on.
    Leave {
        /// The run's id.
        invocation: String,
    },
    /// Interrupt a run.
    Cancel {
        /// The run's id.
        invocation: String,
    },
    /// Everything up to `seq` has been taken.
    Ack {
        /// The run's id.
        invocation: String,
        /// The number of the last event taken.
        seq: u64,
    },
    /// Input for a program.
    Stdin {
        /// The run's id.
        invocation: String,
        /// The text; `None` with an `eof` alone.
        data: Option<String>,
        /// No more will come.
        eof: bool,
        /// The piece's number in its run, from 1 (extension `stdinSeq`).
        seq: Option<u64>,
    },
    /// Continue a run that was begun on another connection.
    Resume {
        /// The run's id.
        invocation: String,
        /// The number of the last event the client has.
        after_seq: u64,
        /// The number of the last event that has been taken there. What lies between the two fills the window still.
        ack_seq: Option<u64>,
        /// A new window, bytes.
        window: Option<u64>,
    },
    /// `{"type":"ping"}`: to be taken, and not answered.
    Ping,
    /// A JSON object that is none of these.
    Unknown {
        /// The run it names, if it names one.
        invocation: Option<String>,
        /// What it asked for, shortened.
        what: String,
    },
}

/// The parameters of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartRun {
    /// As the client wrote it.
    pub language: String,
    /// The program.
    pub code: String,
    /// Seconds.
    pub timeout_s: Option<f64>,
    /// The client will come back for this run after a lost connection.
    pub resume: bool,
    /// How many bytes of chunks may be on their way un-acknowledged; `None` without the extension `flow`.
    pub window: Option<u64>,
    /// The client answers when the program asks for input.
    pub stdin: bool,
}

impl StartRun {
    /// Whether the client asked for any extension: then its events carry numbers.
    #[must_use]
    pub const fn is_extended(&self) -> bool {
        self.resume || self.window.is_some() || self.stdin
    }
}

/// The answer to `{"type":"ping"}`, for clients that asked for an extension.
pub const PONG: &str = r#"{"type":"pong"}"#;

/// A frame that is not a JSON object.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the frame is not a JSON object")]
pub struct Malformed;

/// Reads a client's text frame. Values that nobody needs stay text: a frame costs what it weighs.
///
/// # Errors
/// [`Malformed`] when it is not a JSON object.
pub fn parse_request(text: &str) -> Result<Request, Malformed> {
    let envelope = Object::parse(text).ok_or(Malformed)?;
    if envelope.string("type").as_deref() == Some("ping") {
        return Ok(Request::Ping);
    }
    let data = envelope.get("data");
    // The published protocol knows the object as a text as well.
    let quoted = data.and_then(Value::as_str);
    let data = quoted.as_deref().or(data.map(Value::text)).and_then(Object::parse);
    let target = envelope.string("target").unwrap_or_default();
    Ok(match envelope.string("invocationId").or_else(|| envelope.string("requestId")) {
        Some(invocation) => read_request(invocation.into_owned(), &target, data.as_ref()),
        None => Request::Unknown { invocation: None, what: what(data.as_ref()) },
    })
}

/// Reads the `data` of a client's message about a run; `None`: it is not an object.
#[must_use]
pub fn read_request(invocation: String, target: &str, data: Option<&Object<'_>>) -> Request {
    let unknown = |invocation| Request::Unknown { invocation: Some(invocation), what: what(data) };
    let Some(data) = data else { return unknown(invocation) };
    let field = |name| data.string(name).unwrap_or_default();
    let params = data.get("params").and_then(Value::as_object);
    let param = |name: &str| params.as_ref()?.get(name);
    let count = |name| param(name).and_then(Value::as_u64);
    match (field("method").as_ref(), field("mode").as_ref()) {
        ("run_code", "stream") => {
            Request::Start { invocation, target: target.to_owned(), start: read_start(params.as_ref()) }
        }
        ("run_code", "resume") => Request::Resume {
            invocation,
            after_seq: count("afterSeq").unwrap_or(0),
            ack_seq: count("ackSeq"),
            window: count("window"),
        },
        ("run_command", "stream") => Request::StartCommand { invocation, start: command::read_start(params.as_ref()) },
        ("signal", _) => match param("signal").and_then(Value::as_str) {
            Some(signal) => Request::Signal { invocation, signal: signal.into_owned(), seq: count("inputSeq") },
            None => unknown(invocation),
        },
        ("resize", _) => match params.as_ref().and_then(command::read_size) {
            Some(size) => Request::Resize { invocation, size, seq: count("inputSeq") },
            None => unknown(invocation),
        },
        ("leave", _) => Request::Leave { invocation },
        ("cancel", _) => Request::Cancel { invocation },
        ("ack", _) => match count("seq") {
            Some(seq) => Request::Ack { invocation, seq },
            None => unknown(invocation),
        },
        ("stdin", _) => Request::Stdin {
            invocation,
            data: param("data").and_then(Value::as_str).map(Cow::into_owned),
            eof: param("eof").is_some_and(Value::is_true),
            seq: count("inputSeq"),
        },
        _ => unknown(invocation),
    }
}

/// What a message asked for, shortened.
fn what(data: Option<&Object<'_>>) -> String {
    let field = |name| data.and_then(|data| data.string(name)).unwrap_or_default();
    [field("method"), field("mode")].join(" ").trim().chars().take(60).collect()
}

fn read_start(params: Option<&Object<'_>>) -> StartRun {
    let param = |name: &str| params?.get(name);
    let text = |name| param(name).and_then(Value::as_str).map(Cow::into_owned).unwrap_or_default();
    let flag = |name| param(name).is_some_and(Value::is_true);
    StartRun {
        language: text("language"),
        code: text("code"),
        // Seen as a number; a string of one is taken as well.
        timeout_s: param("timeoutS").and_then(|value| match value.as_str() {
            Some(text) => text.trim().parse().ok(),
            None => value.text().parse().ok(),
        }),
        resume: flag("resume"),
        window: param("window").and_then(Value::as_u64),
        stdin: flag("stdin"),
    }
}

/// What ended an interpreter, as a JSON object of what is known.
#[must_use]
pub fn killed_by_json(killed_by: &KilledBy) -> Json {
    let KilledBy { exit_code, signal, out_of_memory } = killed_by;
    let out_of_memory = out_of_memory.then_some(true);
    let fields = [("exitCode", json!(exit_code)), ("signal", json!(signal)), ("outOfMemory", json!(out_of_memory))];
    fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Makes the frames that answer one run.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The run's id.
    pub invocation: &'a str,
    /// The tool server that answers.
    pub source: &'a str,
    /// The event's number, for a client that asked for an extension.
    pub seq: Option<u64>,
    /// When it happened, in milliseconds since the Unix epoch, for such a client.
    pub time: Option<u64>,
}

impl Reply<'_> {
    /// A chunk of output.
    #[must_use]
    pub fn chunk(self, stream: Stream, chunk: &str) -> String {
        self.chunk_with(stream, chunk, "")
    }

    /// A chunk of output that was written before this run, by what earlier ones have left behind.
    #[must_use]
    pub fn background_chunk(self, stream: Stream, chunk: &str) -> String {
        self.chunk_with(stream, chunk, r#","background":true"#)
    }

    /// Written by hand: this is the frame that goes out a million times.
    fn chunk_with(self, stream: Stream, chunk: &str, more: &str) -> String {
        let mut frame = String::with_capacity(chunk.len() + chunk.len() / 16 + 192);
        frame.push_str(r#"{"invocationId":"#);
        push_json_str(&mut frame, self.invocation);
        frame.push_str(r#","source":"#);
        push_json_str(&mut frame, self.source);
        frame.push_str(match stream {
            Stream::Stdout => r#","target":"SDK","data":{"phase":"event","eventType":"stdout","chunk":"#,
            Stream::Stderr => r#","target":"SDK","data":{"phase":"event","eventType":"stderr","chunk":"#,
        });
        push_json_str(&mut frame, chunk);
        frame.push_str(more);
        for (name, number) in [(r#","seq":"#, self.seq), (r#","time":"#, self.time)] {
            if let Some(number) = number {
                frame.push_str(name);
                frame.push_str(&number.to_string());
            }
        }
        frame.push_str("}}");
        frame
    }

    /// The run was taken, and begins when its interpreter is free; lists what this server knows beyond part 1.
    #[must_use]
    pub fn accepted(self, extensions: &[&str]) -> String {
        self.event("accepted", &[("extensions", json!(extensions))])
    }

    /// The interpreter has the program: its time limit counts from here.
    #[must_use]
    pub fn started(self) -> String {
        self.event("started", &[])
    }

    /// Tells a subscriber that has come back that the run is here, and how much of its input has been taken: an
    /// [`accepted`](Self::accepted), or where the interpreter has the program a [`started`](Self::started).
    #[must_use]
    pub fn greeting(self, started: bool, extensions: &[&str], input: u64) -> String {
        let input = ("inputSeq", json!(input));
        if started {
            self.event("started", &[input])
        } else {
            self.event("accepted", &[("extensions", json!(extensions)), input])
        }
    }

    /// Input up to this number has been taken: it need not be kept any longer.
    #[must_use]
    pub fn input_taken(self, seq: u64) -> String {
        self.event("inputTaken", &[("inputSeq", json!(seq))])
    }

    /// A rich result: the JSON text of an object keyed by MIME type. It is not read: a program may have nested it.
    #[must_use]
    pub fn result(self, mime: &str, is_main: bool) -> String {
        const EMPTY: &str = r#""mime":{}"#; // inside of a string its quotes would be escaped
        let frame = self.event("result", &[("result", json!({ "mime": {}, "isMainResult": is_main }))]);
        frame.replacen(EMPTY, &format!(r#""mime":{mime}"#), 1)
    }

    /// A failure of the run; the end follows.
    #[must_use]
    pub fn error(self, code: &str, message: &str, trace_id: &str, failure: Option<&RunFailure>) -> String {
        let mut error = json!({ "code": code, "message": message, "traceId": trace_id });
        if let Some(failure) = failure {
            error["name"] = json!(failure.name);
            error["value"] = json!(failure.value);
            error["traceback"] = json!(failure.traceback);
        }
        self.event("error", &[("error", error)])
    }

    /// The program waits for input. A password is not to be shown where it is typed.
    #[must_use]
    pub fn input_request(self, prompt: &str, password: bool) -> String {
        let members = [("prompt", json!(prompt)), ("password", json!(true))];
        self.event("inputRequest", &members[..if password { 2 } else { 1 }])
    }

    /// Input was not taken.
    #[must_use]
    pub fn input_refused(self, message: &str) -> String {
        self.event("inputRefused", &[("message", json!(message))])
    }

    /// Output was not kept, since nobody took it and there was no room.
    #[must_use]
    pub fn output_dropped(self, bytes: u64) -> String {
        self.event("outputDropped", &[("bytes", json!(bytes))])
    }

    /// The server is about to end, and interrupts the run after so many seconds.
    #[must_use]
    pub fn ending(self, seconds: f64) -> String {
        self.event("serverEnding", &[("inSeconds", json!(seconds))])
    }

    /// The end.
    #[must_use]
    pub fn end(self, finish: &Finish) -> String {
        let mut data = json!({
            "phase": "end",
            "status": if finish.failed { "failed" } else { "finished" },
            "executionCount": finish.execution_count,
            "executionTime": finish.execution_time,
            "executionError": finish.execution_error,
        });
        if let Some(reason) = &finish.reason {
            data["reason"] = json!(reason.as_str());
        }
        if let Some(code) = finish.exit_code {
            data["exitCode"] = json!(code);
        }
        if let Some(killed_by) = &finish.killed_by {
            data["killedBy"] = killed_by_json(killed_by);
        }
        if finish.state_lost {
            data["stateLost"] = json!(true);
        }
        if finish.unconfirmed {
            data["unconfirmed"] = json!(true);
        }
        self.frame(data)
    }

    /// The run could not be had at all.
    #[must_use]
    pub fn failed(self, message: &str) -> String {
        self.frame(json!({ "phase": "error", "error": message }))
    }

    fn event(self, event_type: &str, fields: &[(&str, Json)]) -> String {
        let mut data = json!({ "phase": "event", "eventType": event_type });
        for (key, value) in fields {
            data[*key] = value.clone();
        }
        self.frame(data)
    }

    fn frame(self, mut data: Json) -> String {
        for (name, number) in [("seq", self.seq), ("time", self.time)] {
            if let Some(number) = number {
                data[name] = json!(number);
            }
        }
        json!({ "invocationId": self.invocation, "source": self.source, "target": SDK, "data": data }).to_string()
    }
}
