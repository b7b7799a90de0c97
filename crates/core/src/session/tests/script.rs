//! Each rule of the protocol and of the contract, one by one.

use serde_json::json;

use super::bench::{Bench, NONE, at, broken, config, everything, request};
use crate::io::{Capabilities, DisconnectReason, Event, Input, State};
use crate::session::SessionConfig;
use crate::{Extensions, Rejected, RunError, RunRequest, Secret, StreamEvent, Violation};

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
fn the_token_goes_into_a_header_or_a_sub_protocol_and_nowhere_else() {
    let mut native = Bench::new(NONE);
    native.run();
    let request = native.request.clone().unwrap();
    assert_eq!(request.headers, [("X-Access-Token", Secret::new("t0ken"))]);
    assert!(request.protocols.is_empty() && !request.url.contains("t0ken"));
    let mut browser = Bench::with(config(NONE), Capabilities::BROWSER);
    browser.run();
    let request = browser.request.clone().unwrap();
    assert_eq!(request.protocols, [Secret::new("agb.v1"), Secret::new("agb.token.t0ken")]);
    assert!(request.headers.is_empty() && !request.url.contains("t0ken"));
    assert!(!format!("{native:?}{request:?}", native = native.session).contains("t0ken"));
}

#[test]
fn nothing_listens_and_the_code_was_not_run() {
    let mut bench = Bench::new(NONE);
    let id = bench.run();
    let mut dials = 0;
    while bench.read(id).end.is_none_or(|end| {
        assert_eq!(end, Err(RunError::Unreachable(broken())));
        false
    }) {
        if bench.link.is_some() {
            dials += 1;
            bench.lose();
        } else {
            bench.pass();
        }
    }
    assert_eq!(bench.now, at(30_000));
    assert!((8..30).contains(&dials), "{dials} attempts");
    assert_eq!(bench.session.state(), State::Idle, "nobody wants a connection any more");
    assert_eq!(bench.deadline, None);
}

#[test]
fn waits_between_attempts_grow_and_are_bounded() {
    let mut bench = Bench::new(NONE);
    bench.run();
    let mut waits = vec![];
    for _ in 0..6 {
        bench.lose();
        let lost = bench.now;
        bench.pass();
        waits.push((bench.now - lost).as_millis());
    }
    let bases = [500.0_f64, 750.0, 1125.0, 1687.5, 2531.0, 3796.0];
    for (wait, base) in waits.iter().zip(bases) {
        assert!((0.5 * base..=(1.5 * base).min(5_000.0)).contains(&(*wait as f64)), "{waits:?}");
    }
}

#[test]
fn a_refusal_is_final() {
    for loss in [
        DisconnectReason::Refused { status: 401 },
        DisconnectReason::Refused { status: 404 },
        DisconnectReason::Closed { code: 4403, reason: "scope".into() },
    ] {
        let mut bench = Bench::new(everything());
        let id = bench.run();
        bench.input(Input::Lost(loss.clone()));
        assert_eq!(bench.read(id).end, Some(Err(RunError::Unreachable(loss))));
        assert_eq!(bench.deadline, None, "no further attempt");
    }
    let mut bench = Bench::new(NONE);
    let id = bench.run();
    bench.input(Input::Lost(DisconnectReason::Refused { status: 503 }));
    assert_eq!(bench.read(id).end, None, "a busy server is asked again");
}

#[test]
fn where_handshakes_are_swallowed_nobody_waits_for_a_third() {
    let mut bench = Bench::new(Extensions { http: false, ..everything() });
    let id = bench.run();
    for _ in 0..3 {
        assert_eq!(bench.read(id).end, None);
        bench.pass(); // no answer, the wait, no answer
    }
    assert!(bench.now < at(22_000), "{:?}", bench.now);
    assert!(matches!(bench.read(id).end, Some(Err(RunError::Unreachable(_)))));
    assert_eq!(bench.deadline, None, "no further attempt");
}

#[test]
fn a_handshake_takes_no_longer_than_its_limit() {
    let mut bench = Bench::new(NONE);
    bench.run();
    bench.pass();
    assert_eq!((bench.now, bench.closed.len()), (at(10_000), 1));
    assert_eq!(bench.session.state(), State::Waiting { attempt: 1 });
}

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

#[test]
fn input_is_passed_on_where_the_service_takes_it() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.say(&wire, &json!({ "phase": "event", "eventType": "inputRequest", "prompt": "name? ", "seq": 1 }));
    assert_eq!(bench.read(id).events, [StreamEvent::InputRequest { prompt: "name? ".into() }]);
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

#[test]
fn a_run_that_was_begun_elsewhere_is_continued() {
    let mut bench = Bench::new(everything());
    let id = bench.with_session(|session, now| session.attach(now, "elsewhere", 2)).unwrap();
    bench.open();
    assert_eq!(bench.sent[0]["data"]["params"], json!({ "afterSeq": 2, "ackSeq": 2, "window": 1 << 20 }));
    bench.chunk("elsewhere", Some(2), "old");
    bench.chunk("elsewhere", Some(3), "new");
    assert_eq!(bench.with_session(|session, now| session.attach(now, "elsewhere", 0)), Err(Rejected::Taken));
    bench.lose();
    bench.pass();
    bench.open();
    for second in 1..=1_000 {
        bench.pass_until(at(second * 10_000));
        bench.input(Input::Alive); // its time limit is the service's affair
    }
    bench.say("elsewhere", &json!({ "phase": "end", "status": "finished", "seq": 4 }));
    let seen = bench.read(id);
    assert_eq!(
        (seen.stdout, seen.events),
        (vec!["new".to_owned()], vec![StreamEvent::Interrupted(broken()), StreamEvent::Reconnected])
    );
    assert!(matches!(seen.end, Some(Ok(_))));
}

#[test]
fn all_that_the_service_still_has_of_a_run_from_elsewhere_begins_where_it_says() {
    let mut bench = Bench::new(everything());
    let id = bench.with_session(|session, now| session.attach(now, "elsewhere", 0)).unwrap();
    bench.open();
    bench.say("elsewhere", &json!({ "phase": "event", "eventType": "accepted", "extensions": [] }));
    for second in 1..=100 {
        bench.pass_until(at(second * 10_000));
        bench.input(Input::Alive); // its program is silent, and it was answered for
    }
    bench.chunk("elsewhere", Some(7), "late");
    bench.chunk("elsewhere", Some(7), "twice");
    bench.chunk("elsewhere", Some(8), "next");
    assert_eq!(bench.read(id).stdout.concat(), "latenext");
    // Only where it begins is the service's affair.
    bench.chunk("elsewhere", Some(10), "gap");
    let violation = Violation::Gap { expected: 9, got: 10 };
    assert_eq!(bench.read(id).end, Some(Err(RunError::Protocol(violation))));
}

#[test]
fn a_service_that_does_not_answer_for_a_run_from_elsewhere_is_not_waited_for() {
    let mut bench = Bench::new(everything());
    let id = bench.with_session(|session, now| session.attach(now, "elsewhere", 0)).unwrap();
    bench.open();
    bench.pass_until(at(10_000));
    bench.input(Input::Alive); // it lives, and says nothing of the run
    bench.pass_until(at(12_500));
    let silent = DisconnectReason::Broken("nothing was heard of the run".into());
    assert_eq!(bench.read(id).end, Some(Err(RunError::Interrupted(silent))));
    let mut plain = Bench::new(NONE);
    assert_eq!(plain.with_session(|session, now| session.attach(now, "x", 0)), Err(Rejected::NotOffered));
}
