//! What reading and not reading do to the service and to the run.

use serde_json::json;

use super::bench::{Bench, NONE, at, config, everything};
use crate::RunError;
use crate::io::{Capabilities, Input, State};
use crate::session::SessionConfig;

#[test]
fn what_an_application_has_it_may_still_die_over() {
    let mut bench = Bench::with(SessionConfig { window: 8, ..config(everything()) }, Capabilities::NATIVE);
    let (id, wire) = bench.started();
    let read = |bench: &mut Bench| bench.with_session(|session, now| session.read(now, id));
    let acks = |bench: &mut Bench| {
        let acks = bench.sent.drain(..).filter(|frame| frame["data"]["method"] == json!("ack"));
        acks.map(|frame| frame["data"]["params"]["seq"].clone()).collect::<Vec<_>>()
    };
    bench.chunk(&wire, Some(1), "abc");
    assert!(read(&mut bench).is_some());
    bench.chunk(&wire, Some(2), "def");
    assert_eq!(acks(&mut bench), [json!(null); 0], "it has the first one, and has not dealt with it");
    assert!(read(&mut bench).is_some());
    assert_eq!(acks(&mut bench), [1]);
    // Nor is the last one forgotten that it got, whatever was in it.
    bench.say(&wire, &json!({ "phase": "end", "status": "finished", "seq": 3 }));
    assert!(read(&mut bench).is_some_and(|batch| batch.end().is_some()));
    assert_eq!(read(&mut bench), None);
    assert_eq!(acks(&mut bench), [json!(null); 0]);
    // Who reads ahead says it by himself.
    let (id, wire) = bench.started();
    bench.sent.clear();
    bench.chunk(&wire, Some(1), "abc");
    for _ in 0..3 {
        bench.with_session(|session, now| session.read_ahead(now, id));
    }
    assert_eq!(acks(&mut bench), [json!(null); 0]);
    bench.with_session(|session, now| session.ack(now, id, 3, 1));
    assert_eq!(acks(&mut bench), [1]);
}

#[test]
fn who_does_not_read_makes_no_run_late() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.say(&wire, &json!({ "phase": "event", "eventType": "started", "seq": 1 }));
    bench.chunk(&wire, Some(2), "a");
    while bench.now < at(1_000_000) {
        bench.pass();
        bench.input(Input::Alive);
    }
    let seen = bench.read(id);
    assert_eq!((seen.stdout, seen.end), (vec!["a".to_owned()], None), "its program may wait for this very reader");
    while bench.session.invocation(id).is_some() {
        bench.pass();
        bench.input(Input::Alive);
    }
    assert!(bench.now < at(1_030_000));
    assert!(matches!(bench.read(id).end, Some(Err(RunError::TimedOut(_)))));
}

/// A frame that no connection carries whole, say: the run would never be late.
#[test]
fn connections_that_bring_nothing_make_no_run_younger() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.say(&wire, &json!({ "phase": "event", "eventType": "started", "seq": 1 }));
    bench.say(&wire, &json!({ "phase": "event", "eventType": "someday", "seq": 2 }));
    let mut lost = 0;
    while bench.read(id).end.is_none() {
        assert!(bench.now < at(130_000), "60 s, the grace, and what a last connection may take to bring the end");
        bench.pass_until(bench.now + std::time::Duration::from_secs(7));
        if bench.session.state() == State::Open {
            bench.lose();
            lost += 1;
        } else if bench.link.is_some() {
            bench.open();
        }
    }
    assert!(bench.now > at(70_000) && lost > 3);
}

/// It may have come to its end meanwhile: that has the time to arrive.
#[test]
fn a_run_that_was_late_while_nobody_was_there_is_heard_out() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.say(&wire, &json!({ "phase": "event", "eventType": "started", "seq": 1 }));
    bench.pass_until(at(5_000));
    bench.lose();
    bench.pass_until(at(5_500));
    bench.open();
    for seconds in 1..=13 {
        bench.pass_until(at(5_000 * seconds + 500));
        bench.input(Input::Alive);
    }
    bench.lose();
    bench.pass_until(at(74_000));
    bench.open();
    bench.pass_until(at(80_000));
    bench.say(&wire, &json!({ "phase": "end", "status": "finished", "seq": 2 }));
    assert!(matches!(bench.read(id).end, Some(Ok(_))));
}

