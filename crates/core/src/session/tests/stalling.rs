//! Connections that open and bring nothing new: something on the way ends them at one message, again and again.

use std::time::Duration;

use serde_json::json;

use super::bench::{Bench, at, config, everything, request};
use crate::disconnect_reason::DisconnectReason;
use crate::io::{Capabilities, Input, State};
use crate::session::SessionConfig;
use crate::{Extensions, RunEnd, RunError, RunRequest, StreamEvent};

fn too_big() -> DisconnectReason {
    DisconnectReason::Closed { code: 1009, reason: "message too big".into() }
}

/// A service without event streams.
fn sockets_only() -> Extensions {
    Extensions { http: false, ..everything() }
}

fn with_streams() -> Bench {
    let link_url = Some("https://host/link/s".into());
    Bench::with(SessionConfig { link_url, ..config(everything()) }, Capabilities::NATIVE)
}

fn short(seconds: u64) -> RunRequest {
    RunRequest { timeout: Duration::from_secs(seconds), ..request() }
}

/// Opens each connection that is asked for and loses it at once; gives how many there were.
fn break_each(bench: &mut Bench, until: u64, reason: &DisconnectReason) -> usize {
    let mut links = 0;
    while bench.deadline.is_some_and(|deadline| deadline <= at(until)) || bench.link.is_some() {
        if bench.link.is_some() {
            links += 1;
            bench.open();
            bench.input(Input::Lost(reason.clone()));
        } else {
            bench.pass();
        }
    }
    links
}

#[test]
fn one_message_too_big_is_enough_to_leave_the_websocket() {
    let mut bench = with_streams();
    let (id, wire) = bench.started();
    bench.chunk(&wire, Some(1), "a");
    bench.input(Input::Lost(too_big()));
    let request = bench.request.take().expect("another link");
    assert!(request.events.is_some() && request.url.contains("afterSeq=1"), "{request:?}");
    bench.open();
    bench.chunk(&wire, Some(2), "the large one");
    bench.say(&wire, &json!({ "phase": "end", "status": "finished", "seq": 3 }));
    let seen = bench.read(id);
    assert_eq!((seen.stdout.concat().as_str(), bench.now), ("athe large one", at(0)));
    assert!(matches!(seen.end, Some(Ok(_))), "{seen:?}");
}

#[test]
fn a_websocket_that_brings_nothing_new_is_left_after_two_attempts() {
    for reason in
        [DisconnectReason::Broken("cut".into()), DisconnectReason::Closed { code: 1006, reason: String::new() }]
    {
        let mut bench = with_streams();
        let (_, wire) = bench.started();
        bench.chunk(&wire, Some(1), "a");
        for attempt in 0..3 {
            assert!(bench.request.take().expect("a WebSocket").events.is_none(), "attempt {attempt}");
            bench.input(Input::Lost(reason.clone()));
            while bench.link.is_none() {
                bench.pass();
            }
            if attempt < 2 {
                bench.open();
                bench.input(Input::Alive); // a ping is no progress
            }
        }
        assert!(bench.request.take().expect("an event stream").events.is_some());
        assert!(bench.now < at(2_000), "{:?}", bench.now);
    }
}

#[test]
fn a_deadline_is_a_deadline_however_often_the_connection_breaks() {
    for seconds in [4, 5, 10, 60] {
        let mut bench = Bench::new(sockets_only());
        let id = bench.with_session(|session, now| session.run(now, short(seconds))).expect("an open session");
        bench.open();
        let wire = bench.session.invocation(id).expect("live").to_owned();
        bench.chunk(&wire, Some(1), "a");
        bench.input(Input::Lost(too_big()));
        let links = break_each(&mut bench, 100_000, &too_big());
        let seen = bench.read(id);
        assert_eq!(seen.end, Some(Err(RunError::Interrupted(too_big()))), "in words, {seconds}");
        assert!(bench.now <= at((seconds + 10).min(30) * 1_000 + 11_000), "{:?}", bench.now);
        assert!(links < 20, "{links} links: they back off");
        let told = [StreamEvent::Interrupted(too_big()), StreamEvent::Reconnected];
        assert_eq!(seen.events, told, "of a state, not of each attempt");
    }
}

#[test]
fn the_next_run_does_not_wait_behind_one_that_nothing_can_carry() {
    let mut bench = Bench::new(sockets_only());
    let id = bench.with_session(|session, now| session.run(now, short(4))).expect("an open session");
    bench.open();
    let wire = bench.session.invocation(id).expect("live").to_owned();
    bench.chunk(&wire, Some(1), "a");
    bench.input(Input::Lost(too_big()));
    while bench.read(id).end.is_none() {
        match bench.link {
            Some(_) => {
                bench.open();
                bench.input(Input::Lost(too_big()));
            }
            None => bench.pass(),
        }
    }
    bench.methods();
    let next = bench.run();
    while bench.session.state() != State::Open {
        match bench.link {
            Some(_) => bench.open(),
            None => bench.pass(),
        }
    }
    let mut methods = bench.methods();
    methods.sort();
    assert!(methods == ["cancel", "stream"] || methods == ["stream"], "it is not asked for again: {methods:?}");
    let wire = bench.session.invocation(next).expect("live").to_owned();
    bench.chunk(&wire, Some(1), "b");
    assert_eq!(bench.read(next).stdout, ["b"]);
}

#[test]
fn connections_that_stand_for_a_while_may_be_cut_for_ever() {
    let mut bench = with_streams();
    let id = bench.with_session(|session, now| session.run(now, short(300))).expect("an open session");
    bench.open();
    let wire = bench.session.invocation(id).expect("live").to_owned();
    bench.chunk(&wire, Some(1), "a");
    for _ in 0..4 {
        // A proxy that cuts idle connections, and a program that says nothing.
        let until = bench.now + Duration::from_secs(30);
        while bench.now < until {
            bench.pass();
            if bench.link.is_some() {
                bench.input(Input::Alive);
            }
        }
        bench.lose();
        while bench.link.is_none() {
            bench.pass();
        }
        assert!(bench.request.take().expect("a link").events.is_none(), "the WebSocket does its work");
        bench.open();
    }
    bench.say(&wire, &json!({ "phase": "end", "status": "finished", "seq": 2 }));
    let seen = bench.read(id);
    assert!(matches!(seen.end, Some(Ok(_))), "{seen:?}");
    let told = |event: &StreamEvent| matches!(event, StreamEvent::Interrupted(_));
    assert_eq!(seen.events.iter().filter(|event| told(event)).count(), 4);
}

#[test]
fn an_end_without_the_service_counts_its_interruption() {
    let mut bench = Bench::new(Extensions::default());
    let (id, _) = bench.started();
    bench.input(Input::Lost(too_big()));
    let batch = bench.with_session(|session, now| session.read(now, id)).expect("the end");
    assert!(matches!(batch.end(), Some(RunEnd::Err(RunError::Interrupted(_)))));
    assert_eq!(batch.interruptions(), 1);
}

#[test]
fn a_clock_that_leaps_ends_no_run() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    bench.chunk(&wire, Some(1), "a");
    bench.now = at(3_600_000);
    bench.with_session(|session, now| session.handle_timeout(now));
    while bench.link.is_none() {
        bench.pass();
    }
    if bench.session.state() != State::Open {
        bench.open();
    }
    bench.say(&wire, &json!({ "phase": "end", "status": "finished", "seq": 2 }));
    assert!(matches!(bench.read(id).end, Some(Ok(_))));
}
