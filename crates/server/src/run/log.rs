//! A run's events between the program and its subscriber: bounded, joined while waiting, numbered when shown, and kept for
//! the next subscriber where the client asked for that.

use std::collections::VecDeque;

use thiserror::Error;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::event::Event;
use super::frame::Label;
use super::replay::{Block, Job, Page, Record, Replay, ReplayLimits};
use super::tail::Tail;
use super::window::{Cursor, Window};
use crate::budget::{Charge, HeldText};
use crate::unix_time::unix_ms;

/// One chunk carries at most this much, so that an event fits into a frame however its text is escaped (six bytes for
/// one at worst), and runs take turns in reasonable steps.
pub(crate) const MAX_CHUNK: usize = 64 * 1024;

/// What an event costs beyond its own bytes while it waits, so that many small ones, which cannot be joined because their
/// streams alternate, are bounded as well.
const WAITING: usize = 64;

/// A run's events between the program and its subscriber.
///
/// ```text
/// program ─► waiting ─► numbered (in the replay, if there is one) ─► the subscriber, from its cursor on
/// ```
///
/// Invariants:
/// * an event is numbered when it is shown or goes into the replay, from 1, without gaps; from then on it never
///   changes. Only what has no number is joined with its neighbour or split;
/// * nothing is dropped, except by [`Log::abandon`], after [`Log::close`], by a log that [never waits](Log::never_wait)
///   and, from the replay, by acknowledgements;
/// * [`Event::End`] is the last event; what is pushed after it is ignored;
/// * while [`Log::has_room`] is false nothing should be pushed; one event more than the limit is kept then;
/// * with a subscriber the replay holds what it was shown; without one it takes what comes;
/// * those who watch beside the subscriber see numbered events only: what the subscriber was shown, or, without one, what came.
#[derive(Debug)]
pub(crate) struct Log {
    label: Label,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    limit: usize,
    window: Option<Window>,
    /// No chunk is larger: one that has its number cannot be cut for a small window any more.
    largest: usize,
    replay: Option<Replay>,
    /// The newest events, while somebody watches beside the subscriber.
    tail: Option<Tail>,
    /// The last number given.
    last: u64,
    /// The last number shown to the subscriber.
    cursor: u64,
    /// How much of its window the next event takes, if that was seen in a part of the file that is gone.
    next: u32,
    watched: bool,
    /// What waits is on its way into the replay, which goes in several steps.
    storing: bool,
    ended: bool,
    abandoned: bool,
    /// Nobody looks, and the program was told to stop: it waits for nothing any more.
    closing: bool,
    /// Its program waits for nobody, whoever looks: what there is no room for is dropped, and how much is told where it
    /// was.
    detached: bool,
    /// Bytes for which there was no room: since it was told to stop, or since the last one was told of.
    dropped: usize,
    /// What it holds, of what its session may.
    charge: Option<Charge>,
}

/// An event without a number.
#[derive(Debug)]
struct Waiting {
    event: Event,
    /// Milliseconds since the Unix epoch.
    time: u64,
    /// So many bytes of a chunk have gone already.
    taken: usize,
}

impl Waiting {
    fn new(event: Event) -> Self {
        Self { event, time: unix_ms(), taken: 0 }
    }
}

/// An event for a subscriber or an observer.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) text: Utf8Bytes,
    /// Counts a text that is not [small](crate::budget::SMALL) for as long as somebody has this.
    pub(crate) held: Option<HeldText>,
    /// It is the last one.
    pub(crate) is_end: bool,
}

impl Shown {
    /// A small text that is no event of the run's.
    pub(crate) fn small(text: impl Into<Utf8Bytes>) -> Self {
        Self { text: text.into(), held: None, is_end: false }
    }
}

