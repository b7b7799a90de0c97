//! A run: one program on its way through one kernel.
//!
//! A run is an object of its own, apart from the connection that shows it. Its task, the [`keeper`], takes events out of
//! the kernel and puts them into the run's [`Log`] while that has room; a viewer takes them out, numbered. Neither
//! waits for the other except through the log: a log without room stops the keeper, the kernel's pipe fills, and the
//! program waits in its own `write`.
//!
//! ```text
//! program ─pipe─► kernel ─► keeper (a task a run) ─► Log ─► viewer: a connection, in turns with its other runs
//!                             └─ file, where the log asks for it
//! ```
//!
//! Beside the viewer others may watch: they see what it is shown and change nothing ([`watchers`]).
//!
//! A run has one viewer at a time: the newest. When its viewer goes, a run that was started with `resume` goes on for a
//! while without one; any other is abandoned: its program is interrupted, what it still says is dropped. The keeper ends
//! with the program, or when a run that can be resumed has been over for long enough.

pub(crate) mod event;
pub(crate) mod frame;
mod input;
mod keeper;
mod log;
pub(crate) mod outcome;
mod ready;
mod replay;
mod spool;
mod tail;
mod watchers;
mod window;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agb_kernel::{Cell, ExecutionControl, Kernel};
use agb_protocol::DEFAULT_TARGET;
use agb_protocol::RunStatus;
use agb_protocol::service::{Reply, StartRun};
use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::event::{Event, Finish, RunFailure};
use self::frame::Label;
use self::input::Taken;
use self::log::Log;
pub(crate) use self::log::{MAX_CHUNK, NoReplay, Shown};
use self::outcome::Stop;
pub(crate) use self::ready::{Ready, ReadyRuns};
use self::replay::ReplayLimits;
use self::spool::Spool;
use self::watchers::{OWNER_LEFT, Watchers};
pub(crate) use self::window::Place;
use crate::EXTENSIONS;
use crate::config::Limits;
use crate::metrics::RunMeter;
use crate::network::Advisor;

/// One program on its way through one kernel.
pub(crate) struct Run {
    id: String,
    wishes: Wishes,
    control: ExecutionControl,
    times: Times,
    /// How many may watch.
    max_watchers: usize,
    /// How much is kept for those who watch, bytes.
    tail: usize,
    state: Mutex<State>,
    /// Tells the keeper that the state has changed.
    changed: Notify,
}

struct State {
    log: Log,
    viewer: Option<Arc<ReadyRuns>>,
    /// Whether the viewer's queue holds this run, so that it does so once.
    queued: bool,
    watchers: Watchers,
    /// Why the program was told to stop.
    stop: Option<Stop>,
    /// The interpreter has the program.
    begun: bool,
    /// The program has ended.
    ended: bool,
    /// Since when nobody looks, or nobody has to look any more.
    idle_since: Instant,
    input: Taken,
    /// The keeper waits for room.
    held_back: bool,
    /// Nobody can ever see it again.
    forgotten: bool,
}

/// How long a run stays that nobody looks at.
#[derive(Clone, Copy, Debug)]
struct Times {
    unwatched: Duration,
    retention: Duration,
}

/// What a client wants of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    /// It asked for an extension: its events are numbered, and the first says what the server knows.
    pub(crate) extended: bool,
    /// It will come back for the run after a lost connection.
    pub(crate) resume: bool,
    /// The `flow` extension's window.
    pub(crate) window: Option<u64>,
    /// It answers the program's requests for input.
    pub(crate) stdin: bool,
}

impl Wishes {
    /// What a start asks for, within the server's limits.
    pub(crate) fn of(start: &StartRun, limits: &Limits) -> Self {
        Self {
            extended: start.is_extended(),
            resume: start.resume,
            window: start.window.map(|window| window.min(limits.max_window)),
            stdin: start.stdin,
        }
    }
}

/// A program to start, and where what it says may be kept.
pub(crate) struct Program<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) cell: Cell,
    pub(crate) spool: PathBuf,
    pub(crate) meter: RunMeter,
    pub(crate) advisor: Advisor,
}

