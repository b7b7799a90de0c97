//! Input for programs, over connections that break.

use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Bench, at, broken, config, everything};
use crate::io::{Capabilities, Input};
use crate::session::SessionConfig;
use crate::{Extensions, RunId, StreamEvent};

impl Bench {
    fn write(&mut self, id: RunId, text: impl Into<Option<&'static str>>) {
        let text = text.into();
        self.with_session(|session, now| session.write(now, id, text));
    }

    fn taken(&mut self, wire: &str, seq: u64) {
        self.say(wire, &json!({ "phase": "event", "eventType": "inputTaken", "inputSeq": seq }));
    }

    /// What of the input was said since the last call: its numbers and its text, or `null`.
    fn said(&mut self) -> Vec<(Value, Value)> {
        let sent = std::mem::take(&mut self.sent);
        let input =
            sent.iter().map(|frame| frame.get("data").unwrap_or(frame)).filter(|data| data["method"] == "stdin");
        input.map(|data| (data["params"]["inputSeq"].clone(), data["params"]["data"].clone())).collect()
    }

    fn come_back(&mut self) {
        self.lose();
        self.reopen();
    }

    fn reopen(&mut self) {
        while self.link.is_none() {
            self.now = self.deadline.expect("it comes back");
            self.with_session(|session, now| session.handle_timeout(now));
        }
        self.open();
    }
}

fn piece(seq: u64, text: &str) -> (Value, Value) {
    (json!(seq), json!(text))
}

#[test]
fn input_is_said_again_until_the_service_has_it() {
    let mut bench = Bench::new(everything());
    let id = bench.run();
    let wire = bench.session.invocation(id).expect("live").to_owned();
    bench.write(id, "a");
    bench.lose(); // no connection yet
    bench.reopen();
    bench.write(id, "b");
    assert_eq!(bench.said(), [piece(1, "a"), piece(2, "b")]);
    bench.say(&wire, &json!({ "phase": "event", "eventType": "accepted", "seq": 1 }));
    bench.taken(&wire, 1);
    bench.lose();
    bench.write(id, "c");
    assert_eq!(bench.said(), []);
    bench.reopen();
    bench.write(id, None);
    assert_eq!(bench.said(), [piece(2, "b"), piece(3, "c"), (json!(4), Value::Null)]);
    bench.write(id, "behind the end");
    bench.say(&wire, &json!({ "phase": "event", "eventType": "started", "inputSeq": 3 }));
    bench.come_back();
    assert_eq!(bench.said(), [(json!(4), Value::Null)]);
    for nonsense in [2, 4, u64::MAX] {
        bench.taken(&wire, nonsense);
    }
    bench.come_back();
    assert_eq!(bench.said(), []);
}

#[test]
fn input_that_is_not_taken_is_bounded() {
    let mut bench = Bench::with(SessionConfig { input_limit: 300, ..config(everything()) }, Capabilities::NATIVE);
    let (id, wire) = bench.started();
    let text = "123456789 123456789 123456789 123456789 ";
    for _ in 0..4 {
        bench.write(id, text);
    }
    assert_eq!(bench.said().len(), 2);
    let events = bench.read(id).events;
    assert_eq!(events.len(), 2, "{events:?}");
    let (code, words) = events[0].warning().expect("it was left out");
    assert!(code == "INPUT_REFUSED" && words.contains("300 bytes"), "{words}");
    bench.taken(&wire, 1);
    bench.write(id, "there is room");
    bench.write(id, None); // the end needs none
    assert_eq!(bench.said(), [piece(3, "there is room"), (json!(4), Value::Null)]);
}

#[test]
fn input_for_a_run_from_elsewhere_waits_for_its_number() {
    let mut bench = Bench::new(everything());
    let id = bench.with_session(|session, now| session.attach(now, "wire", 7)).expect("it can");
    bench.open();
    bench.write(id, "a");
    assert_eq!(bench.said(), []);
    bench.say("wire", &json!({ "phase": "event", "eventType": "started", "inputSeq": 4 }));
    bench.write(id, "b");
    assert_eq!(bench.said(), [piece(5, "a"), piece(6, "b")]);
}

