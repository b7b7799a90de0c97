//! How a run has ended, kept and counted until nobody can ask any more.

use super::event::Finish;
use crate::budget::Charge;

/// How a run has ended, if it has.
#[derive(Debug, Default)]
pub(super) struct End {
    /// In the words of the wire.
    finish: Option<Finish>,
    /// What that takes, of what its session may hold.
    charge: Option<Charge>,
}

impl End {
    pub(super) fn set(&mut self, finish: Finish) {
        self.finish = Some(finish);
        self.account();
    }

    pub(super) fn finish(&self) -> Option<&Finish> {
        self.finish.as_ref()
    }

    /// It counts from now on.
    pub(super) fn count(&mut self, charge: Charge) {
        self.charge = Some(charge);
        self.account();
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        self.finish.as_ref().map_or(0, Finish::memory_size)
    }

    fn account(&mut self) {
        let held = self.memory();
        if let Some(charge) = &mut self.charge {
            charge.hold(held);
        }
    }
}
