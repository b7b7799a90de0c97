//! Following a run that was begun elsewhere.

use serde_json::json;

use super::bench::{Bench, NONE, at, broken, everything};
use crate::disconnect_reason::DisconnectReason;
use crate::io::Input;
use crate::{Rejected, RunError, StreamEvent, Violation};

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
