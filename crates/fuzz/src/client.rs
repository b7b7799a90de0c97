//! What a service sends to a client.

use std::time::Duration;

use agb_core::{
    Capabilities, Extensions, Input, Instant, Language, LinkId, Output, RunRequest, Secret, Session, SessionConfig,
};

/// Drains a session; gives the connection that it asked for.
fn drain(session: &mut Session, link: &mut Option<LinkId>) {
    loop {
        match session.poll_output() {
            Output::Open(opened, _) => {
                assert_eq!(*link, None, "two connections at once");
                *link = Some(opened);
            }
            Output::Close(closed, _) => {
                assert_eq!(link.take(), Some(closed), "another connection is closed");
            }
            Output::Idle { .. } => return,
            _ => {}
        }
    }
}

/// Lines are messages; `$ID` in them is the id of the run that goes on.
pub(crate) fn incoming(bytes: &[u8]) {
    let mut extensions = Extensions::default();
    let (flags, rest) = bytes.split_first().unwrap_or((&0, &[]));
    (extensions.flow, extensions.resume, extensions.cancel) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
    let config = SessionConfig { extensions, ..SessionConfig::new("ws://localhost/", Secret::new("token")) };
    let mut session = Session::new(config, Capabilities::NATIVE, 7);
    let mut now = 0;
    let at = |now: u64| Instant::since_origin(Duration::from_millis(now));
    let mut link = None;
    let request =
        RunRequest { code: "1".into(), language: Language::Python, timeout: Duration::from_secs(60), stdin: false };
    let run = session.run(at(now), request).expect("it takes a run");
    drain(&mut session, &mut link);
    let id = session.invocation(run).expect("it goes on").to_owned();
    let opened = link.expect("a run asks for a connection");
    session.handle_input(at(now), opened, Input::Opened);
    drain(&mut session, &mut link);
    let mut ended = false;
    for line in String::from_utf8_lossy(rest).lines() {
        now += 1;
        let Some(link_now) = link else { break };
        session.handle_input(at(now), link_now, Input::Text(&line.replace("$ID", &id)));
        drain(&mut session, &mut link);
        while let Some(batch) = session.read(at(now), run) {
            assert!(!ended, "something comes after the end: {batch:?}");
            ended = batch.end().is_some();
            if !ended && batch.is_empty() {
                break;
            }
        }
    }
    // Whatever has come, the end comes too.
    session.close(at(now));
    drain(&mut session, &mut link);
    while let Some(batch) = session.read(at(now), run) {
        assert!(!ended, "something comes after the end: {batch:?}");
        ended = batch.end().is_some();
    }
    assert!(ended, "the run has no end");
}
