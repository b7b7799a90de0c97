//! A session on a test bench: it carries out what the session asks and keeps what came out.

use std::time::Duration;

use serde_json::{Value, json};

use crate::disconnect_reason::DisconnectReason;
use crate::io::{Capabilities, Event, Input, LinkId, OpenRequest, Output};
use crate::session::{Session, SessionConfig};
use crate::{Batch, Extensions, Instant, Language, Piece, RunEnd, RunId, RunRequest, Secret, Stream, StreamEvent};

/// A service of part 1.
pub(super) const NONE: Extensions = Extensions {
    resume: false,
    flow: false,
    cancel: false,
    stdin: false,
    stdin_seq: false,
    http: false,
    heartbeat: false,
    command: false,
};

pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) now: Instant,
    pub(super) link: Option<LinkId>,
    pub(super) request: Option<OpenRequest>,
    pub(super) sent: Vec<Value>,
    pub(super) pings: usize,
    pub(super) closed: Vec<(LinkId, u16)>,
    pub(super) events: Vec<Event>,
    pub(super) deadline: Option<Instant>,
    pub(super) read: bool,
}

/// What was read of a run.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) stdout: Vec<String>,
    pub(super) stderr: Vec<String>,
    pub(super) events: Vec<StreamEvent>,
    pub(super) end: Option<RunEnd>,
}

pub(super) fn at(milliseconds: u64) -> Instant {
    Instant::since_origin(Duration::from_millis(milliseconds))
}

pub(super) fn everything() -> Extensions {
    Extensions {
        resume: true,
        flow: true,
        cancel: true,
        stdin: true,
        stdin_seq: true,
        http: true,
        heartbeat: true,
        command: true,
    }
}

pub(super) fn config(extensions: Extensions) -> SessionConfig {
    SessionConfig { extensions, ..SessionConfig::new("wss://host/ws", Secret::new("t0ken")) }
}

pub(super) fn request() -> RunRequest {
    RunRequest { code: "print(1)".into(), language: Language::Python, timeout: Duration::from_secs(60), stdin: false }
}

impl Bench {
    pub(super) fn new(extensions: Extensions) -> Self {
        Self::with(config(extensions), Capabilities::NATIVE)
    }

    pub(super) fn with(config: SessionConfig, capabilities: Capabilities) -> Self {
        Self {
            session: Session::new(config, capabilities, 7),
            now: at(0),
            link: None,
            request: None,
            sent: vec![],
            pings: 0,
            closed: vec![],
            events: vec![],
            deadline: None,
            read: true,
        }
    }

    /// Changes the session and drains it.
    pub(super) fn with_session<T>(&mut self, change: impl FnOnce(&mut Session, Instant) -> T) -> T {
        let value = change(&mut self.session, self.now);
        for turn in 0.. {
            assert!(turn < 10_000, "the drain does not end");
            match self.session.poll_output() {
                Output::Open(link, request) => {
                    assert_eq!(self.link, None, "two sockets at once");
                    (self.link, self.request) = (Some(link), Some(request));
                }
                Output::Send(link, text) => {
                    assert_eq!(self.link, Some(link));
                    self.sent.push(serde_json::from_str(&text).expect("we send JSON"));
                    self.session.handle_input(self.now, link, Input::Backlog(0));
                }
                Output::Ping(link) => {
                    assert_eq!(self.link, Some(link));
                    self.pings += 1;
                }
                Output::Close(link, code) => {
                    assert_eq!(self.link.take(), Some(link));
                    self.closed.push((link, code));
                }
                Output::Event(event) => self.events.push(event),
                Output::Idle { deadline, read } => {
                    (self.deadline, self.read) = (deadline, read);
                    break;
                }
            }
        }
        value
    }

    pub(super) fn run(&mut self) -> RunId {
        self.with_session(|session, now| session.run(now, request())).expect("the session takes runs")
    }

    /// A run on an open connection, its start sent. Gives its id on the wire too.
    pub(super) fn started(&mut self) -> (RunId, String) {
        let id = self.run();
        if self.session.state() != crate::State::Open {
            self.open();
        }
        let invocation = self.session.invocation(id).expect("the run is live").to_owned();
        (id, invocation)
    }

    pub(super) fn open(&mut self) {
        self.input(Input::Opened);
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        let link = self.link.expect("a socket was asked for");
        if matches!(input, Input::Lost(_)) {
            self.link = None;
        }
        self.with_session(|session, now| session.handle_input(now, link, input));
    }

    pub(super) fn lose(&mut self) {
        self.input(Input::Lost(broken()));
    }

    pub(super) fn say(&mut self, invocation: &str, data: &Value) {
        let frame = json!({ "invocationId": invocation, "source": "s", "target": "SDK", "data": data });
        self.input(Input::Text(&frame.to_string()));
    }

    pub(super) fn chunk(&mut self, invocation: &str, seq: Option<u64>, text: &str) {
        let mut data = json!({ "phase": "event", "eventType": "stdout", "chunk": text });
        if let Some(seq) = seq {
            data["seq"] = json!(seq);
        }
        self.say(invocation, &data);
    }

    pub(super) fn finish(&mut self, invocation: &str) {
        self.say(
            invocation,
            &json!({ "phase": "end", "status": "finished", "executionCount": 1, "executionTime": 0.5 }),
        );
    }

    /// Lets time pass up to the next deadline.
    pub(super) fn pass(&mut self) {
        let deadline = self.deadline.expect("something is waited for");
        assert!(deadline > self.now, "a deadline that has passed would spin");
        self.now = deadline;
        self.with_session(|session, now| session.handle_timeout(now));
    }

    /// Lets time pass up to this moment, deadline by deadline.
    pub(super) fn pass_until(&mut self, until: Instant) {
        while self.deadline.is_some_and(|deadline| deadline <= until) {
            self.pass();
        }
        self.now = until;
    }

    /// The methods of the frames sent since the last call.
    pub(super) fn methods(&mut self) -> Vec<String> {
        let name = |frame: &Value| {
            let data = &frame["data"];
            match data["mode"].as_str() {
                Some(mode) => mode.to_owned(),
                None => data["method"].as_str().or(frame["type"].as_str()).unwrap_or("?").to_owned(),
            }
        };
        self.sent.drain(..).map(|frame| name(&frame)).collect()
    }

    /// Reads a run as far as it has come.
    pub(super) fn read(&mut self, id: RunId) -> Seen {
        let mut seen = Seen::default();
        while let Some(batch) = self.with_session(|session, now| session.read(now, id)) {
            assert!(seen.end.is_none(), "something behind the end");
            seen.take(&batch);
        }
        seen
    }
}

impl Seen {
    pub(super) fn take(&mut self, batch: &Batch) {
        for piece in batch.pieces() {
            match piece {
                Piece::Chunk(Stream::Stdout, text) => self.stdout.push(text.into()),
                Piece::Chunk(Stream::Stderr, text) => self.stderr.push(text.into()),
                Piece::Event(event) => self.events.push(event.clone()),
            }
        }
        self.end = batch.end().cloned();
    }
}

pub(super) fn broken() -> DisconnectReason {
    DisconnectReason::Broken("connection reset".into())
}
