//! The way down from the WebSocket to event streams, and what holds all the while.

use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{at, broken, config, everything, request};
use crate::disconnect_reason::DisconnectReason;
use crate::io::{Capabilities, Input, LinkId, OpenRequest, Output};
use crate::session::{Session, SessionConfig};
use crate::{Instant, Piece, RunEnd, RunError, RunId, Stream, StreamEvent};

/// A session and all links that it has.
struct Rig {
    session: Session,
    now: Instant,
    links: Vec<(LinkId, OpenRequest)>,
    sent: Vec<(LinkId, Value)>,
    closed: Vec<LinkId>,
    deadline: Option<Instant>,
}

/// What was read of a run.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    text: String,
    marks: Vec<String>,
    end: Option<RunEnd>,
}

impl Rig {
    fn new() -> Self {
        Self::with(SessionConfig { link_url: Some("https://host/link/s".into()), ..config(everything()) })
    }

    fn with(config: SessionConfig) -> Self {
        Self {
            session: Session::new(config, Capabilities::NATIVE, 7),
            now: at(0),
            links: vec![],
            sent: vec![],
            closed: vec![],
            deadline: None,
        }
    }

    fn with_session<T>(&mut self, change: impl FnOnce(&mut Session, Instant) -> T) -> T {
        let value = change(&mut self.session, self.now);
        for turn in 0.. {
            assert!(turn < 1_000, "the drain does not end");
            match self.session.poll_output() {
                Output::Open(link, request) => self.links.push((link, request)),
                Output::Send(link, text) => {
                    assert!(self.links.iter().any(|(known, _)| *known == link), "sent on a dead link");
                    self.sent.push((link, serde_json::from_str(&text).expect("JSON")));
                }
                Output::Ping(_) | Output::Event(_) => {}
                Output::Close(link, _) => {
                    self.links.retain(|(known, _)| *known != link);
                    self.closed.push(link);
                }
                Output::Idle { deadline, .. } => {
                    self.deadline = deadline;
                    break;
                }
            }
        }
        value
    }

    fn run(&mut self) -> (RunId, String) {
        let id = self.with_session(|session, now| session.run(now, request())).expect("taken");
        (id, self.session.invocation(id).expect("live").to_owned())
    }

    fn input(&mut self, link: LinkId, input: Input<'_>) {
        if matches!(input, Input::Lost(_)) {
            self.links.retain(|(known, _)| *known != link);
        }
        self.with_session(|session, now| session.handle_input(now, link, input));
    }

    fn say(&mut self, link: LinkId, invocation: &str, data: &Value) {
        let frame = json!({ "invocationId": invocation, "source": "s", "target": "SDK", "data": data }).to_string();
        self.input(link, Input::Text(&frame));
    }

    fn chunk(&mut self, link: LinkId, invocation: &str, seq: u64, text: &str) {
        self.say(link, invocation, &json!({ "phase": "event", "eventType": "stdout", "chunk": text, "seq": seq }));
    }

    fn end(&mut self, link: LinkId, invocation: &str, seq: u64) {
        self.say(link, invocation, &json!({ "phase": "end", "status": "finished", "seq": seq }));
    }

    /// The one link that there is, once time has brought it.
    fn link(&mut self) -> (LinkId, OpenRequest) {
        while self.links.is_empty() {
            self.pass();
        }
        assert_eq!(self.links.len(), 1, "{:?}", self.links);
        self.links[0].clone()
    }

    fn pass(&mut self) {
        self.now = self.deadline.expect("something is waited for");
        self.with_session(|session, now| session.handle_timeout(now));
    }

    /// Lets WebSockets fail until there is an event stream.
    fn fall_back(&mut self) -> (LinkId, OpenRequest) {
        for _ in 0..2 {
            let (link, request) = self.link();
            assert!(request.events.is_none());
            self.input(link, Input::Lost(broken()));
        }
        let (link, request) = self.link();
        assert!(request.events.is_some());
        (link, request)
    }

    fn read(&mut self, id: RunId) -> Seen {
        let mut seen = Seen::default();
        while let Some(batch) = self.with_session(|session, now| session.read(now, id)) {
            for piece in batch.pieces() {
                match piece {
                    Piece::Chunk(Stream::Stdout, text) => seen.text.push_str(text),
                    Piece::Event(StreamEvent::Interrupted(loss)) => seen.marks.push(loss.code().into()),
                    Piece::Event(StreamEvent::Reconnected) => seen.marks.push("reconnected".into()),
                    other => panic!("{other:?}"),
                }
            }
            seen.end = batch.end().cloned();
        }
        seen
    }

