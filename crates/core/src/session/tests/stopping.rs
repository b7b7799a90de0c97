//! Cancelled and abandoned runs, and whether the service hears of it.

use serde_json::json;

use super::bench::{Bench, NONE, Seen, at, config, everything};
use crate::io::State;
use crate::{Rejected, RunError};

#[test]
fn cancel_is_confirmed_by_the_service() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.with_session(|session, now| session.cancel(now, id));
    assert_eq!(bench.methods(), ["stream", "cancel"]);
    bench.chunk(&wire, Some(1), "last words");
    bench.say(&wire, &json!({ "phase": "end", "status": "failed", "stateLost": true, "seq": 2 }));
    let seen = bench.read(id);
    assert_eq!(seen.stdout, ["last words"]);
    assert_eq!(seen.end, Some(Err(RunError::Cancelled { state_lost: true })));
}

#[test]
fn an_end_may_say_that_nobody_has_confirmed_the_stop() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.with_session(|session, now| session.cancel(now, id));
    bench.say(
        &wire,
        &json!({ "phase": "end", "status": "failed", "reason": "cancelled", "unconfirmed": true, "seq": 1 }),
    );
    assert_eq!(bench.read(id).end, Some(Err(RunError::CancelUnconfirmed)));
}

#[test]
fn what_a_cancelled_program_raises_is_told_once() {
    let raised =
        |seq| json!({ "phase": "event", "eventType": "error", "seq": seq, "error": { "code": "KeyboardInterrupt" } });
    let end = |reason| json!({ "phase": "end", "status": "failed", "reason": reason, "seq": 3 });
    for (reason, told) in [("cancelled", 0), ("failed", 1), ("timeout", 1)] {
        let mut bench = Bench::new(everything());
        let (id, wire) = bench.started();
        bench.with_session(|session, now| session.cancel(now, id));
        bench.say(&wire, &raised(1));
        bench.chunk(&wire, Some(2), "last words");
        bench.say(&wire, &end(reason));
        let seen = bench.read(id);
        assert_eq!((seen.events.len(), seen.stdout.len()), (told, 1), "{reason}");
        let is_cancelled = seen.end == Some(Err(RunError::Cancelled { state_lost: false }));
        assert_eq!(is_cancelled, told == 0, "{reason}");
    }
    // Raised before the cancel it is the program's own, and an end that nobody confirms says nothing of it.
    for (before, told) in [(true, 1), (false, 1)] {
        let mut bench = Bench::new(everything());
        let (id, wire) = bench.started();
        if before {
            bench.say(&wire, &raised(1));
        }
        bench.with_session(|session, now| session.cancel(now, id));
        if !before {
            bench.say(&wire, &raised(1));
        }
        bench.pass();
        let seen = bench.read(id);
        assert_eq!((seen.events.len(), seen.end), (told, Some(Err(RunError::CancelUnconfirmed))));
    }
}

#[test]
fn cancel_does_not_wait_for_ever() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.with_session(|session, now| session.cancel(now, id));
    bench.pass();
    assert_eq!(bench.now, at(2_500));
    assert_eq!(bench.read(id).end, Some(Err(RunError::CancelUnconfirmed)));
    let events = bench.events.len();
    bench.chunk(&wire, Some(1), "too late");
    assert_eq!(bench.events.len(), events, "what comes of a run that was left is nothing");
}

