//! A run: one program and what it says.
//!
//! A run is an object of its own, apart from the connection that shows it and from what runs the program, its [`Source`].
//! The source puts events into the run's [`Log`] through a [`Feed`]; a subscriber takes them out, numbered. Neither waits
//! for the other except through the log, the only queue between them: the source reads no more while the log has no room,
//! the program's pipe fills, and the program waits in its own `write`.
//!
//! ```text
//! program ─pipe─► source: a kernel, say ─► Feed ─► Log ─► subscriber: a connection, in turns with its other runs
//!                                                  └─ run task (a task a run): the log's file, deadlines
//! ```
//!
//! Beside the subscriber others may watch: they see what it is shown and change nothing ([`observers`]).
//!
//! A run has one subscriber at a time: the newest. When its subscriber goes, a run that was started with `resume` goes on for a
//! while without one; any other is abandoned: its program is interrupted, what it still says is dropped. The run task ends
//! with the program, or when a run that can be resumed has been over for long enough.

mod end;
pub(crate) mod event;
pub(crate) mod frame;
mod input;
mod log;
mod observers;
mod ready;
mod replay;
mod source;
mod spool;
mod subscriber;
mod tail;
mod task;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use agb_protocol::RunStatus;
use agb_protocol::command::StartCommand;
use agb_protocol::service::StartRun;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use self::end::End;
use self::event::{Event, Finish, RunFailure};
use self::frame::Label;
pub(crate) use self::frame::watching;
use self::input::Taken;
use self::log::Log;
pub(crate) use self::log::{MAX_CHUNK, NoReplay, Shown};
use self::observers::Observers;
pub(crate) use self::ready::{Ready, ReadyRuns};
use self::replay::ReplayLimits;
pub(crate) use self::source::{Feed, InputError, NO_SIGNALS, NO_TERMINAL, Source, Stop, vanished};
use self::spool::Spool;
pub(crate) use self::spool::SpoolSpace;
pub(crate) use self::window::Cursor;
use crate::budget::{Charge, Receipt};
use crate::lock::lock;
use crate::settings::Limits;

/// One program and what it says.
pub(crate) struct Run {
    id: String,
    options: RunOptions,
    /// Set by [`Run::start`], before anybody has the run.
    source: OnceLock<Box<dyn Source>>,
    times: Times,
    /// How many may watch.
    max_watchers: usize,
    /// How much is kept for those who watch, bytes.
    tail: usize,
    state: Mutex<State>,
    /// Tells the run task that the state has changed.
    changed: Notify,
}

struct State {
    log: Log,
    subscriber: Option<Arc<ReadyRuns>>,
    /// The last number that a subscriber over HTTP was shown, or came with.
    shown_over_http: u64,
    /// Whether the subscriber's queue holds this run, so that it does so once.
    queued: bool,
    observers: Observers,
    /// A charge of nothing, of what its session may hold.
    texts: Option<Charge>,
    /// Memory is short, and a part of the run's file was read for the subscriber all the same: whose turn that is, until when.
    page_turn: Option<(OwnedSemaphorePermit, Instant)>,
    /// With the large events that the subscriber was shown.
    under_way: Receipt,
    /// Why the program was told to stop.
    stop: Option<Stop>,
    /// The interpreter has the program.
    begun: bool,
    /// The program has ended.
    ended: bool,
    /// How.
    end: End,
    /// Since when nobody looks, or nobody has to look any more.
    idle_since: Instant,
    input: Taken,
    /// The source waits for room; after the end the run task does.
    held_back: bool,
    /// Nobody can ever see it again.
    forgotten: bool,
}

/// How long a run stays that nobody looks at.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// `None`: as long as its program runs.
    unwatched: Option<Duration>,
    retention: Duration,
}

/// What a client wants of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunOptions {
    /// It asked for an extension: its events are numbered, and the first says what the server knows.
    pub(crate) extended: bool,
    /// It will come back for the run after a lost connection.
    pub(crate) resume: bool,
    /// The `flow` extension's window.
    pub(crate) window: Option<u64>,
    /// It answers the program's requests for input.
    pub(crate) stdin: bool,
    /// The program goes on without anybody, and waits for nobody.
    pub(crate) detached: bool,
    /// What the server says that it knows.
    pub(crate) extensions: &'static [&'static str],
}

impl RunOptions {
    /// What a start asks for, within the server's limits.
    pub(crate) fn of(start: &StartRun, limits: &Limits, extensions: &'static [&'static str]) -> Self {
        if extensions.is_empty() {
            return Self::default();
        }
        Self {
            extensions,
            extended: start.is_extended(),
            resume: start.resume,
            window: start.window.map(|window| window.min(limits.max_window)),
            stdin: start.stdin,
            detached: false,
        }
    }

    /// The same of a command. A detached one is found again, so it is kept.
    pub(crate) fn of_command(start: &StartCommand, limits: &Limits, extensions: &'static [&'static str]) -> Self {
        Self {
            extended: true,
            resume: start.resume || start.detached,
            window: start.window.map(|window| window.min(limits.max_window)),
            stdin: start.stdin,
            detached: start.detached,
            extensions,
        }
    }
}

