//! The cells that wait for the interpreter.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::channel::CellChannel;
use crate::{Cell, CellEnd, CellEvent, CellSink, Outcome, StartError};

/// A cell on its way to the interpreter. One that is dropped on the way ends as cancelled.
///
/// It alone holds the sink: those who steer the cell may be held by whoever the sink belongs to.
pub(crate) struct Job {
    pub(crate) cell: Cell,
    pub(crate) channel: Arc<CellChannel>,
    pub(crate) sink: Box<dyn CellSink>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("cell", &self.cell).field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Job {
    pub(crate) fn end(mut self, end: CellEnd) {
        self.push_end(end);
    }

    fn push_end(&mut self, end: CellEnd) {
        if self.channel.end() {
            self.sink.push(CellEvent::End(end));
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.push_end(CellEnd::never(Outcome::Cancelled));
    }
}

/// Is answered once there is a warm process.
pub(crate) type WarmRequest = oneshot::Sender<Result<(), StartError>>;

/// What the actor is to do next.
#[derive(Debug)]
pub(crate) enum Task {
    Run(Job),
    Warm(WarmRequest),
}

/// The cells that wait, shared by the handles and the actor.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    changed: Notify,
    /// Set by the actor.
    pub(crate) has_process: AtomicBool,
}

#[derive(Debug, Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    warm_requests: Vec<WarmRequest>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a cell behind the others. One that is not taken ends here.
    pub(crate) fn push(&self, job: Job, limit: usize) {
        let mut state = self.lock();
        let refusal = if state.closed {
            Some(StartError::ShutDown)
        } else {
            (state.jobs.len() >= limit).then_some(StartError::QueueFull(limit))
        };
        if let Some(error) = refusal {
            drop(state); // a sink may do anything
            return job.end(CellEnd::never(Outcome::NotStarted(error)));
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn warm(&self, request: WarmRequest) {
        let mut state = self.lock();
        if !state.closed {
            state.warm_requests.push(request);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next cell, or else a request for a process; `None`: there is nothing to do.
    pub(crate) fn pop(&self) -> Option<Task> {
        let mut state = self.lock();
        state.jobs.pop_front().map(Task::Run).or_else(|| state.warm_requests.pop().map(Task::Warm))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Resolves after a cell was queued or the queue was closed. For the actor only: there is one waiter.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let jobs = std::mem::take(&mut state.jobs);
        let warm_requests = std::mem::take(&mut state.warm_requests);
        drop(state);
        drop((jobs, warm_requests));
        self.changed.notify_one();
    }

    /// Ends what waits and was interrupted.
    pub(crate) fn remove_interrupted(&self) {
        let mut state = self.lock();
        let (gone, stay) = std::mem::take(&mut state.jobs).into_iter().partition(|job| job.channel.interrupted());
        state.jobs = stay;
        drop(state);
        let gone: VecDeque<Job> = gone;
        drop(gone);
    }
}