/// Why a run cannot be shown from there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NoReplay {
    #[error("the run was started without `resume`: it cannot be watched again")]
    NotKept,
    #[error(
        "the events up to {acked} were acknowledged and are forgotten: resume with an afterSeq of at least {acked}"
    )]
    Forgotten { acked: u64 },
    #[error("the run has {last} events so far: resume with an afterSeq of at most {last}")]
    Ahead { last: u64 },
    #[error(
        "what followed event {after} is kept no longer; the oldest that is kept is {oldest}: watch from afterSeq 0"
    )]
    Missed { after: u64, oldest: u64 },
    #[error("the run is over, and nothing of it is kept any more: there is nothing to watch")]
    Over,
    #[error("{most} others watch already: wait until one has gone, or have the server allow more (--max-watchers)")]
    AddressFull { most: usize },
}

/// What there is of an event for somebody who watches.
#[derive(Debug)]
pub(super) enum Look<'a> {
    There(&'a Record),
    InFile(Block),
    /// It has not happened, or the subscriber has not been shown it.
    NotYet,
    /// It is kept no longer.
    Gone,
}

impl Log {
    /// An empty log that holds about `limit` bytes for a slow subscriber, and has at most `window` of chunks
    /// un-acknowledged.
    pub(crate) fn new(label: Label, limit: usize, window: Option<u64>, replay: Option<ReplayLimits>) -> Self {
        let mut log = Self {
            label,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            limit: limit.max(1),
            window: None,
            largest: MAX_CHUNK,
            replay: replay.map(Replay::new),
            tail: None,
            last: 0,
            cursor: 0,
            next: 0,
            watched: true,
            storing: false,
            ended: false,
            abandoned: false,
            closing: false,
            detached: false,
            dropped: 0,
            charge: None,
        };
        log.set_window(Cursor { window, ..Cursor::default() });
        log
    }

    /// Whether the program may go on.
    pub(crate) fn has_room(&self) -> bool {
        self.abandoned || self.closing || self.keeps_more() || self.is_full()
    }

    /// By how many bytes what waits is at or above what may; `None` with [`Log::has_room`].
    pub(crate) fn excess(&self) -> Option<usize> {
        if self.has_room() {
            return None;
        }
        let in_replay = self.replay.as_ref().and_then(Replay::excess);
        Some(match in_replay {
            Some(excess) => self.waiting_size() + excess,
            None => self.waiting_size().saturating_sub(self.room()),
        })
    }

    /// What all that waits takes in memory.
    fn waiting_size(&self) -> usize {
        self.waiting_bytes + WAITING * self.waiting.len()
    }

    /// Whether there is room in fact, for the program's words or others.
    pub(super) fn keeps_more(&self) -> bool {
        // An event at a time is always to be had: whoever shares the memory cannot stop a run that is read.
        self.waiting_size() < self.room()
            && self.replay.as_ref().is_none_or(Replay::has_room)
            && (self.waiting.is_empty() || !self.is_short())
    }

    /// How much may wait: no more than the subscriber takes at once.
    fn room(&self) -> usize {
        self.window
            .as_ref()
            .map_or(self.limit, |window| self.limit.min(usize::try_from(window.size()).unwrap_or(usize::MAX)))
    }

    /// Whether [`Log::show`] has something.
    pub(crate) fn is_readable(&self) -> bool {
        if self.cursor < self.last {
            let record = self.replay.as_ref().and_then(|replay| replay.get(self.cursor + 1));
            return record.is_some_and(|record| match &self.window {
                Some(window) if record.chunk > 0 => window.is_empty() || window.room() >= u64::from(record.chunk),
                _ => true,
            });
        }
        match (self.waiting.front(), &self.window) {
            (None, _) => false,
            (Some(Waiting { event: Event::Chunk(_, text), taken, .. }), Some(window)) => {
                let first = text[*taken..].chars().next().map_or(0, char::len_utf8);
                window.is_empty() || window.room() >= first as u64
            }
            (Some(_), _) => true,
        }
    }

