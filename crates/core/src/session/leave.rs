//! Leaving a run that goes on.

use super::Session;
use super::runs::Phase;
use crate::run::{RunError, RunId};
use crate::time::Instant;

impl Session {
    /// A run that was begun elsewhere goes on when its reader goes, as a detached command does: whoever
    /// [abandons](Self::abandon) it leaves it.
    pub fn keep_going(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(id) {
            run.goes_on = true;
        }
    }

    /// Follows a run no longer, and lets it go on: it ends here with [`RunError::Left`], as soon as the service is known to
    /// have it. Without effect after the end.
    pub fn leave(&mut self, now: Instant, id: RunId) {
        self.advance(now);
        if let Some(run) = self.runs.get_mut(id).filter(|run| run.is_live() && run.phase != Phase::Cancelling) {
            run.leaves = true;
            self.leave_if_known(id);
        }
    }

    /// Leaves a run that is to be left, once the service is known to have it. `true`: it is, or will be.
    pub(super) fn leave_if_known(&mut self, id: RunId) -> bool {
        let Some(run) = self.runs.get(id).filter(|run| run.leaves) else { return false };
        if run.phase == Phase::Sent && run.received {
            let taken = run.acked;
            if taken > 0 {
                self.enqueue(id, |address| address.ack(taken)); // the next reader begins behind it
            }
            self.enqueue(id, |address| address.leave());
            self.end(id, Err(RunError::Left));
        }
        true
    }
}
