//! What is taken of a program although its consumer is behind.

use crate::CellSink;

/// How many bytes of messages, and of what is printed before each of them, are taken from a program whose consumer takes no
/// more; a message that has begun is taken whole.
///
/// 64 KiB, as one read: the last words of a program and its end are heard while nobody reads, and no run makes its server hold
/// more than that beyond its limits, however small and many its messages are.
const BEYOND: usize = 64 << 10;

/// How much more is taken from a program whose time is over, and again from one that was interrupted.
///
/// 1 MiB: a program that blocks on a full pipe does not notice the interrupt; this lets it out of its write, and it
/// stops at the next step instead of being killed. One that had only its last words to say comes to its own end before that.
pub(crate) const AFTER_STOP: usize = 1 << 20;

/// How far a cell is beyond what its sink takes.
#[derive(Debug, Default)]
pub(crate) struct Room {
    is_full: bool,
    /// Bytes that were taken since the sink had room, or since more was to be taken.
    beyond: usize,
    is_open: bool,
}

impl Room {
    /// Asks the sink.
    pub(crate) fn look(&mut self, sink: &dyn CellSink) {
        self.is_full = sink.excess().is_some();
        if !self.is_full {
            self.beyond = 0;
        }
    }

    /// [`AFTER_STOP`] more is taken from now on, whether there is room or not.
    pub(crate) fn open(&mut self) {
        self.is_open = true;
        self.beyond = 0;
    }

    /// So much was handed over since the last look.
    pub(crate) fn taken(&mut self, bytes: usize) {
        if self.is_full {
            self.beyond = self.beyond.saturating_add(bytes);
        }
    }

    pub(crate) fn takes_output(&self) -> bool {
        !self.is_full || self.is_open && self.beyond < AFTER_STOP
    }

    pub(crate) fn takes_messages(&self) -> bool {
        !self.is_full || self.beyond < if self.is_open { BEYOND + AFTER_STOP } else { BEYOND }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CellEvent;

    /// Takes no more, or anything.
    struct Full(bool);

    impl CellSink for Full {
        fn push(&mut self, _: CellEvent) {}

        fn excess(&self) -> Option<usize> {
            self.0.then_some(0)
        }
    }

    /// How many times so much is taken while nobody reads.
    fn takes(room: &mut Room, bytes: usize) -> usize {
        let mut times = 0;
        while room.takes_messages() {
            room.taken(bytes);
            room.look(&Full(true));
            times += 1;
        }
        times
    }

    #[test]
    fn a_little_is_taken_of_whom_nobody_reads_and_more_of_who_is_to_stop() {
        let mut room = Room::default();
        room.look(&Full(false));
        assert!(room.takes_output() && room.takes_messages());
        room.taken(usize::MAX); // there is room for it
        room.look(&Full(true));
        assert!(!room.takes_output());
        assert_eq!((takes(&mut room, 1 << 10), takes(&mut room, 1)), (64, 0));
        room.open();
        assert!(room.takes_output());
        assert_eq!(takes(&mut room, 64 << 10), 17);
        assert!(!room.takes_output());
        room.look(&Full(false));
        assert!(room.takes_output());
        room.look(&Full(true));
        assert_eq!(takes(&mut room, 32 << 20), 1, "a large one is taken whole, and no second one");
    }
}