    fn is_clean(&mut self) {
        self.with_session(|session, now| session.handle_timeout(now));
        assert!(self.session.streams.is_empty() && self.links.is_empty(), "{:?}", self.links);
        self.session.outbox.assert_sums();
        self.session.runs.assert_sums();
    }
}

#[test]
fn where_no_websocket_gets_through_the_run_has_an_event_stream() {
    let mut rig = Rig::new();
    let (id, wire) = rig.run();
    let (link, request) = rig.fall_back();
    let events = request.events.expect("a stream");
    assert_eq!(events.say, format!("https://host/link/s/runs/{wire}"));
    assert_eq!(request.url, format!("{}/events?afterSeq=0&ackSeq=0&window=1048576", events.say));
    assert_eq!(request.headers[0].0, "X-Access-Token");
    let first: Value = serde_json::from_str(&events.first.expect("the start")).expect("JSON");
    assert_eq!((&first["method"], &first["mode"]), (&json!("run_code"), &json!("stream")));
    assert_eq!((&first["params"]["code"], &first["params"]["resume"]), (&json!("print(1)"), &json!(true)));
    rig.input(link, Input::Opened);
    rig.chunk(link, &wire, 1, &"x".repeat(400_000));
    rig.chunk(link, &wire, 2, "y");
    assert_eq!(rig.read(id).text.len(), 400_001);
    assert_eq!(rig.sent, [(link, json!({ "method": "ack", "params": { "seq": 1 } }))], "without an envelope");
    rig.end(link, &wire, 3);
    let seen = rig.read(id);
    assert!(matches!(seen.end, Some(Ok(_))) && seen.marks.is_empty(), "{seen:?}");
    assert_eq!(rig.closed, [link]);
    rig.is_clean();
    // The next run does not try the WebSocket again; two have two streams.
    let (other, third) = (rig.run(), rig.run());
    assert!(rig.links.iter().all(|(_, request)| request.events.is_some()) && rig.links.len() == 2);
    let links = rig.links.clone();
    for ((link, _), (_, wire)) in links.iter().zip([&other, &third]) {
        rig.input(*link, Input::Opened);
        rig.end(*link, wire, 1);
    }
    assert!(rig.read(other.0).end.is_some() && rig.read(third.0).end.is_some());
    rig.is_clean();
}

#[test]
fn a_run_goes_on_where_the_websocket_left_it() {
    let mut rig = Rig::new();
    let (id, wire) = rig.run();
    let (socket, _) = rig.link();
    rig.input(socket, Input::Opened);
    for (seq, text) in [(1, "a"), (2, "b")] {
        rig.chunk(socket, &wire, seq, text);
    }
    rig.input(socket, Input::Lost(DisconnectReason::Closed { code: 1006, reason: String::new() }));
    let (link, request) = rig.fall_back_after_one();
    assert!(request.url.contains("afterSeq=2") && request.events.expect("a stream").first.is_none());
    rig.input(link, Input::Opened);
    for (seq, text) in [(2, "b"), (3, "c")] {
        rig.chunk(link, &wire, seq, text);
    }
    // The stream breaks, too, and is opened again.
    rig.input(link, Input::Lost(broken()));
    let (link, request) = rig.link();
    assert!(request.url.contains("afterSeq=3"), "{}", request.url);
    rig.input(link, Input::Opened);
    rig.end(link, &wire, 4);
    assert_eq!(rig.session.interruptions(id), 2);
    let seen = rig.read(id);
    assert_eq!(seen.text, "abc");
    assert_eq!(seen.marks, ["CONNECTION_BROKEN", "reconnected", "CONNECTION_BROKEN", "reconnected"]);
    assert!(matches!(seen.end, Some(Ok(_))));
    rig.is_clean();
}

impl Rig {
    /// As [`fall_back`](Self::fall_back), when one WebSocket has failed already.
    fn fall_back_after_one(&mut self) -> (LinkId, OpenRequest) {
        let (link, request) = self.link();
        assert!(request.events.is_none());
        self.input(link, Input::Lost(broken()));
        self.link()
    }
}

