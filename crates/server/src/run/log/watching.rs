//! What those who watch beside the subscriber see of a log.

use super::{Log, Look, NoReplay};
use crate::run::replay::{Page, Records};
use crate::run::tail::Tail;

impl Log {
    /// Where somebody begins to watch who has everything up to `after`, or nothing.
    pub(in crate::run) fn watch_from(&self, after: u64) -> Result<u64, NoReplay> {
        let oldest = self.oldest();
        let is_over = self.ended && self.waiting.is_empty();
        let cursor = if after == 0 { oldest - 1 } else { after };
        if self.abandoned || is_over && cursor >= self.last {
            return Err(NoReplay::Over);
        }
        if after > self.last {
            return Err(NoReplay::Ahead { last: self.last });
        }
        if cursor + 1 < oldest {
            return Err(NoReplay::Missed { after, oldest });
        }
        Ok(cursor)
    }

    /// The event with this number, for somebody who watches.
    pub(in crate::run) fn look<'a>(&'a self, seq: u64, page: Option<&'a Page>) -> Look<'a> {
        if seq > self.last {
            return Look::NotYet;
        }
        let in_memory = page.and_then(|page| page.get(seq));
        let in_memory = in_memory.or_else(|| self.tail.as_ref()?.get(seq));
        if let Some(record) = in_memory.or_else(|| self.replay.as_ref()?.get(seq)) {
            return Look::There(record);
        }
        match self.replay.as_ref().and_then(|replay| replay.block_of(seq)) {
            Some(block) => Look::InFile(block),
            None => Look::Gone,
        }
    }

    /// How much of a window this event takes, if it is in memory.
    pub(in crate::run) fn chunk(&self, seq: u64) -> Option<u32> {
        let record = self.replay.as_ref().and_then(|replay| replay.get(seq));
        record.or_else(|| self.tail.as_ref()?.get(seq)).map(|record| record.chunk)
    }

    /// Whether there is nothing behind this event, and will not be.
    pub(in crate::run) fn is_all(&self, seq: u64) -> bool {
        self.ended && self.waiting.is_empty() && seq == self.last
    }

    /// From now on the newest events are kept, up to `limit` bytes, whoever acknowledges them. While memory is short they are
    /// those that come from now on.
    pub(in crate::run) fn keep_tail(&mut self, limit: usize) {
        if self.tail.is_none() {
            let replay = self.replay.as_ref().filter(|_| !self.is_short());
            let newest = replay.map_or_else(Records::default, |replay| replay.newest(self.last, limit));
            self.tail = Some(Tail::new(limit, newest, self.last));
            self.store();
            self.account();
        }
    }

    /// Whether they are.
    pub(in crate::run) fn has_tail(&self) -> bool {
        self.tail.is_some()
    }

    /// Nobody watches any more.
    pub(in crate::run) fn drop_tail(&mut self) {
        self.tail = None;
        self.account();
    }
}
