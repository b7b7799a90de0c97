//! Following a run that was begun elsewhere.

use serde_json::json;

use super::bench::{Bench, NONE, at, broken, everything};
use crate::disconnect_reason::DisconnectReason;
use crate::io::{Input, State};
use crate::session::Session;
use crate::{Extensions, Rejected, RunError, StreamEvent, Violation};

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

#[test]
fn a_run_from_elsewhere_is_stopped_also_before_anything_was_said_of_it() {
    let cancelled = json!({ "phase": "end", "status": "failed", "reason": "cancelled", "seq": 4 });
    for (abandons, waits) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut bench = Bench::new(everything());
        let id = bench.with_session(|session, now| session.attach(now, "elsewhere", 3)).unwrap();
        bench.with_session(|session, now| match abandons {
            true => session.abandon(now, id),
            false => session.cancel(now, id),
        });
        assert_eq!(bench.read(id).end, None, "its program goes on, and nobody has stopped it yet");
        if waits {
            while bench.session.invocation(id).is_some() {
                bench.pass();
            }
            assert!(bench.now <= at(3_000), "its caller does not wait for a network");
            let told = (!abandons).then_some(Err(RunError::CancelUnconfirmed));
            assert_eq!(bench.read(id).end, told);
        }
        bench.open();
        assert_eq!(bench.sent[0]["data"]["params"]["afterSeq"], json!(3));
        assert_eq!(bench.methods(), ["resume", "cancel"], "{abandons} {waits}");
        bench.say("elsewhere", &cancelled);
        let told = (!abandons && !waits).then_some(Err(RunError::Cancelled { state_lost: false }));
        assert_eq!(bench.read(id).end, told);
        bench.lose();
        assert_eq!((bench.link, bench.session.state()), (None, State::Idle), "nobody wants a connection any more");
        bench.session.runs.assert_sums();
    }
}

#[test]
fn the_cancel_goes_behind_what_waits_to_be_sent() {
    // One that has just been attached to, and one that has just been found again.
    for is_found_again in [false, true] {
        let mut bench = Bench::new(everything());
        let attach = |session: &mut Session, now| session.attach(now, "elsewhere", 3);
        let id = match is_found_again {
            true => {
                let id = bench.with_session(attach).unwrap();
                bench.open();
                bench.lose();
                bench.pass();
                let link = bench.link.expect("a socket was asked for");
                bench.session.handle_input(bench.now, link, Input::Opened);
                bench.input(Input::Backlog(usize::MAX / 2));
                id
            }
            false => {
                bench.started();
                bench.input(Input::Backlog(usize::MAX / 2));
                bench.with_session(attach).unwrap()
            }
        };
        bench.sent.clear();
        bench.with_session(|session, now| session.cancel(now, id));
        assert_eq!(bench.methods(), Vec::<String>::new(), "what was written before has not left yet");
        bench.input(Input::Backlog(0));
        assert_eq!(bench.methods(), ["resume", "cancel"], "{is_found_again}");
    }
}

#[test]
fn a_stop_that_never_meets_a_connection_is_given_up_with_all_that_it_had_to_say() {
    let mut bench = Bench::new(everything());
    let id = bench.with_session(|session, now| session.attach(now, "elsewhere", 3)).unwrap();
    bench.with_session(|session, now| session.cancel(now, id));
    while bench.session.runs.live().next().is_some() {
        match bench.link {
            Some(_) => bench.lose(),
            None => bench.pass(),
        }
    }
    assert_eq!(bench.read(id).end, Some(Err(RunError::CancelUnconfirmed)));
    assert_eq!((bench.session.state(), bench.session.has_unsent()), (State::Idle, false));
}

#[test]
fn what_cannot_be_stopped_from_here_is_not_called_cancelled() {
    let mut bench = Bench::new(Extensions { cancel: false, ..everything() });
    let id = bench.with_session(|session, now| session.attach(now, "elsewhere", 3)).unwrap();
    bench.with_session(|session, now| session.cancel(now, id));
    assert_eq!(bench.read(id).end, Some(Err(RunError::CancelUnconfirmed)));
    bench.open();
    assert_eq!(bench.methods(), Vec::<String>::new());
}
