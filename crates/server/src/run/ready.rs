//! Which of a subscriber's runs have something to show: a queue, so that they take turns.
//!
//! It also stands for the subscriber itself: a run knows its subscriber by it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::Run;
use crate::listen::cut::Cut;
use crate::lock::lock;

/// Which of a subscriber's runs have something to show, in the order of their turns. A run is in it once for each time that
/// the subscriber came to it.
#[derive(Default)]
pub(crate) struct ReadyRuns {
    queue: Mutex<VecDeque<Ready>>,
    bell: Notify,
    over_http: bool,
    connection: Cut,
}

/// What is up with a run.
pub(crate) enum Ready {
    /// It has something to show.
    Run(Arc<Run>),
    /// It can be shown no more, and this is why: another subscriber has it, or what it had said cannot be read any more.
    Lost(Arc<Run>, &'static str),
}

impl ReadyRuns {
    /// That of a subscriber that this connection is.
    pub(crate) fn of(connection: Cut) -> Self {
        Self { connection, ..Self::default() }
    }

    /// That of a subscriber over plain HTTP, whose acknowledgements come by other requests than its stream.
    pub(crate) fn over_http(connection: Cut) -> Self {
        Self { over_http: true, ..Self::of(connection) }
    }

    /// Ends the connection, if what is under way on it is not taken.
    pub(super) fn cut(&self) {
        self.connection.cut();
    }

    pub(super) fn is_over_http(&self) -> bool {
        self.over_http
    }

    /// Adds a run behind the others.
    pub(super) fn push(&self, ready: Ready) {
        lock(&self.queue).push_back(ready);
        self.bell.notify_one();
    }

    /// Takes the run whose turn it is.
    pub(crate) fn pop(&self) -> Option<Ready> {
        lock(&self.queue).pop_front()
    }

    /// How many turns wait.
    pub(crate) fn len(&self) -> usize {
        lock(&self.queue).len()
    }

    /// Whether [`ReadyRuns::pop`] has one.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.queue).is_empty()
    }

    /// Waits until something was pushed since the last wait. May return early: look with [`ReadyRuns::pop`].
    pub(crate) async fn pushed(&self) {
        self.bell.notified().await;
    }
}