impl Run {
    /// Starts a program. `busy` is dropped when it has ended, `kept` when the run can be seen no more.
    pub(crate) fn start(
        id: String,
        wishes: Wishes,
        limits: &Limits,
        program: Program<'_>,
        busy: impl Send + 'static,
        kept: impl Send + 'static,
    ) -> Arc<Self> {
        let execution = program.kernel.run(program.cell);
        let mut log = new_log(&id, wishes, limits);
        if wishes.extended {
            log.push(Event::Accepted);
        }
        if wishes.resume {
            log.detach(); // its viewer comes by another call, or never
        }
        let state = State {
            log,
            viewer: None,
            queued: false,
            watchers: Watchers::default(),
            stop: None,
            begun: false,
            ended: false,
            idle_since: Instant::now(),
            input: Taken::default(),
            held_back: false,
            forgotten: false,
        };
        let run = Arc::new(Self {
            id,
            wishes,
            control: execution.control(),
            times: Times { unwatched: limits.unwatched_time, retention: limits.resume_retention },
            max_watchers: limits.max_watchers,
            tail: limits.replay_memory,
            state: Mutex::new(state),
            changed: Notify::new(),
        });
        tokio::spawn(keeper::keep(
            Arc::clone(&run),
            execution,
            (program.meter, program.advisor),
            Spool::new(program.spool),
            busy,
            kept,
        ));
        run
    }

    /// The id its client made.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether it outlives its viewer.
    pub(crate) fn is_kept(&self) -> bool {
        self.wishes.resume
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.state().log.memory()
    }

    /// Interrupts the program because its client wants that. The run's end follows by itself.
    pub(crate) fn interrupt(&self) {
        self.stop(Stop::Client);
    }

    /// Interrupts the program because its session ends, whatever for.
    pub(crate) fn interrupt_with(&self, reason: &'static str) {
        self.stop(Stop::Service(reason));
    }

    /// The server was told to stop, and interrupts the program then.
    pub(crate) fn announce_stop(self: &Arc<Self>, within: Duration) {
        if self.wishes.extended && !within.is_zero() {
            self.push(Event::Ending { seconds: within.as_secs_f64() });
        }
    }

    /// The frame that tells a viewer which has come back that the run is here: the program may be silent for long, and
    /// what it says next may be a frame that a bad connection does not carry whole. It has no number: it is no event.
    pub(crate) fn greeting(&self) -> String {
        let reply = Reply { invocation: &self.id, source: DEFAULT_TARGET, seq: None, time: None };
        let state = self.state();
        reply.greeting(state.begun, EXTENSIONS, state.input.seq)
    }

    /// From now on `viewer` is told when there is something to show, from this place on. A viewer that was there
    /// before is told that it is none any more.
    pub(crate) fn attach(self: &Arc<Self>, viewer: &Arc<ReadyRuns>, place: Place) -> Result<(), NoReplay> {
        {
            let mut state = self.state();
            state.log.attach(place)?;
            if !is(&state.viewer, viewer) {
                if let Some(old) = state.viewer.replace(Arc::clone(viewer)) {
                    old.push(Ready::Lost(Arc::clone(self), "the run is watched by a later connection now"));
                }
                state.queued = false;
            }
            self.announce(&mut state);
        }
        self.changed.notify_one(); // a part of the log may have to be read back
        Ok(())
    }

    /// The next event for the viewer or a watcher, if that is who asks. The run keeps its place in the viewer's queue while it has
    /// more.
    pub(crate) fn show(self: &Arc<Self>, viewer: &Arc<ReadyRuns>) -> Option<Shown> {
        let mut state = self.state();
        if !is(&state.viewer, viewer) {
            return self.show_to_watcher(&mut state, viewer);
        }
        let shown = state.confirm_input(&self.id).or_else(|| state.log.show());
        state.queued = false;
        self.announce(&mut state);
        if state.log.is_over() {
            state.idle_since = Instant::now();
        }
        self.wake_keeper(&mut state);
        shown
    }

    /// The viewer has taken every event up to `seq`.
    pub(crate) fn acknowledge(self: &Arc<Self>, viewer: &Arc<ReadyRuns>, seq: u64) {
        let mut state = self.state();
        if is(&state.viewer, viewer) {
            drop(state);
            self.acknowledge_all(seq);
        } else {
            self.acknowledge_of_watcher(&mut state, viewer, seq);
        }
    }

