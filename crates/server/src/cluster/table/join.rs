//! Whether a server's name is free.

use super::{Call, Moment, Suspect, Table};
use crate::cluster::Incarnation;
use crate::cluster::record::NodeState;
use crate::cluster::snapshot::{Rev, Snapshot};

/// What to do before the own record is written for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// The name is free.
    Register,
    /// The registry has a record of this name; wait whether it changes. `first`: it was not known before.
    Wait { first: bool },
    /// It has not changed for long enough: ask that server directly, and take its place if it is silent.
    Ask(Suspect),
    /// Its server lives.
    Taken { addr: String },
}

/// The record that is in the own record's place.
#[derive(Debug)]
pub(super) struct InPlace {
    inc: Option<Incarnation>,
    rev: Rev,
    since: Moment,
    changes: u32,
}

/// A server that beats changes its record this often in a wait that an ended one never survives.
const LIVES: u32 = 2;

impl Table {
    /// What the registry says about the own name. `lock` names the lock that this process holds.
    pub(crate) fn join(&mut self, call: Call, all: Snapshot, lock: &str, now: Moment) -> Join {
        let own = all.entries.iter().find(|entry| entry.name == self.name).cloned();
        self.read(call, all, now);
        let Some(own) = own else {
            self.losses.replaces(0);
            self.register_at(None, None, now);
            return Join::Register;
        };
        let inc = own.record.as_ref().ok().map(|record| record.inc);
        // Of a server that was declared lost they have been counted.
        let ends_by_this = own.record.as_ref().ok().filter(|record| record.state != NodeState::Lost);
        self.losses.replaces(ends_by_this.map_or(0, |record| record.load.sessions));
        if let Ok(record) = &own.record
            && (record.state == NodeState::Lost || record.lock == lock)
        {
            self.register_at(Some(own.rev), inc, now);
            return Join::Register;
        }
        let known = self.in_place.take().filter(|known| known.inc == inc);
        let first = known.is_none();
        let mut known = known.unwrap_or(InPlace { inc, rev: own.rev, since: now, changes: 0 });
        if known.rev != own.rev {
            known = InPlace { rev: own.rev, since: now, changes: known.changes + 1, ..known };
        }
        let (changes, quiet) = (known.changes, now.saturating_sub(known.since));
        self.in_place = Some(known);
        let addr = own.record.as_ref().map_or_else(|_| "an unknown address".to_owned(), |record| record.addr.clone());
        match inc {
            _ if changes >= LIVES => Join::Taken { addr },
            Some(inc) if quiet >= self.timing.lost_after => {
                Join::Ask(Suspect { name: self.name.clone(), inc, addr, rev: own.rev })
            }
            None if quiet >= self.timing.lost_after => {
                self.register_at(Some(own.rev), None, now);
                Join::Register
            }
            _ => Join::Wait { first },
        }
    }
}
