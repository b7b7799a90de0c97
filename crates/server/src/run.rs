//! A run: one program on its way through one kernel.
//!
//! A run is an object of its own, apart from the connection that shows it. Its task, the *pump*, takes events out of
//! the kernel and puts them into the run's [`Log`] while that has room; a viewer takes them out, numbered. Neither
//! waits for the other except through the log: a log without room stops the pump, the kernel's pipe fills, and the
//! program waits in its own `write`.
//!
//! ```text
//! program ─pipe─► kernel ─► pump (a task a run) ─► Log ─► viewer: a connection, in turns with its other runs
//! ```
//!
//! The pump ends with the program, whoever looks. A run that nobody can ever see again is abandoned: its program is
//! interrupted, what it still says is dropped.

pub(crate) mod event;
pub(crate) mod frame;
mod log;
pub(crate) mod outcome;
mod ready;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agb_core::result::RunStatus;
use agb_kernel::{Cell, CellEvent, Execution, ExecutionControl, Kernel};
use tokio::sync::Notify;

use self::event::{Event, Finish, Origin, RunFailure, Stream};
use self::log::Log;
pub(crate) use self::log::{MAX_CHUNK, Shown};
use self::outcome::Ended;
pub(crate) use self::ready::ReadyRuns;

/// One program on its way through one kernel.
pub(crate) struct Run {
    id: String,
    extended: bool,
    control: Option<ExecutionControl>,
    state: Mutex<State>,
    room: Notify,
}

struct State {
    log: Log,
    viewer: Option<Arc<ReadyRuns>>,
    /// Whether the viewer's queue holds this run, so that it does so once.
    queued: bool,
}

/// What a viewer wants of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    /// It asked for an extension: its events are numbered, and the first says what the server knows.
    pub(crate) extended: bool,
    /// The `flow` extension's window.
    pub(crate) window: Option<u64>,
    /// Output kept while the viewer is behind.
    pub(crate) buffer: usize,
}

impl Run {
    /// Starts `cell` in `kernel`. `done` is dropped when the program has ended.
    pub(crate) fn start<D: Send + 'static>(
        id: String,
        wishes: Wishes,
        kernel: &Kernel,
        cell: Cell,
        done: D,
    ) -> Arc<Self> {
        let execution = kernel.run(cell);
        let run = Arc::new(Self::new(id, wishes, Some(execution.control())));
        tokio::spawn(pump(Arc::clone(&run), execution, done));
        run
    }

    /// A run that comes to nothing: it tells why, and ends.
    pub(crate) fn refused(id: String, wishes: Wishes, failure: RunFailure) -> Arc<Self> {
        let run = Arc::new(Self::new(id, wishes, None));
        let finish = Finish {
            failed: true,
            execution_error: Some(event::one_line(&failure)),
            execution_time: Some(0.0),
            reason: Some(RunStatus::Failed),
            ..Finish::default()
        };
        run.push(Event::Error(failure));
        run.push(Event::End(finish));
        run
    }

    fn new(id: String, wishes: Wishes, control: Option<ExecutionControl>) -> Self {
        let state = State { log: Log::new(wishes.buffer, wishes.window), viewer: None, queued: false };
        Self { id, extended: wishes.extended, control, state: Mutex::new(state), room: Notify::new() }
    }

    /// The id its client made.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether its client asked for an extension.
    pub(crate) fn is_extended(&self) -> bool {
        self.extended
    }

    /// Interrupts the program. The run's end follows by itself.
    pub(crate) fn interrupt(&self) {
        if let Some(control) = &self.control {
            control.interrupt();
        }
    }

    /// From now on `viewer` is told when there is something to show.
    pub(crate) fn attach(self: &Arc<Self>, viewer: Arc<ReadyRuns>) {
        let mut state = self.state();
        state.viewer = Some(viewer);
        state.queued = false;
        self.announce(&mut state);
    }

    /// The next event for the viewer. The run keeps its place in the viewer's queue while it has more.
    pub(crate) fn show(self: &Arc<Self>) -> Option<Shown> {
        let mut state = self.state();
        let shown = state.log.show();
        state.queued = false;
        self.announce(&mut state);
        if state.log.has_room() {
            self.room.notify_one();
        }
        shown
    }

    /// The viewer has taken every event up to `seq`.
    pub(crate) fn acknowledge(self: &Arc<Self>, seq: u64) {
        let mut state = self.state();
        state.log.acknowledge(seq);
        self.announce(&mut state);
    }

    /// Nobody can see this run any more: interrupts the program and drops what it says.
    pub(crate) fn abandon(&self) {
        {
            let mut state = self.state();
            state.viewer = None;
            state.log.abandon();
        }
        self.room.notify_one();
        self.interrupt();
    }

    fn push(self: &Arc<Self>, event: Event) {
        let mut state = self.state();
        state.log.push(event);
        self.announce(&mut state);
    }

    /// Puts the run into its viewer's queue when there is something to show and it is not there yet.
    fn announce(self: &Arc<Self>, state: &mut State) {
        if !state.queued
            && state.log.is_readable()
            && let Some(viewer) = &state.viewer
        {
            viewer.push(Arc::clone(self));
            state.queued = true;
        }
    }

    async fn has_room(&self) {
        while !self.state().log.has_room() {
            self.room.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; and if it did, a log is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes events out of the kernel while the log has room.
async fn pump<D>(run: Arc<Run>, mut execution: Execution, done: D) {
    let mut failure_told = false;
    loop {
        run.has_room().await;
        match execution.next().await {
            Some(CellEvent::Started) if run.extended => run.push(Event::Started),
            Some(CellEvent::Started) => {}
            Some(CellEvent::Stdout(text)) => run.push(Event::Chunk(Stream::Stdout.into(), text)),
            Some(CellEvent::Stderr(text)) => run.push(Event::Chunk(Stream::Stderr.into(), text)),
            Some(CellEvent::Background { stream, text }) => run.push(Event::Chunk(Origin::background(stream), text)),
            Some(CellEvent::Result(result)) => {
                run.push(Event::Result { is_main: result.is_main, mime: result.data });
            }
            Some(CellEvent::Error(error)) => {
                failure_told = true;
                run.push(Event::Error(outcome::failure_of(error)));
            }
            Some(CellEvent::InputRequest { .. }) => {
                // Cells are started without stdin: a program that asks all the same finds its input at its end.
                execution.control().close_stdin();
            }
            Some(CellEvent::End(end)) => {
                let Ended { failure, finish } = outcome::ended(end);
                if let Some(failure) = failure
                    && !failure_told
                {
                    run.push(Event::Error(failure));
                }
                run.push(Event::End(finish));
            }
            None => break,
        }
    }
    // Without effect after an end, which every kernel gives.
    run.push(Event::End(outcome::vanished()));
    drop(done);
}