    /// Whether the end is known, and the subscriber has been shown it.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.waiting.is_empty() && self.cursor == self.last
    }

    /// The last number that the subscriber was shown, or came with.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Whether nobody looks.
    pub(crate) fn is_unwatched(&self) -> bool {
        !self.watched
    }

    /// Whether everything is dropped.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Whether there may be something to do with the replay's file: to read what the subscriber waits for, or to write what
    /// it was shown and has not acknowledged. Or more to store.
    pub(crate) fn wants_file(&self) -> bool {
        self.wanted().is_some() || self.replay.as_ref().is_some_and(Replay::wants_write) || self.stores_more()
    }

    /// Puts an event in, joining it with the last one where both are chunks of one stream.
    pub(crate) fn push(&mut self, mut event: Event) {
        if self.ended {
            return;
        }
        self.ended = matches!(event, Event::End(_));
        if self.abandoned {
            return;
        }
        if self.detached && self.drops(&event) {
            return;
        }
        match &mut event {
            Event::End(finish) if self.dropped > 0 => {
                let words = format!("; {} bytes that it said after that are not kept", self.dropped);
                finish.execution_error.get_or_insert_default().push_str(&words);
            }
            Event::Chunk(..) | Event::Result { .. } if self.closing && !self.keeps_more() => {
                self.dropped += event.memory_size();
                return;
            }
            _ => {}
        }
        self.waiting_bytes += event.memory_size();
        if let Event::Chunk(origin, text) = &event
            && let Some(Waiting { event: Event::Chunk(last_origin, last), .. }) = self.waiting.back_mut()
            && origin == last_origin
            && last.len() + text.len() <= MAX_CHUNK
        {
            last.push_str(text);
        } else {
            self.waiting.push_back(Waiting::new(event));
        }
        self.store();
        self.account();
    }

    /// Counts output for which there is no room; tells how much it was before the first event that there is room for.
    fn drops(&mut self, event: &Event) -> bool {
        if matches!(event, Event::Chunk(..)) && self.is_full() {
            self.dropped += event.memory_size();
            return true;
        }
        if self.dropped > 0 {
            let bytes = std::mem::take(&mut self.dropped) as u64;
            self.waiting.push_back(Waiting::new(Event::Dropped { bytes }));
        }
        false
    }

    /// A log that waits for nobody has no room, and will have none until somebody takes something.
    fn is_full(&self) -> bool {
        self.detached && self.replay.as_ref().is_some_and(Replay::is_full)
    }

    /// The next event for the subscriber.
    pub(crate) fn show(&mut self) -> Option<Shown> {
        if !self.is_readable() {
            return None;
        }
        let record = if self.cursor < self.last {
            self.replay.as_ref()?.get(self.cursor + 1)?.clone()
        } else {
            let (room, one_at_least) = match &self.window {
                Some(window) => (usize::try_from(window.room()).unwrap_or(usize::MAX), window.is_empty()),
                None => (usize::MAX, false),
            };
            self.number(room, one_at_least)?
        };
        self.cursor += 1;
        self.next = 0;
        if let Some(window) = &mut self.window
            && record.chunk > 0
        {
            window.sent(self.cursor, u64::from(record.chunk));
        }
        self.account();
        Some(Shown { text: record.text, held: None, is_end: self.is_over() })
    }

    /// A new subscriber. Behind the event 0 comes the oldest that is kept.
    pub(crate) fn attach(&mut self, mut place: Cursor) -> Result<(), NoReplay> {
        if place.after == 0
            && let Some(replay) = &self.replay
        {
            (place.after, place.taken) = (replay.acked(), None);
            if place.after > 0 && self.is_all(place.after) {
                return Err(NoReplay::Over);
            }
        }
        let after = place.after;
        match &self.replay {
            None if self.last > 0 || after > 0 => return Err(NoReplay::NotKept),
            Some(replay) if after < replay.acked() => return Err(NoReplay::Forgotten { acked: replay.acked() }),
            _ if after > self.last => return Err(NoReplay::Ahead { last: self.last }),
            _ => {}
        }
        (self.cursor, self.next) = (after, 0);
        self.watched = true;
        self.storing = false;
        self.set_window(place);
        Ok(())
    }

    /// The subscriber is gone; another may come.
    pub(crate) fn detach(&mut self) {
        self.watched = false;
        self.drop_page();
        self.store();
        self.account();
    }

    /// The subscriber has taken every event up to `seq`.
    pub(crate) fn acknowledge(&mut self, seq: u64) {
        let seq = seq.min(self.cursor);
        if let Some(window) = &mut self.window {
            window.acknowledged(seq);
        }
        if let Some(replay) = &mut self.replay {
            replay.acknowledge(seq);
        }
        self.account();
    }

    /// From now on its program waits for nobody. Only for a log that keeps a replay.
    pub(super) fn never_wait(&mut self) {
        self.detached = true;
    }

    /// Nobody will look any more: forgets what waits, and what still comes.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.account();
    }

    /// The program was told to stop while nobody looks, and must not wait for room to come to its end. What it still says
    /// is kept as far as there is room, and how much was not is said with its end.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// The number of the oldest event that is kept; one more than the newest when none is.
    pub(super) fn oldest(&self) -> u64 {
        let in_tail = self.tail.as_ref().map_or(self.last + 1, Tail::first);
        let in_replay = self.replay.as_ref().map_or(self.last + 1, |replay| replay.acked() + 1);
        in_tail.min(in_replay)
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.waiting_size() + self.replay.as_ref().map_or(0, Replay::memory)
    }

    /// What is to be done with the replay's file.
    pub(super) fn next_job(&mut self) -> Option<Job> {
        let wanted = self.wanted();
        self.replay.as_mut()?.next_job(wanted)
    }

    /// The same, but to read what the subscriber waits for.
    pub(super) fn next_write(&mut self) -> Option<Job> {
        self.replay.as_mut()?.next_job(None)
    }

    fn wanted(&self) -> Option<u64> {
        let replay = self.replay.as_ref()?;
        let wanted = self.cursor + 1;
        let is_taken = self.window.as_ref().filter(|_| self.next > 0);
        let is_taken = is_taken.is_none_or(|window| window.is_empty() || window.room() >= u64::from(self.next));
        let waits = self.watched && !self.abandoned && is_taken;
        (waits && wanted <= self.last && replay.get(wanted).is_none()).then_some(wanted)
    }

    /// Lets go of the block that was read for the subscriber: it is read again when that takes something of it.
    pub(super) fn drop_page(&mut self) {
        self.next = self.chunk(self.cursor + 1).unwrap_or(0);
        if let Some(replay) = &mut self.replay {
            replay.drop_page();
        }
        self.account();
    }

    /// It may take something now.
    pub(super) fn retry(&mut self) {
        if let Some(replay) = &mut self.replay {
            replay.retry();
        }
    }

    /// A block was written, or not.
    pub(super) fn written(&mut self, block: Block, done: bool) {
        if let Some(replay) = &mut self.replay {
            replay.written(block, done);
        }
        self.account();
    }

    /// A block was read.
    pub(super) fn loaded(&mut self, page: Page) {
        if let Some(replay) = &mut self.replay {
            replay.loaded(page);
        }
        self.account();
    }

    fn set_window(&mut self, place: Cursor) {
        self.window = Window::at(place, self.oldest(), |seq| self.chunk(seq));
        if let Some(window) = place.window {
            // An eighth of it: a subscriber that acknowledges each quarter of it, in units of three bytes, has room for that
            // without being heard from.
            self.largest = usize::try_from((window / 8).max(1)).unwrap_or(MAX_CHUNK).min(MAX_CHUNK);
        }
    }
}

mod held;
mod numbering;
mod watching;

#[cfg(test)]
mod tests;
