//! The newest events of a run, for those who watch it beside its subscriber.

use super::replay::{Record, Records};

/// The newest events of a run, whoever has acknowledged them. It is there while somebody watches.
///
/// Invariants: the numbers in it are contiguous and end with the newest event; it holds at most `limit` bytes, or one
/// event. All that its observers wait for is in here, so a run has one bounded tail however many they are.
#[derive(Debug)]
pub(super) struct Tail {
    limit: usize,
    records: Records,
    /// The newest number.
    last: u64,
}

impl Tail {
    /// `records` are the newest ones, up to the number `last`.
    pub(super) fn new(limit: usize, records: Records, last: u64) -> Self {
        let mut tail = Self { limit, records, last };
        tail.trim();
        tail
    }

    /// The oldest number in it; one more than the newest when it is empty.
    pub(super) fn first(&self) -> u64 {
        self.last + 1 - self.records.len()
    }

    /// Bytes in memory, some of which the replay may have as well.
    pub(super) fn bytes(&self) -> usize {
        self.records.bytes()
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Record> {
        self.records.get(seq.checked_sub(self.first())?)
    }

    pub(super) fn push(&mut self, record: Record) {
        self.last += 1;
        self.records.push(record);
        self.trim();
    }

    fn trim(&mut self) {
        while self.records.bytes() > self.limit && self.records.len() > 1 {
            self.records.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_newest() {
        let record = |text: &str| Record { chunk: 0, text: text.into() };
        let mut tail = Tail::new(200, Records::default(), 7);
        assert_eq!((tail.first(), tail.get(7), tail.get(8)), (8, None, None));
        for text in ["a", "b", "c", "d"] {
            tail.push(record(text)); // 65 bytes each
        }
        assert_eq!((tail.first(), tail.get(8)), (9, None));
        assert_eq!((tail.get(9), tail.get(11), tail.get(12)), (Some(&record("b")), Some(&record("d")), None));
        tail.push(record(&"x".repeat(1000)));
        assert_eq!(tail.first(), 12, "one is always there");
    }
}
