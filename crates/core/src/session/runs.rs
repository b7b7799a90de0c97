//! The runs of a session: which are live, what of them is unread, which have ended.

use std::collections::VecDeque;
use std::time::Duration;

use super::beginning::Beginning;
use super::unconfirmed::Unconfirmed;
use crate::batch::{Stamp, Unread};
use crate::run::{RunEnd, RunError, RunId, StreamEvent};
use crate::time::Instant;

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    /// The run's id on the wire.
    pub(super) invocation: String,
    /// What was asked for; `None` for a run that was begun elsewhere.
    pub(super) request: Option<Beginning>,
    pub(super) phase: Phase,
    pub(super) reader: Reader,
    pub(super) unread: Unread,
    /// Whether the application has been told that there is something to read.
    pub(super) notified: bool,
    /// When the session ends the run by itself.
    pub(super) deadline: Option<Instant>,
    /// The last number that came, where the run has numbers.
    pub(super) seq: u64,
    /// Of what came last.
    pub(super) stamp: Stamp,
    /// The last number that the application has taken.
    pub(super) acked: u64,
    /// What the application has and has not dealt with: its weight, and the last number.
    pub(super) in_flight: (usize, u64),
    /// The weight of what the application has taken since the last acknowledgement.
    pub(super) unacked: usize,
    /// When it is late, said once: no reconnect moves it.
    pub(super) limit: Option<Instant>,
    /// How long the program of a cancelled run ran, seconds.
    pub(super) execution_time: Option<f64>,
    /// What the program raised since it was cancelled, with its number: most likely the interrupt itself. Told before an
    /// end that is something else.
    pub(super) raised: Option<(StreamEvent, u64, Stamp)>,
    /// Set while connections were lost and none has brought anything new since.
    pub(super) stall: Option<Stall>,
    /// How often it was found again, each time with something new from it between.
    pub(super) interruptions: u32,
    /// Something of the run itself has come.
    pub(super) received: bool,
    /// When it is given up if it has never been sent.
    pub(super) give_up_at: Instant,
    /// It may have reached the service.
    pub(super) maybe_sent: bool,
    pub(super) input: Unconfirmed,
    /// The service has it and has not begun it: its time limit does not count.
    pub(super) waits: bool,
    /// It goes on when its reader goes.
    pub(super) goes_on: bool,
    /// Its reader has gone, and it is to go on: the service is told once it has the run.
    pub(super) leaves: bool,
}

/// A run whose connection was lost, until something new comes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    /// When the connection was lost.
    pub(super) since: Instant,
    /// From the first reconnect on: until when what the service has kept may take to arrive.
    pub(super) catch_up: Option<Instant>,
    /// The application knows that the connection is back. It is told of a state, not of each attempt.
    pub(super) is_reconnected: bool,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Its start waits in the outbox and has never been sent.
    Queued,
    /// On the wire.
    Sent,
    /// The connection was lost; a new one is to find the run again.
    Detached,
    /// Cancelled by the application; the service is to confirm.
    Cancelling,
    /// Over; what is unread can still be read.
    Ended,
}

/// Who reads a run. It can outlive its reader: until the service confirms that it has stopped it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reader {
    /// The application, up to the end.
    Reads,
    /// The application, and the end is among what is unread: what comes now is dropped.
    HasEnd,
    /// Nobody any more.
    Gone,
}

impl Run {
    pub(super) fn new(invocation: String, request: Option<Beginning>) -> Self {
        Self {
            input: Unconfirmed::new(request.is_some()),
            goes_on: request.as_ref().is_some_and(Beginning::is_detached),
            invocation,
            request,
            phase: Phase::Queued,
            reader: Reader::Reads,
            unread: Unread::default(),
            notified: false,
            deadline: None,
            seq: 0,
            stamp: Stamp::default(),
            acked: 0,
            in_flight: (0, 0),
            unacked: 0,
            limit: None,
            execution_time: None,
            raised: None,
            stall: None,
            interruptions: 0,
            received: false,
            give_up_at: Instant::ORIGIN,
            maybe_sent: false,
            waits: false,
            leaves: false,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.phase != Phase::Ended
    }

    /// Whether the service may have its program going on: it was sent, or it was begun elsewhere.
    pub(super) fn may_go_on(&self) -> bool {
        self.is_live() && (self.phase != Phase::Queued || self.request.is_none())
    }
}

/// All runs of a session that are live or not yet read to their end.
///
/// There are few at a time, and both lists of them are sorted: a search in them is as quick as in a map.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// By id. New ones have the highest and come last.
    runs: Vec<(RunId, Run)>,
    /// By the id on the wire.
    by_invocation: Vec<(String, RunId)>,
    /// The runs that the application is still to be told of.
    readable: VecDeque<RunId>,
    unread: usize,
    next: u64,
    /// The earliest deadline, while it is known: looking through all runs for each frame would cost.
    earliest: Option<Option<Instant>>,
}