    /// Whoever views the run has taken every event up to `seq`.
    pub(crate) fn acknowledge_all(self: &Arc<Self>, seq: u64) {
        let mut state = self.state();
        state.log.acknowledge(seq);
        self.announce(&mut state);
        self.wake_keeper(&mut state);
    }

    /// The viewer goes. A run that is not kept is interrupted, and what it still says is dropped. Whoever only watches may
    /// go without any of that.
    pub(crate) fn leave(self: &Arc<Self>, viewer: &Arc<ReadyRuns>) {
        let mut state = self.state();
        if !is(&state.viewer, viewer) {
            drop(state);
            return self.unwatch(viewer);
        }
        state.viewer = None;
        state.idle_since = Instant::now();
        if self.wishes.resume {
            state.log.detach();
            self.announce_to_watchers(&mut state);
            drop(state);
            self.changed.notify_one();
        } else {
            drop(state);
            self.abandon(OWNER_LEFT);
        }
    }

    /// The run's session is gone, or needs the memory: once it has ended and nobody looks, it is forgotten.
    pub(crate) fn forget(&self) {
        self.state().forgotten = true;
        self.changed.notify_one();
    }

    /// Nobody can be shown what comes, and those who watch hear why.
    fn abandon(self: &Arc<Self>, why: &'static str) {
        let mut state = self.state();
        state.log.abandon();
        self.dismiss_watchers(&mut state, why);
        drop(state);
        self.changed.notify_one();
        self.stop(Stop::Client);
    }

    fn stop(&self, stop: Stop) {
        self.state().stop.get_or_insert(stop);
        self.control.interrupt();
    }

    fn push(self: &Arc<Self>, event: Event) {
        let mut state = self.state();
        match event {
            Event::Started => state.begun = true,
            Event::End(_) => {
                state.ended = true;
                state.idle_since = Instant::now();
            }
            _ => {}
        }
        state.log.push(event);
        self.announce(&mut state);
    }

    /// Puts the run into its viewer's queue, and the watchers', when there is something to show and it is not there yet.
    fn announce(self: &Arc<Self>, state: &mut State) {
        if !state.queued
            && (state.log.is_readable() || state.input.due)
            && let Some(viewer) = &state.viewer
        {
            viewer.push(Ready::Run(Arc::clone(self)));
            state.queued = true;
        }
        self.announce_to_watchers(state);
    }

    fn wake_keeper(&self, state: &mut State) {
        if state.held_back && state.log.has_room() || state.log.wants_file() {
            state.held_back = false;
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; and if it did, a log is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The frames of a run that comes to nothing: why, and an end.
pub(crate) fn refusal(id: &str, wishes: Wishes, limits: &Limits, failure: RunFailure) -> Vec<Utf8Bytes> {
    let finish = Finish {
        failed: true,
        execution_error: Some(event::one_line(&failure)),
        execution_time: Some(0.0),
        reason: Some(RunStatus::Failed),
        ..Finish::default()
    };
    let mut log = new_log(id, Wishes { resume: false, ..wishes }, limits);
    log.push(Event::Error(failure));
    log.push(Event::End(finish));
    std::iter::from_fn(|| log.show()).map(|shown| shown.text).collect()
}

/// The frame that tells a watcher that it watches. It has no number: it is no event of the run.
pub(crate) fn watching(id: &str) -> String {
    Reply { invocation: id, source: DEFAULT_TARGET, seq: None, time: None }.greeting(false, EXTENSIONS, 0)
}

fn new_log(id: &str, wishes: Wishes, limits: &Limits) -> Log {
    let label = Label {
        id: id.to_owned(),
        numbered: wishes.extended,
        limit: if wishes.extended { limits.max_extended_frame } else { limits.max_frame },
    };
    let replay = ReplayLimits { memory: limits.replay_memory, spool: limits.replay_spool };
    Log::new(label, limits.run_buffer, wishes.window, wishes.resume.then_some(replay))
}

fn is(viewer: &Option<Arc<ReadyRuns>>, other: &Arc<ReadyRuns>) -> bool {
    viewer.as_ref().is_some_and(|viewer| Arc::ptr_eq(viewer, other))
}