#[test]
fn reading_is_what_opens_the_window() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    let piece = "x".repeat(64 * 1024);
    for seq in 1..=16 {
        bench.chunk(&wire, Some(seq), &piece);
    }
    assert_eq!(bench.methods(), ["stream"], "nothing was read, nothing is acknowledged");
    bench.read(id);
    let acks: Vec<_> = bench.sent.iter().map(|frame| frame["data"]["params"]["seq"].clone()).collect();
    assert_eq!(acks, [4, 8, 12, 16]);
}

/// A service keeps all of it until then, and lets the program wait once it is too much.
#[test]
fn whatever_it_is_that_was_taken_is_acknowledged() {
    let config = SessionConfig { window: 16 << 20, ..config(everything()) };
    let read = |bench: &mut Bench, id| while bench.with_session(|session, now| session.read(now, id)).is_some() {};
    let acks = |bench: &mut Bench| {
        let acks = bench.sent.drain(..).filter(|frame| frame["data"]["method"] == json!("ack"));
        acks.map(|frame| frame["data"]["params"]["seq"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    let html = json!({ "mime": { "text/html": "x".repeat(60_000) } });
    let error = json!({ "name": "E", "value": "x".repeat(60_000) });
    let texts = [
        json!({ "phase": "event", "eventType": "result", "result": html }),
        json!({ "phase": "event", "eventType": "error", "error": error }),
        json!({ "phase": "event", "eventType": "stdout", "chunk": "x".repeat(60_000) }),
        json!({ "phase": "event", "eventType": "stderr", "chunk": "." }),
        json!({ "phase": "event", "eventType": "someday" }),
    ];
    for (mut event, most) in texts.into_iter().zip([5, 5, 5, 4_096, 4_096]) {
        let mut bench = Bench::with(config.clone(), Capabilities::NATIVE);
        let (id, wire) = bench.started();
        let mut acked = vec![];
        for seq in 1..=2 * most {
            event["seq"] = json!(seq);
            bench.say(&wire, &event);
            read(&mut bench, id);
            acked.extend(acks(&mut bench));
        }
        assert_eq!(acked.len(), 2, "{} of {most} each: {acked:?}", event["eventType"]);
    }
}

#[test]
fn unread_output_pauses_the_socket_and_reading_resumes_it() {
    let mut bench = Bench::new(NONE);
    let (id, wire) = bench.started();
    let piece = "x".repeat(1 << 20);
    for _ in 0..4 {
        bench.chunk(&wire, None, &piece);
    }
    assert!(bench.read, "exactly the limit is not above it");
    bench.chunk(&wire, None, "x");
    assert!(!bench.read);
    bench.pass_until(at(60_000)); // a minute without reading is not the peer's silence
    assert_eq!(bench.session.state(), State::Open);
    while !bench.read {
        let unread = bench.session.runs.unread();
        assert!(unread > 1 << 20, "resumes no later than at the lower mark");
        bench.with_session(|session, now| session.read(now, id)).expect("there is more");
    }
    assert!(bench.session.runs.unread() <= 1 << 20);
}

#[test]
fn a_slow_reader_does_not_pause_the_socket_of_a_service_with_windows() {
    let mut bench = Bench::new(everything());
    let ((_, slow), (quick, wire)) = (bench.started(), bench.started());
    let piece = "x".repeat(1 << 20);
    bench.chunk(&slow, Some(1), &piece);
    assert!(bench.read);
    bench.chunk(&wire, Some(1), "quick");
    assert_eq!(bench.read(quick).stdout, ["quick"]);
}

#[test]
fn what_cannot_be_paused_overflows_honestly_and_exactly_at_the_limit() {
    let limits = SessionConfig { unread_limit: 1_000, ..config(NONE) };
    let mut bench = Bench::with(limits, Capabilities::BROWSER);
    let (id, wire) = bench.started();
    bench.chunk(&wire, None, &"x".repeat(1_000));
    assert!(bench.session.invocation(id).is_some(), "exactly the limit is not above it");
    bench.chunk(&wire, None, "x");
    let seen = bench.read(id);
    assert_eq!(seen.stdout.concat().len(), 1_001, "what came is kept");
    assert_eq!(seen.end, Some(Err(RunError::Overflow { limit: 1_000 })));
}
