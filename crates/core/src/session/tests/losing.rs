//! Losing a connection and finding the run again; signs of life and silence.

use serde_json::json;

use super::bench::{Bench, NONE, at, broken, config, everything, request};
use crate::disconnect_reason::DisconnectReason;
use crate::io::{Capabilities, Input, State};
use crate::{RunError, RunRequest, StreamEvent, Violation};

#[test]
fn without_resume_a_lost_connection_ends_what_was_sent_and_only_that() {
    let mut bench = Bench::new(NONE);
    let (sent, wire) = bench.started();
    bench.chunk(&wire, None, "so far");
    bench.with_session(|session, _| session.backlog = usize::MAX); // the wire is full: the next start waits
    let waiting = bench.run();
    bench.lose();
    let seen = bench.read(sent);
    assert_eq!((seen.stdout, seen.end), (vec!["so far".into()], Some(Err(RunError::Interrupted(broken())))));
    assert_eq!(bench.read(waiting).end, None);
    bench.pass();
    bench.sent.clear();
    bench.open();
    assert_eq!(bench.methods(), ["stream"]);
    bench.finish(&wire);
    assert_eq!(bench.session.invocation(sent), None, "the end of a run that is over changes nothing");
}

#[test]
fn with_resume_a_run_is_found_again_and_nothing_comes_twice() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.chunk(&wire, Some(1), "a");
    bench.chunk(&wire, Some(2), "b");
    bench.lose();
    bench.pass();
    bench.sent.clear();
    bench.open();
    assert_eq!(
        bench.sent[0]["data"],
        json!({ "method": "run_code", "mode": "resume",
        "params": { "afterSeq": 2, "ackSeq": 0, "window": 1 << 20 } })
    );
    bench.chunk(&wire, Some(2), "b");
    bench.chunk(&wire, Some(3), "c");
    bench.say(&wire, &json!({ "phase": "end", "status": "finished", "seq": 4 }));
    let seen = bench.read(id);
    assert_eq!(seen.stdout, ["a", "b", "c"]);
    assert_eq!(seen.events, [StreamEvent::Interrupted(broken()), StreamEvent::Reconnected]);
    assert!(matches!(seen.end, Some(Ok(_))));
}

#[test]
fn a_connection_that_died_is_told_from_a_program_that_is_late() {
    let mut bench = Bench::new(everything());
    let short = RunRequest { timeout: std::time::Duration::from_secs(5), ..request() };
    let id = bench.with_session(|session, now| session.run(now, short)).expect("taken");
    bench.open();
    let wire = bench.session.invocation(id).expect("live").to_owned();
    bench.say(&wire, &json!({ "phase": "event", "eventType": "started", "seq": 1 }));
    bench.sent.clear();
    // The service ends the run within its time, and nothing of that gets through.
    while bench.link.is_some() {
        bench.pass();
    }
    assert!(bench.now <= at(18_000), "long before its silence would be noticed: {:?}", bench.now);
    while bench.link.is_none() {
        bench.pass();
    }
    bench.open();
    assert_eq!(bench.methods(), ["resume"]);
    bench.chunk(&wire, Some(2), "a");
    bench.say(&wire, &json!({ "phase": "end", "status": "finished", "seq": 3 }));
    let seen = bench.read(id);
    assert_eq!(seen.stdout, ["a"]);
    assert!(matches!(seen.end, Some(Ok(finish)) if !finish.failed));
}

#[test]
fn a_service_that_lives_and_never_speaks_of_the_run_is_not_waited_for() {
    let mut bench = Bench::new(everything());
    let long = RunRequest { timeout: std::time::Duration::from_secs(36_000), ..request() };
    let id = bench.with_session(|session, now| session.run(now, long)).expect("taken");
    bench.open();
    while bench.session.invocation(id).is_some() {
        bench.pass();
        bench.input(Input::Alive);
    }
    assert!(bench.now <= at(40_000), "{:?}", bench.now);
    assert!(matches!(bench.read(id).end, Some(Err(RunError::Interrupted(DisconnectReason::Broken(_))))));
}

#[test]
fn a_browser_notices_a_dead_service_where_its_heartbeat_is_answered() {
    let mut bench = Bench::with(config(everything()), Capabilities::BROWSER);
    let (id, wire) = bench.started();
    bench.say(&wire, &json!({ "phase": "event", "eventType": "accepted", "seq": 1 }));
    for minute in 1..=60 {
        // A hidden page's timer comes once a minute: late, but the answer to what it asked last has come.
        bench.now = at(minute * 60_000);
        bench.with_session(|session, now| session.handle_timeout(now));
        bench.input(Input::Text(r#"{"type":"pong"}"#));
    }
    assert_eq!((bench.closed.len(), bench.read(id).end), (0, None));
    let silent = bench.now;
    while bench.closed.is_empty() {
        bench.pass();
    }
    assert!(bench.now - silent <= std::time::Duration::from_secs(30));
}

#[test]
fn a_start_whose_answer_was_lost_is_said_again_with_the_same_id() {
    let mut bench = Bench::new(everything());
    let (_, wire) = bench.started();
    bench.lose();
    bench.pass();
    bench.open();
    let starts: Vec<_> = bench.sent.iter().filter(|frame| frame["data"]["mode"] == "stream").collect();
    assert_eq!(starts.len(), 2);
    assert!(starts.iter().all(|frame| frame["invocationId"] == wire.as_str()));
}

#[test]
fn an_interrupted_run_is_given_up_after_a_while() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.chunk(&wire, Some(1), "a");
    bench.lose();
    while bench.session.invocation(id).is_some() {
        if bench.link.is_some() { bench.lose() } else { bench.pass() }
    }
    assert_eq!(bench.now, at(30_000));
    assert_eq!(bench.read(id).end, Some(Err(RunError::Interrupted(broken()))));
}

#[test]
fn a_missing_number_is_no_end_but_an_error() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.chunk(&wire, Some(1), "a");
    bench.chunk(&wire, Some(3), "c");
    let violation = Violation::Gap { expected: 2, got: 3 };
    assert_eq!(bench.read(id).end, Some(Err(RunError::Protocol(violation))));
    assert_eq!(bench.methods(), ["stream", "cancel"]);
}

#[test]
fn a_half_open_connection_is_noticed() {
    let mut bench = Bench::new(NONE);
    let (id, _) = bench.started();
    bench.pass_until(at(24_999));
    assert_eq!((bench.pings, bench.session.state()), (2, State::Open));
    bench.pass_until(at(25_000));
    assert_eq!(bench.closed.len(), 1);
    assert!(matches!(bench.read(id).end, Some(Err(RunError::Interrupted(_)))));
}

#[test]
fn a_pong_is_a_sign_of_life_and_a_quiet_program_lives() {
    let mut bench = Bench::new(NONE);
    let request = RunRequest { timeout: std::time::Duration::from_secs(7_200), ..request() };
    let id = bench.with_session(|session, now| session.run(now, request)).unwrap();
    bench.open();
    for second in 1..=360 {
        bench.pass_until(at(second * 10_000));
        bench.input(Input::Alive);
    }
    assert_eq!((bench.session.state(), bench.read(id).end), (State::Open, None));
}

#[test]
fn a_browser_says_its_heartbeat_in_text_and_takes_silence_for_nothing() {
    let mut bench = Bench::with(config(NONE), Capabilities::BROWSER);
    bench.with_session(|session, now| session.connect(now));
    bench.open();
    bench.pass_until(at(100_000));
    assert_eq!(bench.methods(), vec!["ping"; 10]);
    assert_eq!((bench.pings, bench.session.state()), (0, State::Open));
}