impl Runs {
    pub(super) fn insert(&mut self, run: Run) -> RunId {
        let id = RunId(self.next);
        self.next += 1;
        if let Err(at) = self.invocation_at(&run.invocation) {
            self.by_invocation.insert(at, (run.invocation.clone(), id));
        }
        self.runs.push((id, run));
        self.earliest = None;
        id
    }

    pub(super) fn get(&self, id: RunId) -> Option<&Run> {
        self.at(id).map(|at| &self.runs[at].1)
    }

    pub(super) fn get_mut(&mut self, id: RunId) -> Option<&mut Run> {
        self.at(id).map(|at| &mut self.runs[at].1)
    }

    fn at(&self, id: RunId) -> Option<usize> {
        self.runs.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    fn invocation_at(&self, invocation: &str) -> Result<usize, usize> {
        self.by_invocation.binary_search_by(|(known, _)| known.as_str().cmp(invocation))
    }

    fn forget_invocation(&mut self, invocation: &str) {
        if let Ok(at) = self.invocation_at(invocation) {
            self.by_invocation.remove(at);
        }
    }

    /// The live run with this id on the wire.
    pub(super) fn find(&self, invocation: &str) -> Option<RunId> {
        self.invocation_at(invocation).ok().map(|at| self.by_invocation[at].1)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (RunId, &Run)> {
        self.runs.iter().filter(|(_, run)| run.is_live()).map(|(id, run)| (*id, run))
    }

    pub(super) fn live_ids(&self, wanted: impl Fn(&Run) -> bool) -> Vec<RunId> {
        self.live().filter(|(_, run)| wanted(run)).map(|(id, _)| id).collect()
    }

    /// Unread bytes of all runs.
    pub(super) const fn unread(&self) -> usize {
        self.unread
    }

    /// Changes what is unread of a run, and sees to it that the application is told. `None`: nobody reads it.
    pub(super) fn append<T>(&mut self, id: RunId, change: impl FnOnce(&mut Unread) -> T) -> Option<T> {
        let at = self.at(id)?;
        let run = &mut self.runs[at].1;
        if run.reader != Reader::Reads {
            return None;
        }
        let before = run.unread.bytes();
        let value = change(&mut run.unread);
        self.unread = self.unread + run.unread.bytes() - before;
        if !run.unread.is_empty() && !run.notified {
            run.notified = true;
            self.readable.push_back(id);
        }
        Some(value)
    }

    /// Takes the next unread batch. A run whose end has been read is forgotten, once it is over.
    pub(super) fn read(&mut self, id: RunId) -> Option<crate::Batch> {
        let at = self.at(id)?;
        let run = &mut self.runs[at].1;
        let before = run.unread.bytes();
        let batch = run.unread.pop();
        self.unread = self.unread + run.unread.bytes() - before;
        match &batch {
            None => run.notified = false,
            Some(batch) if batch.end().is_some() => {
                run.reader = Reader::Gone;
                if !run.is_live() {
                    self.runs.remove(at);
                }
            }
            Some(_) => {}
        }
        batch
    }

    /// The next run that the application is to be told of.
    pub(super) fn poll_readable(&mut self) -> Option<RunId> {
        while let Some(id) = self.readable.pop_front() {
            if self.at(id).is_some() {
                return Some(id);
            }
        }
        None
    }

    /// Ends a live run, once.
    pub(super) fn end(&mut self, id: RunId, end: RunEnd) -> bool {
        let Some(run) = self.get_mut(id).filter(|run| run.is_live()) else { return false };
        run.phase = Phase::Ended;
        run.deadline = None;
        run.input = Unconfirmed::new(true); // nobody reads it any more
        let invocation = run.invocation.clone();
        let stamp = if end.is_ok() { run.stamp } else { Stamp { time: None, ..run.stamp } };
        let (interruptions, time) = (run.interruptions, run.execution_time);
        self.earliest = None;
        self.forget_invocation(&invocation);
        self.tell_raised(id, &end);
        self.append(id, |unread| unread.push_end(end, Stamp { background: false, ..stamp }, interruptions, time));
        if let Some(at) = self.at(id).filter(|at| self.runs[*at].1.reader == Reader::Gone) {
            self.runs.remove(at);
        }
        true
    }

    /// Gives a live run's reader its end, if it waits for one, before the run is over.
    pub(super) fn let_go(&mut self, id: RunId, end: RunEnd) {
        let Some(run) = self.get(id).filter(|run| run.is_live()) else { return };
        let (stamp, interruptions) = (Stamp { time: None, background: false, ..run.stamp }, run.interruptions);
        self.tell_raised(id, &end);
        let waits = self.append(id, |unread| unread.push_end(end, stamp, interruptions, None)).is_some();
        if waits && let Some(run) = self.get_mut(id) {
            run.reader = Reader::HasEnd;
        }
    }

    /// Tells what the program raised after it was cancelled, unless the end says that by itself.
    fn tell_raised(&mut self, id: RunId, end: &RunEnd) {
        let raised = self.get_mut(id).and_then(|run| run.raised.take());
        if let Some((event, seq, stamp)) = raised.filter(|_| !matches!(end, Err(RunError::Cancelled { .. }))) {
            self.append(id, |unread| {
                unread.push_event(event);
                unread.stamp(seq, stamp);
            });
        }
    }

    /// Nobody will read this run. It is forgotten, once it is over.
    pub(super) fn abandon(&mut self, id: RunId) {
        if let Some(at) = self.at(id) {
            let run = &mut self.runs[at].1;
            self.unread -= run.unread.bytes();
            (run.unread, run.reader) = (Unread::default(), Reader::Gone);
            if !run.is_live() {
                self.runs.remove(at);
            }
        }
    }

    pub(super) fn end_all(&mut self, error: &RunError) {
        for id in self.live_ids(|_| true) {
            self.end(id, Err(error.clone()));
        }
    }

    /// Sets when the session ends a live run by itself.
    pub(super) fn set_deadline(&mut self, id: RunId, deadline: impl Into<Option<Instant>>) {
        if let Some(run) = self.get_mut(id).filter(|run| run.is_live()) {
            run.deadline = deadline.into();
            self.earliest = None;
        }
    }

    /// Puts off everything that live runs wait for: the clock leapt, or the process was asleep.
    pub(super) fn put_off(&mut self, by: Duration) {
        for run in self.runs.iter_mut().map(|(_, run)| run).filter(|run| run.is_live()) {
            let later = |at: Instant| at + by;
            (run.deadline, run.limit) = (run.deadline.map(later), run.limit.map(later));
            run.give_up_at = later(run.give_up_at);
            if let Some(stall) = &mut run.stall {
                (stall.since, stall.catch_up) = (later(stall.since), stall.catch_up.map(later));
            }
        }
        self.earliest = None;
    }

    pub(super) fn deadline(&mut self) -> Option<Instant> {
        if self.earliest.is_none() {
            self.earliest = Some(self.live().filter_map(|(_, run)| run.deadline).min());
        }
        self.earliest.flatten()
    }

    /// Checks that the sums are what they sum up. For tests.
    #[cfg(test)]
    pub(super) fn assert_sums(&self) {
        let unread: usize = self.runs.iter().map(|(_, run)| run.unread.bytes()).sum();
        assert_eq!(self.unread, unread, "unread bytes drift");
        assert_eq!(self.by_invocation.len(), self.live().count(), "the index of live runs leaks");
    }
}
