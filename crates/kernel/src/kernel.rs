//! The handle of a kernel.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{oneshot, watch};

use crate::channel::CellChannel;
use crate::event_queue::{EventQueue, Hold};
use crate::queue::{Job, Queue};
use crate::{Cell, CellSink, Execution, ExecutionControl, KernelSpec, StartError};

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

    /// Queues a cell, whose events wait in a queue for the caller. Otherwise as [`run_into`](Self::run_into).
    #[must_use = "dropping an execution interrupts its cell"]
    pub fn run(&self, cell: Cell) -> Execution {
        self.run_holding(cell, Box::new(|_| true))
    }

    /// The same; `hold` says what may be held of large messages that have not come whole: [`CellSink::hold`].
    #[must_use = "dropping an execution interrupts its cell"]
    pub fn run_holding(&self, cell: Cell, hold: Hold) -> Execution {
        let events = Arc::new(EventQueue::new(self.handle.spec.limits.output_buffer, hold));
        let control = self.run_into(cell, Arc::clone(&events));
        Execution::new(events, control)
    }

    /// Queues a cell, whose events go to the sink: cells of one kernel run in the order of these calls.
    ///
    /// Never fails by itself: what went wrong is in the cell's end, which may be pushed before this returns.
    pub fn run_into(&self, cell: Cell, sink: impl CellSink + 'static) -> ExecutionControl {
        let limits = &self.handle.spec.limits;
        let queue = &self.handle.queue;
        let waiting = Arc::downgrade(queue);
        let on_interrupt = move || waiting.upgrade().into_iter().for_each(|queue| queue.remove_interrupted());
        let channel = Arc::new(CellChannel::new(Box::new(on_interrupt), cell.stdin, limits.stdin_buffer));
        let job = Job { cell, channel: Arc::clone(&channel), sink: Box::new(sink) };
        queue.push(job, limits.queued_cells);
        ExecutionControl::new(channel)
    }

    /// Starts the process now, if there is none, and waits until a cell can run in it at once. No cell is counted for
    /// this, and nothing of it can be seen by one.
    ///
    /// # Errors
    /// What a first cell would have ended with. The next cell, or the next call, tries anew.
    pub async fn warm(&self) -> Result<(), StartError> {
        let (request, done) = oneshot::channel();
        self.handle.queue.warm(request);
        done.await.unwrap_or(Err(StartError::ShutDown))
    }

    /// Whether there is a process, as far as is known.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.handle.queue.has_process.load(Ordering::Relaxed)
    }

    /// Kills the process tree and waits until it is gone. Queued and running cells end as
    /// [`Cancelled`](crate::Outcome::Cancelled), later ones with [`StartError::ShutDown`].
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
