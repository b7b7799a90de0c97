//! Which of a viewer's runs have something to show: a queue, so that they take turns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::Run;

/// Which of a viewer's runs have something to show, in the order of their turns. A run is in it once at most, so it is
/// as long as the viewer has runs.
#[derive(Default)]
pub(crate) struct ReadyRuns {
    queue: Mutex<VecDeque<Arc<Run>>>,
    bell: Notify,
}

impl ReadyRuns {
    /// Adds a run behind the others.
    pub(super) fn push(&self, run: Arc<Run>) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(run);
        self.bell.notify_one();
    }

    /// Takes the run whose turn it is.
    pub(crate) fn pop(&self) -> Option<Arc<Run>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Whether [`ReadyRuns::pop`] has one.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Waits until something was pushed since the last wait. May return early: look with [`ReadyRuns::pop`].
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }
}
