//! Opening a connection: the token, waits between attempts, refusals, limits.

use super::bench::{Bench, NONE, at, broken, config, everything};
use crate::disconnect_reason::DisconnectReason;
use crate::io::{Capabilities, Input, State};
use crate::session::Session;
use crate::{Extensions, RunError, Secret};

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
        DisconnectReason::refused(401, ""),
        DisconnectReason::refused(404, ""),
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
    bench.input(Input::Lost(DisconnectReason::refused(503, "")));
    assert_eq!(bench.read(id).end, None, "a busy server is asked again");
}

#[test]
fn what_the_service_says_is_a_plain_calls_error() {
    let said = |status, code, words| {
        let body = format!(r#"{{"requestId":"r","code":"{code}","success":false,"message":"{words}"}}"#);
        DisconnectReason::refused(status, &body)
    };
    let closed = |code| DisconnectReason::Closed { code, reason: "words".into() };
    for (reason, name, code) in [
        (said(400, "InvalidMcpSession.NotFound", "words"), "NotFoundError", "NOT_FOUND"),
        (said(401, "InvalidAccessToken.Expired", "words"), "ServiceError", "REFUSED"),
        (said(403, "InvalidAccessToken.Scope", "words"), "ServiceError", "REFUSED"),
        (closed(4404), "NotFoundError", "NOT_FOUND"),
        (closed(4401), "ServiceError", "REFUSED"),
        (closed(4403), "ServiceError", "REFUSED"),
        (DisconnectReason::refused(403, "<html>words"), "ConnectionError", "UNREACHABLE"),
    ] {
        let error = RunError::Unreachable(reason.clone());
        assert_eq!((error.name(), error.code()), (name, code), "{error}");
        assert!(
            error.to_string().contains(if name == "ConnectionError" { "HTTP status 403" } else { "words" }),
            "{error}"
        );
        // A page's frames are sent by the time that it is turned away.
        let is_open = matches!(reason, DisconnectReason::Closed { .. });
        let mut bench = Bench::new(Extensions { http: false, ..everything() });
        let id = bench.run();
        if is_open {
            bench.open();
        }
        bench.input(Input::Lost(reason));
        assert_eq!(bench.read(id).end, Some(Err(error)));
    }
    let mut bench = Bench::new(everything());
    let (id, invocation) = bench.started();
    bench.chunk(&invocation, Some(1), "it runs");
    bench.input(Input::Lost(closed(4404)));
    assert_eq!(bench.read(id).end, Some(Err(RunError::Interrupted(closed(4404)))));
    let mut bench = Bench::new(everything());
    let (id, _) = bench.started();
    bench.input(Input::Lost(closed(1013)));
    assert_eq!(bench.read(id).end, None, "a full server is asked again");
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
fn a_connection_that_no_run_needs_rests_until_the_next_run() {
    let mut bench = Bench::new(everything());
    let (id, wire) = bench.started();
    let first = bench.link;
    bench.with_session(|session, _| session.rest());
    assert_eq!((bench.link, bench.session.state()), (first, State::Open), "a run needs it");
    bench.with_session(|session, now| session.cancel(now, id));
    assert_eq!(bench.link, first, "the service is to confirm");
    bench.finish(&wire);
    assert_eq!((bench.closed.len(), bench.link, bench.session.state()), (1, None, State::Idle));
    assert_eq!(bench.deadline, None, "nothing is waited for");
    assert!(bench.read(id).end.is_some(), "what had come is there");
    let (next, wire) = bench.started();
    bench.finish(&wire);
    assert!(matches!(bench.read(next).end, Some(Ok(_))));
    assert_eq!(bench.session.state(), State::Open, "once");
    bench.with_session(Session::close);
    bench.with_session(|session, _| session.rest());
    assert_eq!(bench.session.state(), State::Closed, "for good");
}

#[test]
fn a_connection_that_is_being_opened_for_nobody_rests_too() {
    let mut bench = Bench::new(everything());
    let id = bench.run();
    assert!(bench.link.is_some());
    bench.with_session(|session, now| session.cancel(now, id));
    bench.with_session(|session, _| session.rest());
    assert_eq!((bench.closed.len(), bench.link, bench.session.state(), bench.deadline), (1, None, State::Idle, None));
}