#[test]
fn a_run_from_elsewhere_is_stopped_also_before_its_stream_is_opened() {
    let mut rig = Rig::new();
    let (first, wire) = rig.run();
    let (link, _) = rig.fall_back();
    rig.input(link, Input::Opened);
    rig.end(link, &wire, 1);
    rig.read(first);
    rig.sent.clear();
    let id = rig.with_session(|session, now| {
        let id = session.attach(now, "elsewhere", 3).expect("nobody follows it");
        session.cancel(now, id);
        id
    });
    let (link, request) = rig.link();
    assert!(request.url.contains("afterSeq=3"), "{}", request.url);
    rig.input(link, Input::Opened);
    assert_eq!(rig.sent, [(link, json!({ "method": "cancel" }))]);
    rig.say(link, "elsewhere", &json!({ "phase": "end", "status": "failed", "reason": "cancelled", "seq": 4 }));
    assert_eq!(rig.read(id).end, Some(Err(RunError::Cancelled { state_lost: false })));
    rig.is_clean();
}

#[test]
fn a_refused_handshake_is_asked_for_elsewhere_at_once() {
    let mut rig = Rig::new();
    let (id, _) = rig.run();
    let (socket, _) = rig.link();
    rig.input(socket, Input::Lost(DisconnectReason::refused(403, "")));
    assert_eq!(rig.now, at(0));
    let (link, request) = rig.link();
    assert!(request.events.is_some());
    // There the service says it, too: then it is so.
    rig.input(link, Input::Lost(DisconnectReason::refused(401, "")));
    assert_eq!(rig.read(id).end, Some(Err(RunError::Unreachable(DisconnectReason::refused(401, "")))));
    rig.is_clean();
}

/// It may be running: nobody may be told that it is safe to run again.
#[test]
fn what_was_sent_before_is_not_undone_by_a_refusal() {
    // Sent over a WebSocket that broke before a word of it came.
    let mut rig = Rig::new();
    let (id, _) = rig.run();
    let (socket, _) = rig.link();
    rig.input(socket, Input::Opened);
    assert!(!rig.sent.is_empty());
    rig.input(socket, Input::Lost(broken()));
    let (link, _) = rig.fall_back_after_one();
    rig.input(link, Input::Lost(DisconnectReason::refused(404, "")));
    assert_eq!(rig.read(id).end, Some(Err(RunError::Interrupted(DisconnectReason::refused(404, "")))));
    rig.is_clean();
    // POSTed, and the answer was lost.
    let mut rig = Rig::new();
    let (id, _) = rig.run();
    let (link, _) = rig.fall_back();
    rig.input(link, Input::Lost(broken()));
    let (link, _) = rig.link();
    rig.input(link, Input::Lost(DisconnectReason::refused(401, "")));
    assert_eq!(rig.read(id).end, Some(Err(RunError::Interrupted(DisconnectReason::refused(401, "")))));
    rig.is_clean();
    // POSTed and taken, and the stream itself does not get through.
    let mut rig = Rig::new();
    let (id, _) = rig.run();
    let (link, _) = rig.fall_back();
    rig.input(link, Input::Alive);
    rig.input(link, Input::Lost(DisconnectReason::refused(403, "")));
    assert_eq!(rig.read(id).end, Some(Err(RunError::Interrupted(DisconnectReason::refused(403, "")))));
    rig.is_clean();
}

#[test]
fn without_the_extension_there_is_no_way_down() {
    let extensions = crate::Extensions { http: false, ..everything() };
    let mut rig = Rig::with(SessionConfig { link_url: Some("https://host/link/s".into()), ..config(extensions) });
    let (id, _) = rig.run();
    let mut attempts = 0;
    let end = loop {
        if let Some(end) = rig.read(id).end {
            break end;
        }
        match rig.links.first().cloned() {
            Some((link, request)) => {
                assert!(request.events.is_none());
                attempts += 1;
                rig.input(link, Input::Lost(broken()));
            }
            None => rig.pass(),
        }
    };
    assert!(attempts > 5);
    assert_eq!(end, Err(RunError::Unreachable(broken())));
}

#[test]
fn what_never_left_was_not_run_and_what_may_have_arrived_is_unknown() {
    let unreached = || DisconnectReason::Unreached("cannot connect".into());
    for (losses, expected) in
        [(vec![], Err(RunError::Unreachable(unreached()))), (vec![broken()], Err(RunError::Interrupted(unreached())))]
    {
        let mut rig = Rig::new();
        let (id, _) = rig.run();
        rig.fall_back();
        let mut losses = losses.into_iter();
        let end = loop {
            if let Some(end) = rig.read(id).end {
                break end;
            }
            match rig.links.first().cloned() {
                Some((link, request)) => {
                    assert!(request.events.expect("a stream").first.is_some(), "it is started as long as nothing came");
                    rig.input(link, Input::Lost(losses.next().unwrap_or_else(unreached)));
                }
                None => rig.pass(),
            }
        };
        assert_eq!(end, expected);
        assert!(rig.now <= at(40_000), "{:?}", rig.now);
        rig.is_clean();
    }
}

