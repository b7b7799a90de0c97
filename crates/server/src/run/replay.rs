//! What a run has said and its client has not acknowledged: kept in memory first, then in a file.

use std::collections::VecDeque;

use self::records::RECORD;
pub(super) use self::records::{Block, Page, Record, Records};

/// Numbered events of one run, ready to be sent (again), as often as its client asks.
///
/// ```text
/// forgotten ─ front (memory) ─ blocks (file) ─ back (memory, becomes the next block) ─► newest
///             ▲ freed by acknowledgements
/// ```
///
/// Invariants:
/// * the numbers in it are contiguous: `acked + 1` up to the newest;
/// * a record never changes;
/// * while [`has_room`](Self::has_room) is false nothing should be pushed: the program is held back. Nothing is dropped.
///
/// It does no input or output by itself: it asks for it by [`next_job`](Self::next_job), and is told what came of it.
#[derive(Debug)]
pub(super) struct Replay {
    limits: ReplayLimits,
    acked: u64,
    front: Records,
    blocks: VecDeque<Block>,
    /// One block that was read back, for the subscriber that is there.
    page: Option<(u64, Records)>,
    back: Records,
    writing: bool,
    /// The file took the last block not; `has_room` may be false until it does.
    stuck: bool,
    /// Memory is short: what comes goes to the file.
    spills: bool,
}

/// How much is kept, bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayLimits {
    /// In memory.
    pub(crate) memory: usize,
    /// In the file.
    pub(crate) spool: u64,
}

/// What is to be done with the file.
#[derive(Debug, PartialEq)]
pub(super) enum Job {
    /// Write these bytes, then say [`Replay::written`]. `anew`: nothing else of the file is wanted any more.
    Write { block: Block, bytes: Vec<u8>, anew: bool },
    /// Read this block, then say [`Replay::loaded`].
    Read(Block),
}

/// Small enough to read one in passing, large enough for few of them.
const BLOCK: usize = 256 * 1024;

impl Replay {
    pub(super) fn new(limits: ReplayLimits) -> Self {
        Self {
            limits,
            acked: 0,
            front: Records::default(),
            blocks: VecDeque::new(),
            page: None,
            back: Records::default(),
            writing: false,
            stuck: false,
            spills: false,
        }
    }

    /// Whether memory is short: then what comes goes to the file.
    pub(super) fn set_spills(&mut self, spills: bool) {
        self.spills = spills;
    }

