//! When a run ends by itself, when it is given up, and how it is stopped.

use std::time::Duration;

use super::Session;
use super::runs::{Phase, Reader, Run};
use crate::disconnect_reason::DisconnectReason;
use crate::run::{RunEnd, RunError, RunId};

impl Session {
    /// The run's time limit counts from now, unless it does already. With `anew` it does in any case.
    pub(super) fn arm(&mut self, id: RunId, anew: bool) {
        let (now, config) = (self.now, &self.config);
        let soon = now + config.grace;
        let Some(run) = self.runs.get_mut(id).filter(|run| run.phase == Phase::Sent) else { return };
        run.limit.take_if(|_| anew);
        let limit = match &run.request {
            Some(_) if run.waits => None,
            // A service that keeps runs says at once that it has this one, however long the program may take.
            Some(request) if !run.received && config.extensions.resume => {
                Some(soon + request.timeout().min(config.silence))
            }
            Some(request) => Some(soon + request.timeout()),
            // Begun elsewhere: the service is to say that it knows the run; its time limit is the service's affair.
            None => (!run.received).then_some(soon),
        };
        run.limit = limit.map(|limit| run.limit.unwrap_or(limit));
        let deadline = match (run.limit, &mut run.stall) {
            // What the service has kept meanwhile may take a little longer.
            (Some(limit), Some(stall)) => {
                let most = soon.min(limit + config.give_up).max(now + config.reopen);
                Some(limit.max(*stall.catch_up.get_or_insert(most)))
            }
            (limit, _) => limit,
        };
        self.runs.set_deadline(id, deadline);
    }

    /// Whether the connection may be dead. Then it is asked, and is lost without an answer.
    pub(super) fn doubts(&mut self) -> bool {
        let answers = self.capabilities.ping || self.config.extensions.heartbeat;
        self.config.extensions.resume && answers && self.dial.doubts(self.now, self.config.cancel_wait)
    }

    pub(super) fn expire(&mut self, id: RunId) {
        let Some(run) = self.runs.get(id) else { return };
        let (phase, reads, received) = (run.phase, run.reader == Reader::Reads, run.received);
        let is_stalled = run.stall.is_some();
        let is_held_back = run.in_flight.0 > 0 || !run.unread.is_empty();
        let timeout = run.request.as_ref().map_or(Duration::ZERO, |request| request.timeout());
        let (now, keeps) = (self.now, self.config.extensions.resume);
        let (grace, cancel_wait) = (self.config.grace, self.config.cancel_wait);
        let leaves = run.leaves;
        match phase {
            Phase::Sent if leaves => self.end(id, Err(RunError::Left)),
            Phase::Queued => self.end(id, Err(RunError::Unreachable(self.dial.last_reason()))),
            Phase::Detached => self.end(id, Err(RunError::Interrupted(self.dial.last_reason()))),
            Phase::Cancelling if reads => self.let_go(id, RunError::CancelUnconfirmed),
            Phase::Cancelling => self.end(id, Err(RunError::CancelUnconfirmed)),
            // Whom its own reader holds back is not late.
            Phase::Sent if is_held_back => self.runs.set_deadline(id, now + grace),
            // Or else the connection is dead, and has not been silent for long enough to be noticed.
            Phase::Sent if self.doubts() => self.runs.set_deadline(id, now + cancel_wait),
            Phase::Sent if is_stalled => self.stop(id, RunError::Interrupted(self.dial.last_reason())),
            Phase::Sent if !received && keeps => {
                self.stop(id, RunError::Interrupted(DisconnectReason::Broken("nothing was heard of the run".into())));
            }
            Phase::Sent => self.stop(id, RunError::TimedOut(timeout.saturating_add(grace))),
            Phase::Ended => {}
        }
    }

    /// Ends a run that the service believes to be going on, for the reason that its reader gets.
    pub(super) fn stop(&mut self, id: RunId, error: RunError) {
        if self.config.extensions.cancel && self.runs.get(id).is_some_and(Run::may_go_on) {
            self.ask_to_stop(id);
            self.let_go(id, error);
        } else {
            self.end(id, Err(error));
        }
    }

    /// The service is to interrupt a run: now, or with the next connection.
    pub(super) fn ask_to_stop(&mut self, id: RunId) {
        let Some(run) = self.runs.get_mut(id) else { return };
        // On an open connection what shows the run may still wait in the outbox: the cancel goes behind it.
        let is_shown = run.phase == Phase::Sent || self.dial.open_link().is_some();
        run.phase = Phase::Cancelling;
        if is_shown {
            self.enqueue(id, |address| address.cancel());
        } else {
            self.outbox.remove(id); // said anew once there is a connection
        }
    }

    /// The reader of a run that is to stop waits no longer. That it has stopped is still to be confirmed, so the run stays
    /// until it is or is given up: the connection may have been dead that carried the cancel.
    pub(super) fn let_go(&mut self, id: RunId, error: RunError) {
        self.runs.let_go(id, Err(error));
        self.runs.set_deadline(id, self.now + self.config.give_up);
    }

    pub(super) fn end(&mut self, id: RunId, end: RunEnd) {
        let queued = self.runs.get(id).is_some_and(|run| run.phase == Phase::Queued);
        if queued {
            self.outbox.remove(id);
        }
        if !self.runs.end(id, end) {
            return;
        }
        self.streams.end(id);
        // A service may work on one run after the other: what has waited behind this one begins to count only now.
        for waiting in self.runs.live_ids(|run| run.phase == Phase::Sent && !run.received) {
            self.arm(waiting, true);
        }
        if self.runs.live().next().is_none() {
            self.dial.unwant();
        }
    }
}
