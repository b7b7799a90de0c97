//! What must hold at every moment of a walk, and at its end.

use std::time::Duration;

use super::{LARGEST_CHUNK, LIMIT, WINDOW, Walk};
use crate::RunError;
use crate::io::Input;

impl Walk {
    /// A connection that brings nothing new is not opened again and again: on average twice a second at most, beside
    /// the first for each run and kind.
    pub(super) fn count_link(&mut self) {
        if self.in_vain.0 == 0 {
            self.in_vain.1 = self.now;
        }
        self.in_vain.0 += 1;
        let (links, since) = self.in_vain;
        let runs = u128::try_from(self.session.runs.live().count()).expect("few");
        let most = 4 + (1 + runs) * (3 + (self.now - since).as_millis() / 250);
        assert!(u128::from(links) <= most, "{links} links in {:?} brought nothing", self.now - since);
    }

    /// What holds at every moment.
    pub(super) fn check(&self) {
        self.session.runs.assert_sums();
        self.session.outbox.assert_sums();
        assert!(self.session.outbox.bytes() <= 2_000 + 1_200 * self.runs.len(), "the outbox grows without a limit");
        let flow = self.peer.extensions.flow;
        for (id, told) in &self.runs {
            let unread = self.session.runs.get(*id).map_or(0, |run| run.unread.bytes());
            let events = 64 * 8 + 8 * (64 + 32); // of the program, and of the connection with its words
            let most = if flow { WINDOW } else { LIMIT } + LARGEST_CHUNK + events;
            // A transport that pauses keeps the sum of all runs down, one that cannot ends the run.
            assert!(unread <= most, "{unread} bytes of one run are unread");
            let Some(program) = self.peer.programs.get(&told.invocation) else { continue };
            assert!(program.starts <= 1, "a program was run twice");
            assert!(told.input.starts_with(&program.input), "input was lost, doubled or reordered");
            assert!(program.output.starts_with(&told.output), "output was lost, doubled or reordered");
        }
    }

    /// The network holds from now on: everything must come to its end, and the ends must be true.
    pub(super) fn settle(&mut self) {
        let (began, mut turns) = (self.now, 0);
        let unfinished = |walk: &Self| {
            walk.runs.values().any(|told| !told.abandoned && told.end.is_none()) || walk.session.runs.live().count() > 0
        };
        while unfinished(self) {
            turns += 1;
            assert!(turns < 100_000, "no progress although the network holds");
            for id in self.runs.iter().filter(|(_, told)| !told.abandoned).map(|(id, _)| *id).collect::<Vec<_>>() {
                self.read(id);
            }
            if self.links.is_empty() {
                self.pass();
            } else {
                if let Some(at) = self.links.iter().rposition(|link| !link.opened) {
                    self.accept(at);
                }
                for id in self.links.iter().map(|link| link.id).collect::<Vec<_>>() {
                    self.input(id, Input::Backlog(0));
                }
                for _ in 0..20 {
                    self.peer.step(&mut self.dice);
                    self.deliver();
                }
                self.now = self.now + Duration::from_millis(10);
                self.session.handle_timeout(self.now);
                self.drain();
            }
            self.check();
        }
        for (id, told) in self.runs.iter().filter(|(_, told)| !told.abandoned) {
            assert_eq!(self.session.read(self.now, *id), None, "something came behind the end");
            let program = self.peer.programs.get(&told.invocation);
            match told.end.as_ref().expect("settled") {
                Ok(finish) => {
                    let program = program.expect("only what was started can finish");
                    assert_eq!(told.output, program.output, "a run finished and its output is not whole");
                    assert_eq!(finish.failed, program.cancelled);
                }
                Err(RunError::Unreachable(_)) => assert!(program.is_none(), "said never to have run, but it was"),
                Err(RunError::Interrupted(_)) => assert!(program.is_some() || !told.invocation.is_empty()),
                Err(RunError::Cancelled { .. }) => assert!(program.is_none_or(|program| program.ended)),
                Err(RunError::CancelUnconfirmed | RunError::Overflow { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        // Who was told to stop has stopped, whatever happened to the connection that said so: unless it was down for so
        // long that the session gave up.
        let extensions = self.peer.extensions;
        for told in self.runs.values().filter(|_| extensions.cancel && extensions.resume) {
            let lately = told.stopped.is_some_and(|at| began - at < Duration::from_secs(15));
            let program = self.peer.programs.get(&told.invocation);
            assert!(!lately || program.is_none_or(|program| program.ended), "a program runs on that was cancelled");
        }
        self.session.close(self.now);
        self.drain();
        assert_eq!((self.links.len(), self.deadline), (0, None), "something is left after closing");
    }
}