#[test]
fn where_input_has_no_numbers_a_cut_is_told_of_once() {
    let mut bench = Bench::new(Extensions { stdin_seq: false, ..everything() });
    let (id, _) = bench.started();
    bench.come_back();
    assert!(!bench.read(id).events.contains(&StreamEvent::InputUncertain), "there was none");
    bench.write(id, "a");
    assert_eq!(bench.said(), [(Value::Null, json!("a"))]);
    bench.lose();
    bench.write(id, "b");
    bench.reopen();
    // What was never said is, and what may have arrived is not said twice.
    assert_eq!(bench.said(), [(Value::Null, json!("b"))]);
    bench.come_back();
    bench.come_back();
    let events = bench.read(id).events;
    assert_eq!(events.iter().filter(|event| **event == StreamEvent::InputUncertain).count(), 2, "{events:?}");
    assert_eq!(StreamEvent::InputUncertain.warning().map(|(code, _)| code), Some("INPUT_UNCERTAIN"));
}

#[test]
fn input_follows_its_run_to_event_streams() {
    let config = SessionConfig { link_url: Some("https://host/link".into()), ..config(everything()) };
    let mut bench = Bench::with(config, Capabilities::NATIVE);
    let (id, wire) = bench.started();
    bench.write(id, "a");
    bench.write(id, "b");
    bench.taken(&wire, 1);
    assert_eq!(bench.said().len(), 2);
    bench.lose();
    while bench.request.as_ref().is_none_or(|request| request.events.is_none()) {
        bench.now = bench.deadline.unwrap_or(at(0)).max(bench.now + Duration::from_millis(1));
        bench.with_session(|session, now| session.handle_timeout(now));
        if bench.link.is_some() && bench.request.as_ref().is_some_and(|request| request.events.is_none()) {
            bench.input(Input::Lost(broken()));
        }
    }
    bench.write(id, "c"); // before the stream is open
    assert_eq!(bench.said(), []);
    bench.open();
    assert_eq!(bench.said(), [piece(2, "b"), piece(3, "c")]);
    bench.taken(&wire, 2);
    bench.come_back();
    assert_eq!(bench.said(), [piece(3, "c")]);
}

#[test]
fn input_is_passed_on_where_the_service_takes_it() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.say(&wire, &json!({ "phase": "event", "eventType": "inputRequest", "prompt": "name? ", "seq": 1 }));
    assert_eq!(bench.read(id).events, [StreamEvent::InputRequest { prompt: "name? ".into(), password: false }]);
    let asks = json!({ "phase": "event", "eventType": "inputRequest", "prompt": "key? ", "password": true, "seq": 2 });
    bench.say(&wire, &asks);
    assert_eq!(bench.read(id).events, [StreamEvent::InputRequest { prompt: "key? ".into(), password: true }]);
    bench.sent.clear();
    bench.with_session(|session, now| session.write(now, id, Some("Ada\n")));
    bench.with_session(|session, now| session.write(now, id, None));
    let data: Vec<_> = bench.sent.iter().map(|frame| frame["data"].clone()).collect();
    assert_eq!(
        data,
        [
            json!({ "method": "stdin", "params": { "data": "Ada\n", "inputSeq": 1 } }),
            json!({ "method": "stdin", "params": { "eof": true, "inputSeq": 2 } })
        ]
    );
}

#[test]
fn refused_input_is_told_of_and_the_run_goes_on() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.say(&wire, &json!({ "phase": "event", "eventType": "inputRefused", "message": "too much", "seq": 1 }));
    let seen = bench.read(id);
    assert_eq!(seen.events, [StreamEvent::InputRefused { message: "too much".into() }]);
    assert_eq!(seen.events[0].warning(), Some(("INPUT_REFUSED", "too much".into())));
    assert_eq!(seen.end, None);
}
