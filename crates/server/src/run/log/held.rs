//! What a log holds, as a part of what its session may.

use super::Log;
use crate::budget::Charge;
use crate::run::tail::Tail;

impl Log {
    /// What it holds counts from now on.
    pub(crate) fn count(&mut self, charge: Charge) {
        self.charge = Some(charge);
        self.account();
    }

    /// Says what it holds, after each change of that.
    pub(super) fn account(&mut self) {
        let held = self.memory() + self.tail.as_ref().map_or(0, Tail::bytes);
        let Some(charge) = &mut self.charge else { return };
        charge.hold(held);
        if let Some(replay) = &mut self.replay {
            replay.set_spills(charge.is_short());
        }
    }

    pub(in crate::run) fn is_short(&self) -> bool {
        self.charge.as_ref().is_some_and(Charge::is_short)
    }
}
