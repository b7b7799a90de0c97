//! The runs of a session, by their ids.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use agb_protocol::{Finish, Language};

use super::{ActiveRun, Activity, NewSource, Retention, Session, lock, refusal};
use crate::run::event::{RunFailure, failure};
use crate::run::{Run, RunOptions};
use crate::settings::Limits;
use crate::unix_time::unix_ms;

/// The runs that can be seen: those that go on, and those that have ended and can be resumed.
#[derive(Default)]
pub(super) struct Runs {
    pub(super) by_id: HashMap<String, Entry>,
    /// Runs that have ended, oldest first; some may be forgotten by now.
    ended: VecDeque<Arc<Run>>,
}

pub(super) struct Entry {
    pub(super) run: Arc<Run>,
    /// What was started, to know a start that is said again from another one.
    pub(super) program: u64,
    pub(super) record: RunRecord,
}

/// What a list tells of a run beside its state.
#[derive(Clone, Debug)]
pub(crate) struct RunRecord {
    pub(crate) kind: RunKind,
    /// The text of the program or command, or the beginning of it.
    pub(crate) text: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) started_at: u64,
}

impl RunRecord {
    /// A list shows so much of a text, in bytes: enough to know it by.
    const SHOWN: usize = 4096;

    /// Of a run that starts now.
    pub(super) fn new(kind: RunKind, text: &str) -> Self {
        Self { kind, text: text[..text.floor_char_boundary(Self::SHOWN)].to_owned(), started_at: unix_ms() }
    }
}

/// What runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RunKind {
    Program(Language),
    Command { detached: bool, terminal: bool },
}

/// A run that can be attached to, as a list shows it.
#[derive(Debug)]
pub(crate) struct ListedRun {
    pub(crate) id: String,
    pub(crate) record: RunRecord,
    /// How it has ended, if it has.
    pub(crate) finish: Option<Finish>,
}

/// A run that a client wanted to start.
pub(crate) enum Started {
    /// It was started.
    Now(Arc<Run>),
    /// It was started before, by the same words.
    Before(Arc<Run>),
}

/// Why a run was not started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// It came to nothing.
    Refused(RunFailure),
    /// Its id is another run's.
    Taken(String),
}

impl From<RunFailure> for NotStarted {
    fn from(failure: RunFailure) -> Self {
        Self::Refused(failure)
    }
}

impl Session {
    /// Something begins that is to become a run, and holds so many bytes of its client's.
    pub(super) fn begin_run(self: &Arc<Self>, bytes: usize) -> Result<Activity, RunFailure> {
        self.begin(bytes).map_err(|busy| {
            self.metrics.limit_hit("LimitExceeded.Runs");
            refusal(&busy)
        })
    }

    /// Starts a run of this source under its id, unless another call was faster.
    pub(super) fn start_run(
        self: &Arc<Self>,
        id: &str,
        options: RunOptions,
        (program, record): (u64, RunRecord),
        activity: Activity,
        source: NewSource,
    ) -> Result<Started, NotStarted> {
        let mut runs = lock(&self.runs);
        if let Some(found) = runs.find(id, program, options)? {
            return Ok(Started::Before(found));
        }
        let going = ActiveRun { id: id.to_owned(), activity };
        let kept = Retention { id: id.to_owned(), session: Arc::clone(self) };
        let NewSource { spool, start } = source;
        let run = Run::start(id.to_owned(), options, &self.config.limits, spool, start, going, kept);
        run.count(self.budget.nothing(), self.pages.nothing());
        runs.by_id.insert(id.to_owned(), Entry { run: Arc::clone(&run), program, record });
        Ok(Started::Now(run))
    }

    /// The runs that can be attached to: those that go on, and those that have ended and are kept. The oldest first.
    pub(crate) fn listed_runs(&self) -> Vec<ListedRun> {
        let entries = lock(&self.runs);
        let found: Vec<_> =
            entries.by_id.values().map(|entry| (Arc::clone(&entry.run), entry.record.clone())).collect();
        drop(entries); // a run's state has a lock of its own
        let listed = |(run, record): (Arc<Run>, _)| ListedRun { id: run.id().to_owned(), record, finish: run.finish() };
        let mut runs: Vec<ListedRun> = found.into_iter().map(listed).collect();
        runs.sort_by(|one, other| (one.record.started_at, &one.id).cmp(&(other.record.started_at, &other.id)));
        runs
    }
}

impl Runs {
    /// Those that have ended are kept while they are not more than may go on at once, and their memory is not more than
    /// programs may hold. The oldest go first.
    pub(super) fn has_ended(&mut self, id: &str, limits: &Limits) {
        let Some(entry) = self.by_id.get(id).filter(|entry| entry.run.is_kept()) else { return };
        self.ended.push_back(Arc::clone(&entry.run));
        let mut memory: usize = self.ended.iter().map(|run| run.memory()).sum();
        while self.ended.len() > limits.max_runs || memory > limits.max_held && self.ended.len() > 1 {
            let Some(oldest) = self.ended.pop_front() else { return };
            memory -= oldest.memory().min(memory);
            oldest.forget();
        }
    }

    /// The run of this id, if it is the same.
    pub(super) fn find(&self, id: &str, program: u64, options: RunOptions) -> Result<Option<Arc<Run>>, NotStarted> {
        let Some(entry) = self.by_id.get(id) else { return Ok(None) };
        if !options.resume || !entry.run.is_kept() {
            let words = format!("there is a run with the invocation id {id:?} already; use a new id for each run");
            return Err(failure("DuplicateRun", words).into());
        }
        if entry.program != program {
            let words = "there is a run of another program with this invocation id; use a new id for each run";
            return Err(NotStarted::Taken(words.to_owned()));
        }
        Ok(Some(Arc::clone(&entry.run)))
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.by_id.remove(id);
        self.ended.retain(|run| run.id() != id);
    }
}
