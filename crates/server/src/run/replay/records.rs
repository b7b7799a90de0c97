//! Events of a run as they are kept, in memory and as blocks of a file.

use std::collections::VecDeque;

use tokio_tungstenite::tungstenite::Utf8Bytes;

/// An event as it goes out.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::run) struct Record {
    /// How much of a `flow` window it takes.
    pub(in crate::run) chunk: u32,
    /// The frame.
    pub(in crate::run) text: Utf8Bytes,
}

/// A part of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::run) struct Block {
    pub(in crate::run) first: u64,
    pub(in crate::run) last: u64,
    pub(in crate::run) offset: u64,
    pub(in crate::run) length: u64,
}

impl Block {
    /// What it takes in memory once it is read back.
    pub(in crate::run) fn memory(&self) -> usize {
        let texts = self.length.saturating_add((self.last + 1 - self.first).saturating_mul((RECORD - HEADER) as u64));
        usize::try_from(texts).unwrap_or(usize::MAX)
    }

    /// The same, and the bytes that it is read from.
    pub(in crate::run) fn while_read(&self) -> usize {
        self.memory().saturating_add(usize::try_from(self.length).unwrap_or(usize::MAX))
    }
}

/// A block that was read back, for those who watch beside the subscriber.
#[derive(Debug)]
pub(in crate::run) struct Page {
    pub(super) first: u64,
    pub(super) records: Records,
}

/// What a record costs beside its text, so that a million tiny ones are bounded as well.
pub(super) const RECORD: usize = 64;

/// What stands before a record's text in the file.
const HEADER: usize = 8;

impl Page {
    /// `None`: the bytes are not what was written.
    pub(in crate::run) fn decode(block: Block, bytes: &[u8]) -> Option<Self> {
        let records = Records::decode(bytes).filter(|page| page.len() == block.last + 1 - block.first)?;
        Some(Self { first: block.first, records })
    }

    pub(in crate::run) fn get(&self, seq: u64) -> Option<&Record> {
        self.records.get(seq.checked_sub(self.first)?)
    }
}

/// Records in memory, with the sum of their sizes.
#[derive(Debug, Default)]
pub(in crate::run) struct Records {
    list: VecDeque<Record>,
    pub(super) bytes: usize,
}

impl Records {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(in crate::run) fn len(&self) -> u64 {
        self.list.len() as u64
    }

    pub(in crate::run) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::run) fn get(&self, at: u64) -> Option<&Record> {
        self.list.get(usize::try_from(at).ok()?)
    }

    pub(in crate::run) fn push(&mut self, record: Record) {
        self.bytes += RECORD + record.text.len();
        self.list.push_back(record);
    }

    pub(in crate::run) fn pop(&mut self) -> bool {
        self.take().is_some()
    }

    pub(super) fn take(&mut self) -> Option<Record> {
        let record = self.list.pop_front()?;
        self.bytes -= RECORD + record.text.len();
        Some(record)
    }

    /// The length of [`encode`](Self::encode).
    pub(in crate::run) fn encoded(&self) -> usize {
        self.list.iter().map(|record| HEADER + record.text.len()).sum()
    }

    /// Each record as: what it takes of a window and its length, four bytes each, then its text.
    pub(in crate::run) fn encode(&self) -> Vec<u8> {
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
