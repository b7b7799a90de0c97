//! The handle of a kernel.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use crate::channel::CellChannel;
use crate::{Cell, CellEnd, Execution, KernelSpec, Outcome, StartError};

/// A handle to one kernel: cheap to clone. The process starts with the first cell, or before it
/// ([`warm`](Kernel::warm)); when the last handle is dropped, the whole process tree is killed.
#[derive(Debug, Clone)]
pub struct Kernel {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    queue: Arc<Queue>,
    spec: Arc<KernelSpec>,
    stopped: watch::Receiver<bool>,
}

impl Kernel {
    /// A kernel that has not started yet. Call it inside a tokio runtime: the kernel is a task of it.
    #[must_use]
    pub fn new(spec: KernelSpec) -> Self {
        let spec = Arc::new(spec);
        let queue = Arc::new(Queue::default());
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(crate::actor::run(Arc::clone(&spec), Arc::clone(&queue), stop));
        Self { handle: Arc::new(Handle { queue, spec, stopped }) }
    }

    /// Queues a cell: cells of one kernel run in the order of these calls.
    ///
    /// Never fails by itself: what went wrong is in the execution's end.
    #[must_use = "dropping an execution interrupts its cell"]
    pub fn run(&self, cell: Cell) -> Execution {
        let limits = &self.handle.spec.limits;
        let queue = &self.handle.queue;
        let channel = Arc::new(CellChannel::new(Arc::downgrade(queue), cell.stdin, limits.stdin_buffer));
        let job = Job { cell, channel: Arc::clone(&channel) };
        if let Err((job, error)) = queue.push(job, limits.queued_cells) {
            job.end(CellEnd::never(Outcome::NotStarted(error)));
        }
        Execution::new(channel)
    }

    /// Starts the process now, if there is none, and waits until a cell can run in it at once. No cell is counted for
    /// this, and nothing of it can be seen by one.
    ///
    /// # Errors
    /// What a first cell would have ended with. The next cell, or the next call, tries anew.
    pub async fn warm(&self) -> Result<(), StartError> {
        let (order, done) = oneshot::channel();
        self.handle.queue.warm(order);
        done.await.unwrap_or(Err(StartError::ShutDown))
    }

    /// Whether there is a process, as far as is known.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.handle.queue.has_process.load(Ordering::Relaxed)
    }

    /// Kills the process tree and waits until it is gone. Queued and running cells end as
    /// [`Cancelled`](Outcome::Cancelled), later ones with [`StartError::ShutDown`].
    pub async fn shutdown(&self) {
        self.handle.queue.close();
        let mut stopped = self.handle.stopped.clone();
        // An error means that the task is gone, which is what is waited for.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// A cell on its way to the interpreter. One that is dropped on the way ends as cancelled.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) cell: Cell,
    pub(crate) channel: Arc<CellChannel>,
}

impl Job {
    pub(crate) fn end(self, end: CellEnd) {
        self.channel.end(end);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.channel.end(CellEnd::never(Outcome::Cancelled));
    }
}

/// Who waits for a process that is warm.
pub(crate) type Warming = oneshot::Sender<Result<(), StartError>>;

/// What the actor is to do next.
#[derive(Debug)]
pub(crate) enum Task {
    Run(Job),
    Warm(Warming),
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
    warmings: Vec<Warming>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job, limit: usize) -> Result<(), (Job, StartError)> {
        let mut state = self.lock();
        if state.closed {
            return Err((job, StartError::ShutDown));
        }
        if state.jobs.len() >= limit {
            return Err((job, StartError::QueueFull(limit)));
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn warm(&self, order: Warming) {
        let mut state = self.lock();
        if !state.closed {
            state.warmings.push(order);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next cell, or else who waits for the process; `None`: there is nothing to do.
    pub(crate) fn pop(&self) -> Option<Task> {
        let mut state = self.lock();
        state.jobs.pop_front().map(Task::Run).or_else(|| state.warmings.pop().map(Task::Warm))
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
        let warmings = std::mem::take(&mut state.warmings);
        drop(state);
        drop((jobs, warmings));
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
