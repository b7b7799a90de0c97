//! What becomes of the runs when the WebSocket opens and when it is lost.

use super::Session;
use super::outbox::Frame;
use super::runs::{Phase, Stall};
use crate::disconnect_reason::DisconnectReason;
use crate::io::State;
use crate::run::{RunError, RunId, StreamEvent};
use crate::wire::outgoing::Address;

impl Session {
    pub(super) fn opened(&mut self) {
        self.dial.opened(self.now, &self.config);
        // What is to stop comes first: what the others have kept may break this connection as well.
        let mut ids = self.runs.live_ids(|run| run.phase == Phase::Cancelling);
        ids.extend(self.runs.live_ids(|run| run.phase == Phase::Detached));
        for id in ids {
            let Some(run) = self.runs.get_mut(id) else { continue };
            let cancelling = run.phase == Phase::Cancelling;
            if cancelling && run.stall.is_some_and(|stall| stall.is_reconnected) {
                // What it has to say may break each connection, and nobody reads it: it is stopped, not followed.
                self.enqueue(id, |address| address.cancel());
                continue;
            }
            let address = Address { invocation: &run.invocation, target: &self.config.target, bare: false };
            let extensions = self.config.extensions;
            // A start whose answer was lost is said again: the service knows the id and never runs it twice.
            let text = match &run.request {
                Some(request) if !run.received => request.start(address, extensions, self.config.window),
                _ => address.resume(run.seq, run.acked, extensions.flow.then_some(self.config.window)),
            };
            run.unacked = 0;
            self.outbox.push(Frame { run: id, begins: true, text });
            self.note_reconnected(id);
            if cancelling {
                self.enqueue(id, |address| address.cancel()); // the first one may have gone down with the old connection
            }
        }
    }

    pub(super) fn lost(&mut self, reason: DisconnectReason) {
        // A proxy's refusal may be of WebSockets alone: where there is another way, it is asked there. All ways have the
        // same certificate.
        let is_trusted = !matches!(reason, DisconnectReason::Untrusted(_) | DisconnectReason::Closed { .. });
        let elsewhere = is_trusted && reason.is_final() && self.can_fall_back();
        let is_final = reason.is_final() && !elsewhere;
        let resume = self.config.extensions.resume && !is_final;
        let turned_away =
            is_final && self.config.extensions.resume && matches!(reason, DisconnectReason::Closed { .. });
        let failures = self.dial.count_failure(self.now, &self.config);
        for id in self.runs.live_ids(|run| run.phase != Phase::Queued || is_final) {
            let Some(run) = self.runs.get_mut(id) else { continue };
            match run.phase {
                Phase::Queued => self.end(id, Err(RunError::Unreachable(reason.clone()))),
                // A page has its first frames sent before it hears that it was turned away, when nothing was read of them:
                // what is read is accepted in words first.
                Phase::Sent if turned_away && !run.received && run.stall.is_none() => {
                    self.end(id, Err(RunError::Unreachable(reason.clone())));
                }
                Phase::Sent if resume => self.detach(id, &reason, failures == 0),
                Phase::Detached if resume => {}
                Phase::Cancelling if resume => _ = self.stall(id, failures == 0),
                Phase::Cancelling => self.end(id, Err(RunError::CancelUnconfirmed)),
                _ => self.end(id, Err(RunError::Interrupted(reason.clone()))),
            }
        }
        self.outbox.keep_beginnings();
        for id in self.runs.live_ids(|run| run.phase != Phase::Queued) {
            self.outbox.remove(id); // said anew once there is a connection
        }
        let again = self.runs.live().next().is_some();
        // Several that came to nothing, or one that says why none can do better.
        let is_unfit = elsewhere || reason.is_too_large() || self.dial.is_hopeless(&self.config);
        if again && is_unfit && self.can_fall_back() {
            self.fall_back(reason);
        } else {
            self.dial.lost(self.now, reason, again, &self.config, &mut self.rng);
        }
    }

    /// Hangs up the WebSocket as soon as no run needs it; a later run opens another one. For an application in which
    /// sessions to the same machine come and go unclosed, as in a page whose modules are loaded anew while it is developed.
    pub const fn rest(&mut self) {
        self.rests = true;
    }

    pub(super) fn rest_if_unused(&mut self) {
        if self.rests && self.runs.live().next().is_none() && !self.has_unsent() {
            self.rests = false;
            self.dial.rest();
        }
    }

    /// The socket was silent for too long. Where that was in the handshake, several times in a row, something swallows
    /// handshakes: what was never sent need not wait for it any longer, as it need not after a refusal.
    pub(super) fn unanswered(&mut self, loss: DisconnectReason) {
        let handshake = matches!(self.dial.state(), State::Connecting { .. });
        self.lost(loss.clone());
        if handshake && self.dial.failures() >= self.config.socket_attempts && !self.has_fallen_back() {
            for id in self.runs.live_ids(|run| run.phase == Phase::Queued) {
                self.end(id, Err(RunError::Unreachable(loss.clone())));
            }
        }
    }

    /// The connection of a run is lost, and it is to be found again. `worked` tells whether the connection was worth
    /// opening.
    ///
    /// The run has [`give_up`](SessionConfig::give_up) for a new connection, over all attempts that bring nothing new of
    /// it. Once it had one, its own time limit holds as well: a deadline is a deadline, however often a connection
    /// breaks.
    pub(super) fn detach(&mut self, id: RunId, reason: &DisconnectReason, worked: bool) {
        let is_new = self.stall(id, worked);
        let Some(run) = self.runs.get_mut(id) else { return };
        run.phase = Phase::Detached;
        let stall = run.stall.expect("it was just set");
        let late = stall.catch_up.zip(run.limit).map(|(catch_up, limit)| catch_up.max(limit));
        let given_up = stall.since + self.config.give_up;
        self.runs.set_deadline(id, late.map_or(given_up, |late| late.min(given_up)));
        if is_new {
            self.notice(id, StreamEvent::Interrupted(reason.clone()));
        }
        self.lose_input(id);
    }

    /// A connection of a run is lost. `true`: something new had come of the run since the one before.
    pub(super) fn stall(&mut self, id: RunId, worked: bool) -> bool {
        let now = self.now;
        let Some(run) = self.runs.get_mut(id) else { return false };
        run.stall.take_if(|_| worked);
        let is_new = run.stall.is_none();
        if is_new {
            run.stall = Some(Stall { since: now, catch_up: None, is_reconnected: false });
        }
        is_new
    }

    /// A run has a connection again. The application is told so once, until something new has come of the run.
    pub(super) fn note_reconnected(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(id) else { return };
        let Some(stall) = &mut run.stall else { return };
        if !std::mem::replace(&mut stall.is_reconnected, true) {
            run.interruptions = run.interruptions.saturating_add(1);
            self.notice(id, StreamEvent::Reconnected);
        }
    }

    /// Something new has come of a run.
    pub(super) fn note_progress(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(id) {
            run.stall = None;
        }
        match self.streams.of_run(id) {
            Some(stream) => stream.dial.note_progress(),
            None => self.dial.note_progress(),
        }
    }
}