#[test]
fn a_cancel_that_met_no_connection_is_said_when_there_is_one() {
    let abandoned = json!({ "phase": "end", "status": "failed", "reason": "cancelled", "seq": 3 });
    for (abandons, is_half_open) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut bench = Bench::new(everything());
        let (id, wire) = bench.started();
        bench.chunk(&wire, Some(1), "a");
        if !is_half_open {
            bench.lose();
        }
        bench.with_session(|session, now| match abandons {
            true => session.abandon(now, id),
            false => session.cancel(now, id),
        });
        if !abandons {
            while bench.session.invocation(id).is_some() {
                if bench.link.is_some() && !is_half_open {
                    bench.lose();
                }
                bench.pass();
            }
            assert!(bench.now <= at(3_000), "its caller does not wait for a network");
            let seen = bench.read(id);
            assert_eq!((seen.stdout, seen.end), (vec!["a".into()], Some(Err(RunError::CancelUnconfirmed))));
        }
        // The program runs on meanwhile, and a half-open connection is noticed by its silence.
        while is_half_open && bench.link.is_some() {
            bench.pass();
        }
        while bench.link.is_none() {
            bench.pass();
        }
        bench.sent.clear();
        bench.open();
        assert_eq!(bench.sent[0]["data"]["params"]["afterSeq"], json!(1));
        assert_eq!(bench.methods(), ["resume", "cancel"], "{abandons} {is_half_open}");
        let events = bench.events.len();
        bench.chunk(&wire, Some(2), "too late");
        bench.say(&wire, &abandoned);
        assert_eq!((bench.events.len(), bench.read(id)), (events, Seen::default()));
        bench.lose();
        assert_eq!((bench.link, bench.session.state()), (None, State::Idle), "nobody wants a connection any more");
    }
}

#[test]
fn a_cancel_that_nobody_can_take_is_given_up() {
    let mut bench = Bench::new(everything());
    let (id, _) = bench.started();
    bench.with_session(|session, now| session.abandon(now, id));
    let began = bench.now;
    while bench.deadline.is_some() {
        if bench.link.is_some() {
            bench.lose();
        } else {
            bench.pass();
        }
    }
    assert_eq!(bench.now - began, config(NONE).give_up);
    assert_eq!(bench.session.state(), State::Idle);
    bench.session.runs.assert_sums();
}

#[test]
fn a_run_that_was_left_can_be_taken_up_again() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.chunk(&wire, Some(1), "a");
    bench.with_session(|session, now| session.abandon(now, id));
    let again = bench.with_session(|session, now| session.attach(now, &wire, 1)).expect("nobody reads it");
    assert_eq!(bench.methods(), ["stream", "cancel", "resume"]);
    bench.chunk(&wire, Some(2), "b");
    let seen = bench.read(again);
    assert_eq!((seen.stdout, seen.end), (vec!["b".to_owned()], None));
    let taken = bench.with_session(|session, now| session.attach(now, &wire, 1));
    assert_eq!(taken, Err(Rejected::Taken), "one reader has it");
}

#[test]
fn what_finished_before_the_cancel_reached_it_has_finished() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.with_session(|session, now| session.cancel(now, id));
    bench.finish(&wire);
    assert!(matches!(bench.read(id).end, Some(Ok(finish)) if !finish.failed));
}

#[test]
fn a_cancelled_run_that_was_never_sent_never_is() {
    let mut bench = Bench::new(everything());
    let id = bench.run();
    bench.with_session(|session, now| session.cancel(now, id));
    bench.open();
    assert_eq!(bench.sent, Vec::<serde_json::Value>::new());
    assert_eq!(bench.read(id).end, Some(Err(RunError::Cancelled { state_lost: false })));
}

#[test]
fn a_cancel_outlives_a_lost_connection() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.chunk(&wire, Some(1), "a");
    bench.lose();
    bench.with_session(|session, now| session.cancel(now, id));
    bench.pass();
    bench.sent.clear();
    bench.open();
    assert_eq!(bench.methods(), ["resume", "cancel"]);
    bench.say(&wire, &json!({ "phase": "end", "status": "failed", "seq": 2 }));
    assert_eq!(bench.read(id).end, Some(Err(RunError::Cancelled { state_lost: false })));
}

#[test]
fn without_the_extension_cancel_is_local_and_at_once() {
    let mut bench = Bench::new(NONE);
    let (id, wire) = bench.started();
    bench.with_session(|session, now| session.cancel(now, id));
    assert_eq!(bench.methods(), ["stream"]);
    assert_eq!(bench.read(id).end, Some(Err(RunError::CancelUnconfirmed)));
    bench.chunk(&wire, None, "still talking");
    assert_eq!(bench.read(id), Seen::default());
}

#[test]
fn an_abandoned_run_is_cancelled_and_forgotten() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.chunk(&wire, Some(1), "unread");
    bench.with_session(|session, now| session.abandon(now, id));
    assert_eq!(bench.methods(), ["stream", "cancel"]);
    assert_eq!(bench.read(id), Seen::default());
    bench.session.runs.assert_sums();
}
