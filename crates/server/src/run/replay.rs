//! What a run has said and its client has not acknowledged: kept in memory first, then in a file.

use std::collections::VecDeque;

use axum::extract::ws::Utf8Bytes;

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
}

/// How much is kept, bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayLimits {
    /// In memory.
    pub(crate) memory: usize,
    /// In the file.
    pub(crate) spool: u64,
}

/// An event as it goes out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// How much of a `flow` window it takes.
    pub(super) chunk: u32,
    /// The frame.
    pub(super) text: Utf8Bytes,
}

/// A part of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// What is to be done with the file.
#[derive(Debug, PartialEq)]
pub(super) enum Job {
    /// Write these bytes, then say [`Replay::written`]. `anew`: nothing else of the file is wanted any more.
    Write { block: Block, bytes: Vec<u8>, anew: bool },
    /// Read this block, then say [`Replay::loaded`].
    Read(Block),
}

/// A block that was read back, for those who watch beside the subscriber.
#[derive(Debug)]
pub(super) struct Page {
    first: u64,
    records: Records,
}

/// A block that was read back is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Small enough to read one in passing, large enough for few of them.
const BLOCK: usize = 256 * 1024;
/// What a record costs beside its text, so that a million tiny ones are bounded as well.
const RECORD: usize = 64;

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
        }
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
        self.back.bytes < BLOCK
    }

    /// Takes the newest record.
    pub(super) fn push(&mut self, record: Record) {
        let to_front = self.back.is_empty() && self.blocks.is_empty() && self.front.bytes < self.limits.memory;
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
    pub(super) fn loaded(&mut self, block: Block, bytes: &[u8]) -> Result<(), Damaged> {
        let page = Page::decode(block, bytes).ok_or(Damaged)?;
        self.page = Some((page.first, page.records));
        Ok(())
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

impl Page {
    /// `None`: the bytes are not what was written.
    pub(super) fn decode(block: Block, bytes: &[u8]) -> Option<Self> {
        let records = Records::decode(bytes).filter(|page| page.len() == block.last + 1 - block.first)?;
        Some(Self { first: block.first, records })
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Record> {
        self.records.get(seq.checked_sub(self.first)?)
    }
}

/// Records in memory, with the sum of their sizes.
#[derive(Debug, Default)]
pub(super) struct Records {
    list: VecDeque<Record>,
    bytes: usize,
}

impl Records {
    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.list.len() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, at: u64) -> Option<&Record> {
        self.list.get(usize::try_from(at).ok()?)
    }

    pub(super) fn push(&mut self, record: Record) {
        self.bytes += RECORD + record.text.len();
        self.list.push_back(record);
    }

    pub(super) fn pop(&mut self) -> bool {
        self.take().is_some()
    }

    fn take(&mut self) -> Option<Record> {
        let record = self.list.pop_front()?;
        self.bytes -= RECORD + record.text.len();
        Some(record)
    }

    /// The length of [`encode`](Self::encode).
    fn encoded(&self) -> usize {
        self.list.iter().map(|record| 8 + record.text.len()).sum()
    }

    /// Each record as: what it takes of a window and its length, four bytes each, then its text.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded());
        for Record { chunk, text } in &self.list {
            bytes.extend(chunk.to_le_bytes());
            bytes.extend(u32::try_from(text.len()).expect("no frame has 4 GiB").to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut records = Self::default();
        while !bytes.is_empty() {
            let (chunk, rest) = bytes.split_first_chunk()?;
            let (length, rest) = rest.split_first_chunk()?;
            let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            records.push(Record { chunk: u32::from_le_bytes(*chunk), text: str::from_utf8(text).ok()?.into() });
            bytes = rest;
        }
        Some(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64, size: usize) -> Record {
        Record { chunk: size as u32, text: format!("{seq}:{}", "x".repeat(size)).into() }
    }

    /// A replay with its file in memory.
    struct Desk {
        replay: Replay,
        file: Vec<u8>,
        last: u64,
    }

    impl Desk {
        fn new(memory: usize, spool: u64) -> Self {
            Self { replay: Replay::new(ReplayLimits { memory, spool }), file: vec![], last: 0 }
        }

        /// Pushes while there is room, at most so often.
        fn fill(&mut self, most: u64, size: usize) -> u64 {
            let before = self.last;
            while self.last - before < most && self.replay.has_room() {
                self.last += 1;
                self.replay.push(record(self.last, size));
                self.work(None);
            }
            self.last - before
        }

        fn work(&mut self, wanted: Option<u64>) {
            match self.replay.next_job(wanted) {
                None => {}
                Some(Job::Write { block, bytes, anew }) => {
                    assert_eq!(bytes.len() as u64, block.length);
                    if anew {
                        self.file.clear();
                    }
                    let at = block.offset as usize;
                    self.file.resize(self.file.len().max(at + bytes.len()), 0);
                    self.file[at..at + bytes.len()].copy_from_slice(&bytes);
                    self.replay.written(block, true);
                }
                Some(Job::Read(block)) => {
                    let bytes = &self.file[block.offset as usize..(block.offset + block.length) as usize];
                    assert_eq!(self.replay.loaded(block, bytes), Ok(()));
                }
            }
        }

        fn read(&mut self, seq: u64, size: usize) {
            if self.replay.get(seq).is_none() {
                self.work(Some(seq));
            }
            assert_eq!(self.replay.get(seq), Some(&record(seq, size)), "{seq} of {}", self.last);
        }
    }

    #[test]
    fn memory_first_then_the_file_then_no_room() {
        let mut desk = Desk::new(10_000, 1 << 20);
        assert_eq!(desk.fill(9, 1_000), 9);
        assert!(desk.file.is_empty());
        let more = desk.fill(u64::MAX, 1_000);
        assert!(!desk.replay.has_room() && (1_200..1_500).contains(&more), "{more}");
        assert!(desk.file.len() <= 1 << 20 && desk.replay.memory() < 10_000 + 2 * BLOCK);
        for seq in 1..=desk.last {
            desk.read(seq, 1_000);
        }
        // Again, and from the middle.
        for seq in (1..=desk.last).step_by(7) {
            desk.read(seq, 1_000);
        }
    }

    #[test]
    fn acknowledgements_make_room_and_the_file_begins_anew() {
        let mut desk = Desk::new(10_000, 1 << 20);
        desk.fill(u64::MAX, 1_000);
        let (first, mut acked) = (desk.last, 0);
        while acked < first {
            acked = (acked + 100).min(first);
            desk.replay.acknowledge(acked);
            assert!(desk.replay.acked() <= acked);
            for seq in acked + 1..=desk.last {
                desk.read(seq, 1_000);
            }
        }
        assert_eq!((desk.replay.acked(), desk.replay.memory(), desk.replay.blocks.len()), (first, 0, 0));
        assert!(desk.replay.has_room());
        assert!(desk.fill(u64::MAX, 1_000) > 1_000);
        desk.read(desk.last, 1_000);
    }

    /// A client says what it has taken in steps, which end within blocks. Whatever is left of such a block, the file
    /// has room again where whole ones were.
    #[test]
    fn a_full_file_goes_on_where_it_was_acknowledged() {
        let mut desk = Desk::new(10_000, 1 << 20);
        desk.fill(u64::MAX, 1_000);
        let mut acked = 0;
        while desk.last < 20_000 {
            assert!(desk.last - acked > 300, "no room, although all but {} is acknowledged", desk.last - acked);
            acked += 300;
            desk.replay.acknowledge(acked);
            desk.work(None);
            desk.fill(u64::MAX, 1_000);
            assert!(desk.file.len() <= 1 << 20, "{}", desk.file.len());
            for seq in (acked + 1..=desk.last).step_by(101) {
                desk.read(seq, 1_000);
            }
        }
        assert!(!desk.replay.blocks.is_empty(), "or it was no test of the file");
        while acked < desk.last {
            acked += 1;
            desk.read(acked, 1_000);
            desk.replay.acknowledge(acked);
        }
    }

    #[test]
    fn acknowledged_while_it_is_written() {
        let mut desk = Desk::new(1_000, 1 << 20);
        let mut pending = None;
        while pending.is_none() {
            desk.last += 1;
            desk.replay.push(record(desk.last, 1_000));
            pending = desk.replay.next_job(None);
        }
        let Some(Job::Write { block, bytes, .. }) = pending else { panic!("{pending:?}") };
        desk.file = bytes;
        desk.replay.acknowledge(desk.last);
        desk.last += 1;
        desk.replay.push(record(desk.last, 1_000));
        assert!(desk.replay.get(desk.last).is_some());
        desk.replay.written(block, true);
        desk.read(desk.last, 1_000);
        desk.replay.acknowledge(desk.last);
        assert_eq!((desk.replay.acked(), desk.replay.memory()), (desk.last, 0));
    }

    #[test]
    fn a_full_disk_holds_back_and_loses_nothing() {
        let mut desk = Desk::new(1_000, 1 << 20);
        while desk.replay.has_room() {
            desk.last += 1;
            desk.replay.push(record(desk.last, 1_000));
        }
        let Some(Job::Write { block, .. }) = desk.replay.next_job(None) else { panic!("nothing to write") };
        desk.replay.written(block, false);
        assert!(desk.replay.stuck && !desk.replay.has_room());
        assert_eq!(desk.replay.next_job(None), None, "not at once again");
        for seq in 1..=desk.last {
            desk.read(seq, 1_000);
        }
        desk.replay.retry();
        desk.work(None);
        assert!(desk.replay.has_room());
        for seq in 1..=desk.last {
            desk.read(seq, 1_000);
        }
    }

    #[test]
    fn a_million_tiny_ones_are_bounded() {
        let mut desk = Desk::new(64 * 1024, 0);
        let count = desk.fill(1_000_000, 1);
        assert!(count < 10_000, "{count}");
        assert!(desk.file.is_empty());
    }

    #[test]
    fn a_damaged_block_is_found_out() {
        let mut replay = Replay::new(ReplayLimits { memory: 1, spool: 1 });
        let block = Block { first: 1, last: 1, offset: 0, length: 3 };
        for bytes in [&[1, 2, 3][..], &[0; 8][..4], &[0, 0, 0, 0, 9, 0, 0, 0, 1], &[0, 0, 0, 0, 1, 0, 0, 0, 0xff]] {
            assert_eq!(replay.loaded(block, bytes), Err(Damaged), "{bytes:?}");
        }
    }
}