#[test]
fn a_service_that_has_forgotten_the_run_leaves_its_outcome_unknown() {
    let mut rig = Rig::new();
    let (id, wire) = rig.run();
    let (link, _) = rig.fall_back();
    rig.input(link, Input::Opened);
    rig.chunk(link, &wire, 1, "so far");
    rig.input(link, Input::Lost(broken()));
    let (link, _) = rig.link();
    rig.input(link, Input::Lost(DisconnectReason::refused(404, "")));
    let seen = rig.read(id);
    assert_eq!(seen.text, "so far");
    assert_eq!(seen.end, Some(Err(RunError::Interrupted(DisconnectReason::refused(404, "")))));
    // The same over a WebSocket.
    let mut rig = Rig::new();
    let (id, wire) = rig.run();
    let (socket, _) = rig.link();
    rig.input(socket, Input::Opened);
    rig.chunk(socket, &wire, 1, "so far");
    rig.input(socket, Input::Lost(broken()));
    let (socket, _) = rig.link();
    rig.input(socket, Input::Opened);
    rig.say(socket, &wire, &json!({ "phase": "error", "error": "there is no such run" }));
    let lost = DisconnectReason::Broken("there is no such run".into());
    assert_eq!(rig.read(id).end, Some(Err(RunError::Interrupted(lost))));
}

#[test]
fn cancelling_reaches_the_program_over_an_event_stream() {
    let mut rig = Rig::new();
    let (id, wire) = rig.run();
    let (link, _) = rig.fall_back();
    rig.input(link, Input::Opened);
    rig.chunk(link, &wire, 1, "a");
    rig.with_session(|session, now| session.cancel(now, id));
    assert_eq!(rig.sent, [(link, json!({ "method": "cancel" }))]);
    // It may have been lost: it is said again.
    rig.input(link, Input::Lost(broken()));
    let (link, _) = rig.link();
    rig.input(link, Input::Opened);
    assert_eq!(rig.sent.pop(), Some((link, json!({ "method": "cancel" }))));
    rig.say(link, &wire, &json!({ "phase": "end", "status": "failed", "reason": "cancelled", "seq": 2 }));
    assert_eq!(rig.read(id).end, Some(Err(RunError::Cancelled { state_lost: false })));
    rig.is_clean();
    // A run that nobody reads is stopped before its stream is closed.
    let (id, wire) = rig.run();
    let (link, _) = rig.link();
    rig.input(link, Input::Opened);
    rig.sent.clear();
    rig.with_session(|session, now| session.abandon(now, id));
    assert_eq!(rig.sent, [(link, json!({ "method": "cancel" }))]);
    // Also where the stream breaks before that is confirmed.
    rig.input(link, Input::Lost(broken()));
    let (link, _) = rig.link();
    rig.input(link, Input::Opened);
    assert_eq!(rig.sent.pop(), Some((link, json!({ "method": "cancel" }))));
    rig.say(link, &wire, &json!({ "phase": "end", "status": "failed", "reason": "cancelled", "seq": 1 }));
    rig.is_clean();
}

#[test]
fn a_quiet_event_stream_lives_by_its_comments_and_a_dead_one_is_noticed() {
    let mut rig = Rig::new();
    let (id, wire) = rig.run();
    let (link, _) = rig.fall_back();
    rig.input(link, Input::Opened);
    rig.say(link, &wire, &json!({ "phase": "event", "eventType": "accepted", "seq": 1 }));
    let began = rig.now;
    while rig.now < began + Duration::from_secs(3_600) {
        rig.now = rig.now + Duration::from_secs(10);
        rig.with_session(|session, now| session.handle_timeout(now));
        rig.input(link, Input::Alive);
    }
    assert_eq!(rig.read(id), Seen::default());
    let silent = rig.now;
    while rig.closed.is_empty() {
        rig.pass();
    }
    assert!(rig.now - silent <= Duration::from_secs(30));
    assert_eq!(rig.read(id).marks, ["CONNECTION_BROKEN"]);
    assert!(rig.link().1.url.contains("afterSeq=1"));
}

#[test]
fn closing_leaves_nothing() {
    let mut rig = Rig::new();
    let (id, _) = rig.run();
    let (link, _) = rig.fall_back();
    rig.input(link, Input::Opened);
    rig.with_session(|session, now| session.close(now));
    assert_eq!(rig.read(id).end, Some(Err(RunError::Closed)));
    assert_eq!((rig.closed.clone(), rig.deadline), (vec![link], None));
    rig.is_clean();
}
