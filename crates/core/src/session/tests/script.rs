//! A run's course, from its start to its end, and what is not of any run.

use serde_json::json;

use super::bench::{Bench, NONE, at, config, everything, request};
use crate::io::{Capabilities, Event, Input, State};
use crate::session::SessionConfig;
use crate::{Extensions, Rejected, RunError, RunRequest, StreamEvent, Violation};

#[test]
fn a_run_goes_to_its_end() {
    let mut bench = Bench::new(NONE);
    let (id, wire) = bench.started();
    assert_eq!(
        bench.sent,
        [json!({ "invocationId": wire, "source": "SDK", "target": "wuying_codespace", "data": {
            "method": "run_code", "mode": "stream",
            "params": { "language": "python", "timeoutS": 60, "code": "print(1)" } } })]
    );
    bench.chunk(&wire, None, "a");
    bench.say(&wire, &json!({ "phase": "event", "eventType": "stderr", "chunk": "b" }));
    bench.say(
        &wire,
        &json!({ "phase": "event", "eventType": "result",
        "result": { "mime": { "text/plain": "42" }, "isMainResult": true } }),
    );
    bench.finish(&wire);
    assert_eq!(bench.events.iter().filter(|event| matches!(event, Event::Readable(_))).count(), 1);
    let seen = bench.read(id);
    assert_eq!((seen.stdout, seen.stderr), (vec!["a".to_owned()], vec!["b".to_owned()]));
    let [StreamEvent::Result(result)] = &seen.events[..] else { panic!("{:?}", seen.events) };
    assert_eq!((result.text.as_deref(), result.is_main), (Some("42"), true));
    let finish = seen.end.expect("it ended").expect("it ended well");
    assert_eq!((finish.failed, finish.execution_count, finish.execution_time), (false, Some(1), Some(0.5)));
    assert_eq!(bench.read(id), super::bench::Seen::default());
}

#[test]
fn the_application_is_told_again_once_it_has_read_empty() {
    let mut bench = Bench::new(NONE);
    let (id, wire) = bench.started();
    let told = |bench: &Bench| bench.events.iter().filter(|event| **event == Event::Readable(id)).count();
    bench.chunk(&wire, None, "a");
    bench.chunk(&wire, None, "b");
    assert_eq!(told(&bench), 1);
    assert_eq!(bench.read(id).stdout, ["a", "b"]);
    bench.chunk(&wire, None, "c");
    assert_eq!(told(&bench), 2);
}

#[test]
fn runs_at_once_share_one_socket() {
    let mut bench = Bench::new(NONE);
    let (first, second) = (bench.run(), bench.run()); // a second Open would fail the bench
    bench.open();
    assert_eq!(bench.methods(), ["stream", "stream"]);
    for id in [second, first] {
        let wire = bench.session.invocation(id).unwrap().to_owned();
        bench.chunk(&wire, None, &wire.clone());
        assert_eq!(bench.read(id).stdout, [wire]);
    }
}

#[test]
fn a_run_that_waits_for_its_turn_is_waited_for_and_its_time_counts_from_its_start() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.say(&wire, &json!({ "phase": "event", "eventType": "accepted", "extensions": [], "seq": 1 }));
    for second in 1..=1_000 {
        bench.pass_until(at(second * 10_000));
        bench.input(Input::Alive);
    }
    // A lost connection changes nothing about that.
    bench.lose();
    bench.pass();
    bench.open();
    bench.pass_until(bench.now + std::time::Duration::from_secs(20));
    bench.input(Input::Alive);
    bench.say(&wire, &json!({ "phase": "event", "eventType": "started", "seq": 2 }));
    let started = bench.now;
    let mut end = None;
    while end.is_none() {
        bench.pass();
        if bench.link.is_some() {
            bench.input(Input::Alive);
        }
        end = bench.read(id).end;
    }
    assert_eq!(bench.now - started, std::time::Duration::from_millis(72_500), "and it was asked whether it is there");
    assert_eq!(end, Some(Err(RunError::TimedOut(std::time::Duration::from_secs(70)))));
    // And a server that dies meanwhile is noticed.
    let mut bench = Bench::new(everything());
    let (_, wire) = bench.started();
    bench.say(&wire, &json!({ "phase": "event", "eventType": "accepted", "extensions": [], "seq": 1 }));
    while bench.closed.is_empty() {
        bench.pass();
    }
    assert!(bench.now <= at(30_000), "{:?}", bench.now);
}

#[test]
fn the_time_limit_holds_even_if_the_service_forgets_it() {
    let mut bench = Bench::new(Extensions { cancel: true, ..NONE });
    let (id, wire) = bench.started();
    let mut end = None;
    while end.is_none() {
        bench.pass();
        bench.chunk(&wire, None, "."); // it talks, but does not end
        end = bench.read(id).end;
    }
    assert_eq!(bench.now, at(70_000));
    assert_eq!(end, Some(Err(RunError::TimedOut(std::time::Duration::from_secs(70)))));
    assert_eq!(bench.methods(), ["stream", "cancel"]);
}

