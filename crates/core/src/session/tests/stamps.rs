//! Numbers, times and origins of what a run yields.

use serde_json::json;

use super::bench::{Bench, everything};
use crate::{Extensions, RunId, Stamp};

fn stamps(bench: &mut Bench, id: RunId) -> (Vec<Stamp>, Stamp) {
    let (mut all, mut end) = (Vec::new(), Stamp::default());
    while let Some(batch) = bench.with_session(|session, now| session.read(now, id)) {
        assert!(batch.stamps().is_empty() || batch.stamps().len() == batch.marks().len(), "one for each piece");
        all.extend_from_slice(batch.stamps());
        end = batch.end_stamp();
    }
    (all, end)
}

fn stamp(seq: u64, time: u64) -> Stamp {
    Stamp { seq, time: (time > 0).then_some(time), background: false }
}

#[test]
fn are_the_services_where_it_has_some() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.with_session(|session, _| session.keep_stamps(id));
    bench.say(&wire, &json!({ "phase": "event", "eventType": "started", "seq": 1, "time": 1000 }));
    let chunk =
        |seq: u64| json!({ "phase": "event", "eventType": "stdout", "chunk": "x", "seq": seq, "time": 1000 + seq });
    bench.say(&wire, &chunk(2));
    bench.say(&wire, &chunk(3)); // its envelope is known by now
    bench.say(
        &wire,
        &json!({ "phase": "event", "eventType": "stderr", "chunk": "y", "background": true, "seq": 4, "time": 1004 }),
    );
    bench.say(&wire, &json!({ "phase": "event", "eventType": "inputRequest", "prompt": "?", "seq": 5, "time": 1005 }));
    bench.lose();
    bench.pass();
    bench.open();
    bench.say(&wire, &chunk(6));
    bench.say(&wire, &json!({ "phase": "end", "status": "finished", "seq": 7, "time": 1007 }));
    let late = Stamp { background: true, ..stamp(4, 1004) };
    let notice = stamp(5, 0);
    let expected = [stamp(2, 1002), stamp(3, 1003), late, stamp(5, 1005), notice, notice, stamp(6, 1006)];
    assert_eq!(stamps(&mut bench, id), (expected.to_vec(), stamp(7, 1007)));
}

#[test]
fn are_counted_here_where_the_service_has_none() {
    let mut bench = Bench::new(Extensions::default());
    let (id, wire) = bench.started();
    bench.with_session(|session, _| session.keep_stamps(id));
    for text in ["a", "b", "c"] {
        bench.chunk(&wire, None, text);
    }
    bench.finish(&wire);
    assert_eq!(stamps(&mut bench, id), (vec![stamp(1, 0), stamp(2, 0), stamp(3, 0)], stamp(4, 0)));
}

#[test]
fn of_a_run_taken_up_go_on_behind_what_was_seen() {
    let mut bench = Bench::new(everything());
    let id = bench.with_session(|session, now| session.attach(now, "elsewhere", 7)).expect("it resumes");
    bench.with_session(|session, _| session.keep_stamps(id));
    bench.open();
    bench.chunk("elsewhere", Some(8), "x");
    bench.with_session(|session, now| session.close(now));
    assert_eq!(stamps(&mut bench, id), (vec![stamp(8, 0)], stamp(8, 0)), "an end of our own has the number before it");
}

#[test]
fn cost_nothing_unless_asked_for() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.chunk(&wire, Some(1), "x");
    assert!(stamps(&mut bench, id).0.is_empty());
}

#[test]
fn input_is_asked_for_only_on_behalf_of_somebody_who_answers() {
    for (stdin, offered, asked) in [(true, true, true), (true, false, false), (false, true, false)] {
        let mut bench = Bench::new(Extensions { stdin: offered, ..everything() });
        bench
            .with_session(|session, now| session.run(now, crate::RunRequest { stdin, ..super::bench::request() }))
            .expect("taken");
        bench.open();
        assert_eq!(bench.sent[0]["data"]["params"]["stdin"] == json!(true), asked);
    }
}