    /// The last number that is forgotten.
    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        self.front.bytes + self.back.bytes + self.page.as_ref().map_or(0, |(_, page)| page.bytes)
    }

    /// Whether the program may go on.
    pub(super) fn has_room(&self) -> bool {
        self.excess().is_none()
    }

    /// How many bytes it holds at or above that.
    pub(super) fn excess(&self) -> Option<usize> {
        self.back.bytes.checked_sub(BLOCK)
    }

    /// Whether there is no room, in memory or in the file, until something is acknowledged.
    pub(super) fn is_full(&self) -> bool {
        !self.has_room() && !self.writing && (self.stuck || self.place(self.back.encoded() as u64).is_none())
    }

    /// Takes the newest record.
    pub(super) fn push(&mut self, record: Record) {
        let to_front =
            self.back.is_empty() && self.blocks.is_empty() && self.front.bytes < self.limits.memory && !self.spills;
        if to_front { self.front.push(record) } else { self.back.push(record) }
    }

    /// The record with this number, if it is in memory.
    pub(super) fn get(&self, seq: u64) -> Option<&Record> {
        let first = self.acked + 1;
        let at = seq.checked_sub(first)?;
        if let Some(record) = self.front.get(at) {
            return Some(record);
        }
        let behind = self.blocks.back().map_or(first + self.front.len(), |block| block.last + 1);
        if seq >= behind {
            // `back` may begin before: a block's records stay in it until they are written.
            return self.back.get(seq - behind);
        }
        let (first, page) = self.page.as_ref()?;
        page.get(seq.checked_sub(*first)?)
    }

    /// The part of the file that has this event.
    pub(super) fn block_of(&self, seq: u64) -> Option<Block> {
        self.blocks.iter().find(|block| (block.first..=block.last).contains(&seq)).copied()
    }

    /// The newest records, as far as they are in memory without a gap, up to about so many bytes.
    pub(super) fn newest(&self, last: u64, limit: usize) -> Records {
        let first = self.blocks.back().map_or(self.acked, |block| block.last) + 1;
        let (mut from, mut bytes) = (last + 1, 0);
        while from > first
            && bytes < limit
            && let Some(record) = self.get(from - 1)
        {
            bytes += RECORD + record.text.len();
            from -= 1;
        }
        let mut records = Records::default();
        (from..=last).filter_map(|seq| self.get(seq)).for_each(|record| records.push(record.clone()));
        records
    }

    /// Forgets everything up to `seq`.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        while self.acked < seq {
            if self.front.pop() {
                self.acked += 1;
            } else if let Some(block) = self.blocks.front().copied().filter(|block| block.last <= seq) {
                self.acked = block.last;
                self.blocks.pop_front();
            } else {
                // A part of a block cannot be forgotten; whatever is in it can still be asked for.
                break;
            }
            self.tidy();
        }
    }

    /// What is to be done with the file now; `wanted` is what the subscriber waits for.
    pub(super) fn next_job(&mut self, wanted: Option<u64>) -> Option<Job> {
        if let Some(seq) = wanted
            && let Some(block) = self.block_of(seq)
        {
            return Some(Job::Read(block));
        }
        if !self.wants_write() {
            return None;
        }
        let length = self.back.encoded() as u64;
        let offset = self.place(length)?;
        let first = self.blocks.back().map_or(self.acked + 1 + self.front.len(), |block| block.last + 1);
        let block = Block { first, last: first + self.back.len() - 1, offset, length };
        self.writing = true;
        Some(Job::Write { block, bytes: self.back.encode(), anew: self.blocks.is_empty() })
    }

    /// Whether there may be something for the file.
    pub(super) fn wants_write(&self) -> bool {
        !self.has_room() && !self.stuck && !self.writing
    }

    /// Where in the file there is room for so much: behind the last block, or where acknowledged ones were.
    fn place(&self, length: u64) -> Option<u64> {
        let end = self.limits.spool;
        let (from, to) = match (self.blocks.front(), self.blocks.back()) {
            (Some(first), Some(last)) if last.offset < first.offset => (last.offset + last.length, first.offset),
            (Some(first), Some(last)) if last.offset + last.length + length > end => (0, first.offset),
            (_, last) => (last.map_or(0, |last| last.offset + last.length), end),
        };
        (from + length <= to).then_some(from)
    }

    /// A block was written, or not: then it is tried again after [`retry`](Self::retry).
    pub(super) fn written(&mut self, block: Block, done: bool) {
        self.writing = false;
        if done {
            for _ in block.first..=block.last {
                self.back.pop();
            }
            self.blocks.push_back(block);
        } else {
            self.stuck = true;
        }
        self.tidy();
    }

    /// The file may take something now.
    pub(super) fn retry(&mut self) {
        self.stuck = false;
    }

    /// A block was read.
    pub(super) fn loaded(&mut self, page: Page) {
        self.page = Some((page.first, page.records));
    }

    /// Lets go of the block that was read.
    pub(super) fn drop_page(&mut self) {
        self.page = None;
    }

    /// Without blocks, what is behind them moves up.
    fn tidy(&mut self) {
        if !self.blocks.is_empty() || self.writing {
            return;
        }
        self.page = None;
        while self.front.bytes < self.limits.memory
            && let Some(record) = self.back.take()
        {
            self.front.push(record);
        }
    }
}

mod records;

#[cfg(test)]
mod tests;