#[test]
fn a_run_that_waits_behind_another_has_its_time_from_that_ones_end() {
    let mut bench = Bench::new(NONE);
    let ((_, first), (second, _)) = (bench.started(), bench.started());
    for now in [9_000, 18_000, 19_000] {
        bench.pass_until(at(now));
        bench.input(Input::Alive);
    }
    bench.finish(&first);
    while bench.session.invocation(second).is_some() {
        bench.pass();
        if bench.link.is_some() {
            bench.input(Input::Alive);
        }
    }
    assert_eq!(bench.now, at(19_000 + 70_000));
}

#[test]
fn nothing_is_handed_to_a_wire_that_is_full() {
    let mut bench = Bench::with(SessionConfig { backlog_high: 100, ..config(NONE) }, Capabilities::NATIVE);
    bench.started();
    bench.input(Input::Backlog(100));
    bench.run();
    assert_eq!(bench.methods(), ["stream"]);
    bench.input(Input::Backlog(99));
    assert_eq!(bench.methods(), ["stream"]);
}

#[test]
fn too_much_to_send_is_refused_and_not_run() {
    let mut bench = Bench::with(SessionConfig { unsent_limit: 300, ..config(NONE) }, Capabilities::NATIVE);
    bench.run();
    let refused =
        bench.with_session(|session, now| session.run(now, RunRequest { code: "x".repeat(300), ..request() }));
    assert_eq!(refused, Err(Rejected::Full { limit: 300 }));
}

#[test]
fn a_violation_ends_its_run_and_no_other() {
    let cases = [
        (json!({ "chunk": "x" }), Violation::NoPhase),
        (json!({ "phase": "later" }), Violation::UnknownPhase("later".into())),
        (json!({ "phase": "event", "eventType": "stdout", "chunk": 7 }), Violation::BadChunk),
        (json!(7), Violation::NoData),
    ];
    let mut bench = Bench::new(NONE);
    let (other, _) = bench.started();
    for (data, violation) in cases {
        let (id, wire) = bench.started();
        bench.say(&wire, &data);
        assert_eq!(bench.read(id).end, Some(Err(RunError::Protocol(violation))), "{data}");
    }
    let (id, wire) = bench.started();
    bench.input(Input::Text(&format!(
        r#"{{"invocationId":"{wire}","data":{{"phase":"event","eventType":"stdout","chunk":"\x"}}}}"#
    )));
    assert_eq!(bench.read(id).end, Some(Err(RunError::Protocol(Violation::BadChunk))));
    assert_eq!((bench.session.state(), bench.read(other).end), (State::Open, None));
}

#[test]
fn failures_that_the_service_reports_end_the_run() {
    for data in [
        json!({ "phase": "error", "error": "no such tool" }),
        json!({ "phase": "event", "eventType": "stdout", "chunk": "x", "error": "no such tool" }),
        json!({ "phase": "error", "error": { "message": "no such tool" } }),
    ] {
        let mut bench = Bench::new(NONE);
        let (id, wire) = bench.started();
        bench.say(&wire, &data);
        let end = bench.read(id).end;
        assert_eq!(end, Some(Err(RunError::Remote { message: "no such tool".into() })), "{data}");
    }
}

#[test]
fn what_belongs_to_no_run_is_nothing() {
    let mut bench = Bench::new(NONE);
    bench.started();
    bench.events.clear();
    bench
        .input(Input::Text(r#"{"invocationId":"elsewhere","source":"PTY","target":"SDK","data":{"method":"output"}}"#));
    bench.input(Input::Text(
        r#"{"invocationId":"other","source":"s","target":"t","data":{"phase":"event","eventType":"stdout","chunk":"c"}}"#,
    ));
    assert_eq!(bench.events, []);
}

#[test]
fn frames_without_an_id_and_rubbish_are_taken() {
    let mut bench = Bench::new(NONE);
    let (id, wire) = bench.started();
    for text in ["", "{", "null", "[]", "\"x\"", "7", "{}", r#"{"type":"pong"}"#, r#"{"invocationId":7}"#, "\u{0}"] {
        bench.input(Input::Text(text));
    }
    bench.finish(&wire);
    assert!(matches!(bench.read(id).end, Some(Ok(_))));
}

#[test]
fn closing_ends_everything_once() {
    let mut bench = Bench::new(everything());
    let (sent, _) = bench.started();
    let link = bench.link.unwrap();
    bench.with_session(|session, now| session.close(now));
    assert_eq!(bench.closed, [(link, 1000)]);
    assert_eq!(bench.read(sent).end, Some(Err(RunError::Closed)));
    let refused = bench.with_session(|session, now| session.run(now, request()));
    assert_eq!((refused, bench.deadline), (Err(Rejected::Closed), None));
    bench.with_session(|session, now| session.handle_input(now, link, Input::Text("{}")));
    assert_eq!(bench.session.state(), State::Closed);
}
