//! Chunks whose text stays with the driver.

use super::bench::{Bench, NONE, config, everything};
use crate::io::{Capabilities, ExternalChunk};
use crate::session::SessionConfig;
use crate::{Mark, RunError, RunId, Stream, Violation};

fn hold(bench: &mut Bench, invocation: &str, seq: Option<u64>, length: u32) -> Option<RunId> {
    let link = bench.link.expect("it is connected");
    let chunk = ExternalChunk { invocation, seq, time: None, background: false, stream: Stream::Stdout, length };
    bench.with_session(|session, now| session.handle_chunk(now, link, chunk))
}

#[test]
fn they_are_told_in_order_with_everything_else() {
    let mut bench = Bench::new(NONE);
    let (id, wire) = bench.started();
    assert_eq!(hold(&mut bench, &wire, None, 3), Some(id));
    assert_eq!(hold(&mut bench, &wire, None, 0), Some(id));
    bench.finish(&wire);
    assert_eq!(hold(&mut bench, &wire, None, 3), None, "the run is over");
    assert_eq!(hold(&mut bench, "unknown", None, 3), None);
    let batch = bench.with_session(|session, now| session.read(now, id)).expect("two chunks and an end");
    assert_eq!(batch.marks(), [Mark::External(Stream::Stdout, 3), Mark::External(Stream::Stdout, 0)]);
    assert!(batch.text().is_empty() && batch.pieces().next().is_none() && batch.end().is_some());
}

#[test]
fn what_came_before_is_not_kept_and_a_gap_ends_the_run() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    assert_eq!(hold(&mut bench, &wire, Some(1), 1), Some(id));
    assert_eq!(hold(&mut bench, &wire, Some(1), 1), None, "it comes a second time");
    assert_eq!(hold(&mut bench, &wire, Some(3), 1), None, "the second one is missing");
    let end = bench.read(id).end.expect("a gap cannot be mended");
    assert_eq!(end, Err(RunError::Protocol(Violation::Gap { expected: 2, got: 3 })));
}

#[test]
fn they_are_acknowledged_within_the_window() {
    let mut bench = Bench::with(SessionConfig { window: 4_000, ..config(everything()) }, Capabilities::BROWSER);
    let (id, wire) = bench.started();
    for seq in 1..=3 {
        // The largest that UTF-16 can be on the wire: three bytes a unit.
        hold(&mut bench, &wire, Some(seq), 400);
        bench.read(id);
    }
    let acks: Vec<_> = bench.sent.iter().filter(|frame| frame["data"]["method"] == "ack").collect();
    assert_eq!(acks.len(), 1);
    assert_eq!(acks[0]["data"]["params"]["seq"], 3);
}

#[test]
fn too_many_unread_are_an_overflow() {
    let config = SessionConfig { unread_limit: 1_000, ..config(NONE) };
    let mut bench = Bench::with(config, Capabilities::BROWSER);
    let (id, wire) = bench.started();
    assert_eq!(hold(&mut bench, &wire, None, 1_000), Some(id));
    assert_eq!(hold(&mut bench, &wire, None, 1), Some(id));
    assert_eq!(bench.read(id).end, Some(Err(RunError::Overflow { limit: 1_000 })));
}

#[test]
fn a_dead_link_says_nothing_more() {
    let mut bench = Bench::new(everything());
    let (_, wire) = bench.started();
    let old = bench.link.expect("it is connected");
    bench.lose();
    let chunk = ExternalChunk {
        invocation: &wire,
        seq: Some(1),
        time: None,
        background: false,
        stream: Stream::Stderr,
        length: 1,
    };
    assert_eq!(bench.with_session(|session, now| session.handle_chunk(now, old, chunk)), None);
}