impl Run {
    /// Starts a run of what `start` starts. What it says is kept in `spool` where memory does not take it.
    /// `busy` is dropped when the program has ended and its last output has room, `kept` when the run can be seen no more.
    pub(crate) fn start(
        id: String,
        options: RunOptions,
        limits: &Limits,
        spool: SpoolSpace,
        start: impl FnOnce(Feed) -> Box<dyn Source>,
        busy: impl Send + 'static,
        kept: impl Send + 'static,
    ) -> Arc<Self> {
        let mut log = new_log(&id, options, limits);
        if options.detached {
            log.never_wait();
        }
        if options.extended {
            log.push(Event::Accepted);
        }
        if options.resume {
            log.detach(); // its subscriber comes by another call, or never
        }
        let state = State {
            log,
            subscriber: None,
            shown_over_http: 0,
            queued: false,
            observers: Observers::default(),
            texts: None,
            page_turn: None,
            under_way: Receipt::default(),
            stop: None,
            begun: false,
            ended: false,
            end: End::default(),
            idle_since: Instant::now(),
            input: Taken::default(),
            held_back: false,
            forgotten: false,
        };
        let run = Arc::new(Self {
            id,
            options,
            source: OnceLock::new(),
            times: Times {
                unwatched: (!options.detached).then_some(limits.unwatched_time),
                retention: limits.resume_retention,
            },
            max_watchers: limits.max_watchers,
            tail: limits.replay_memory,
            state: Mutex::new(state),
            changed: Notify::new(),
        });
        let source = start(Feed::new(Arc::clone(&run)));
        run.source.get_or_init(|| source);
        tokio::spawn(task::keep(Arc::clone(&run), Spool::new(spool), busy, kept));
        run
    }

    /// What is kept of what it says, of its end, and what its subscriber is sent, is a part of `memory` from now on, and what
    /// observers read of its file and are sent one of `pages`.
    pub(crate) fn count(&self, memory: Charge, pages: Charge) {
        let mut state = self.state();
        state.end.count(memory.another());
        state.texts = Some(memory.another());
        state.log.count(memory);
        state.observers.charge = Some(pages);
    }

    /// The id its client made.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// How its program has ended, if it has.
    pub(crate) fn finish(&self) -> Option<Finish> {
        self.state().end.finish().cloned()
    }

    /// Whether it outlives its subscriber.
    pub(crate) fn is_kept(&self) -> bool {
        self.options.resume
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        let state = self.state();
        state.log.memory() + state.end.memory()
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
        if self.options.extended && !within.is_zero() {
            self.push(Event::Ending { seconds: within.as_secs_f64() });
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
        self.dismiss_observers(&mut state, why);
        drop(state);
        self.changed.notify_one();
        self.stop(Stop::Client);
    }

    /// Not under the lock: the source may have an end to push at once.
    fn stop(&self, stop: Stop) {
        self.state().stop.get_or_insert(stop);
        if let Some(source) = self.source.get() {
            source.interrupt();
        }
    }

    /// What a person reads is cut before it is kept: the end stays for as long as the run can be resumed.
    fn push(self: &Arc<Self>, event: Event) {
        let event = event.shortened();
        let mut state = self.state();
        if state.ended {
            return;
        }
        match event {
            Event::Started => {
                state.begun = true;
                if !self.options.extended {
                    return;
                }
            }
            Event::End(ref finish) => {
                state.ended = true;
                state.end.set(finish.clone());
                state.idle_since = Instant::now();
                state.push_refused();
            }
            _ => {}
        }
        state.log.push(event);
        self.announce(&mut state);
        if state.ended || state.log.wants_file() {
            self.changed.notify_one();
        }
    }

    /// By how much the log is above what it takes. If it is, the source hears when it is not any more.
    fn excess(&self) -> Option<usize> {
        let mut state = self.state();
        let excess = state.log.excess();
        state.held_back = excess.is_some();
        excess
    }

    /// Puts the run into its subscriber's queue, and the observers', when there is something to show and it is not there yet.
    fn announce(self: &Arc<Self>, state: &mut State) {
        if !state.queued
            && (state.log.is_readable() || state.input.due)
            && let Some(subscriber) = &state.subscriber
        {
            subscriber.push(Ready::Run(Arc::clone(self)));
            state.queued = true;
        }
        self.announce_to_observers(state);
    }

    /// After what may have made room, or work for the run task.
    fn wake(&self, state: &mut State) {
        self.resume(state);
        if state.log.wants_file() {
            self.changed.notify_one();
        }
    }

    /// Tells whoever waits for room in the log that there is some.
    fn resume(&self, state: &mut State) {
        if !state.held_back || !state.log.has_room() {
            return;
        }
        state.held_back = false;
        if state.ended {
            self.changed.notify_one();
        } else if let Some(source) = self.source.get() {
            source.resume();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; and if it did, a log is whole between any two statements.
        lock(&self.state)
    }
}

/// The frames of a run that comes to nothing: why, and an end.
pub(crate) fn refusal(id: &str, options: RunOptions, limits: &Limits, failure: RunFailure) -> Vec<Utf8Bytes> {
    let finish = Finish {
        failed: true,
        execution_error: Some(event::one_line(&failure)),
        execution_time: Some(0.0),
        reason: Some(RunStatus::Failed),
        ..Finish::default()
    };
    let mut log = new_log(id, RunOptions { resume: false, ..options }, limits);
    log.push(Event::Error(failure));
    log.push(Event::End(finish));
    std::iter::from_fn(|| log.show()).map(|shown| shown.text).collect()
}

fn new_log(id: &str, options: RunOptions, limits: &Limits) -> Log {
    let label = Label {
        id: id.to_owned(),
        numbered: options.extended,
        limit: if options.extended { limits.max_extended_frame } else { limits.max_frame },
        extensions: options.extensions,
    };
    let replay = ReplayLimits { memory: limits.replay_memory, spool: limits.replay_spool };
    Log::new(label, limits.run_buffer, options.window, options.resume.then_some(replay))
}

#[cfg(test)]
mod tests;
