//! Who is silent, and what follows from what it answers.

use std::time::Duration;

use super::{Moment, REMEMBERED, Table};
use crate::cluster::Incarnation;
use crate::cluster::record::{Load, NodeState, Record};
use crate::cluster::snapshot::Rev;

/// A server whose record has not changed for a while although this server's own beats were kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suspect {
    pub(crate) name: String,
    pub(crate) inc: Incarnation,
    pub(crate) addr: String,
    pub(crate) rev: Rev,
}

/// What a suspect answers when it is asked directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// That it is who the record says.
    Alive,
    /// That it is another: the one of the record has ended.
    Another,
    /// Its host refuses the connection: no process listens there.
    Refused,
    /// Nothing, or nothing that a server of this kind says.
    Silence,
}

impl Table {
    /// Every other server's silence begins now.
    pub(super) fn restart_clocks(&mut self, now: Moment) {
        self.nodes.values_mut().for_each(|node| node.restart_clock(now));
    }

    /// Whom to ask directly whether it lives.
    pub(crate) fn suspects(&self, now: Moment) -> Vec<Suspect> {
        if self.ended.is_some() || self.last_ok.is_none() {
            return Vec::new();
        }
        let quiet = self.timing.quiet();
        let silent = self.nodes.iter().filter(|(_, node)| now.saturating_sub(node.unchanged_since) >= quiet);
        silent.map(|(name, node)| suspect(name, &node.record, node.rev)).collect()
    }

    /// How long until the next of those that are not suspects yet is one, if it stays silent.
    pub(crate) fn next_suspect(&self, now: Moment) -> Option<Duration> {
        let quiet = self.timing.quiet();
        let left = self.nodes.values().map(|node| (node.unchanged_since + quiet).saturating_sub(now));
        left.filter(|left| !left.is_zero()).min()
    }

    /// Whether a suspect is to be declared lost, now that it was asked.
    pub(crate) fn condemns(&self, suspect: &Suspect, probe: Probe, now: Moment) -> bool {
        let Some(node) = self.nodes.get(&suspect.name) else { return false };
        if self.ended.is_some() || node.rev != suspect.rev || node.record.inc != suspect.inc {
            return false;
        }
        let silent_for = now.saturating_sub(node.unchanged_since);
        match probe {
            Probe::Alive => false,
            Probe::Another | Probe::Refused => silent_for >= self.timing.quiet(),
            Probe::Silence => silent_for >= self.timing.lost_after,
        }
    }

    /// Records of servers whose sessions clients were told to be over: an old backup was restored, or the registry was
    /// wiped while they were away.
    pub(crate) fn relapsed(&self) -> Vec<Suspect> {
        if self.ended.is_some() {
            return Vec::new();
        }
        let is_over = |inc: &Incarnation| self.lost.contains(*inc) || self.never.contains(*inc);
        let relapsed = self.nodes.iter().filter(|(_, node)| is_over(&node.record.inc));
        relapsed.map(|(name, node)| suspect(name, &node.record, node.rev)).collect()
    }

    /// The record that declares a server lost; `None`: it has changed meanwhile.
    pub(crate) fn verdict(&self, suspect: &Suspect, at_ms: u64) -> Option<Record> {
        let node = self.nodes.get(&suspect.name).filter(|node| node.rev == suspect.rev)?;
        // No more than that, so that it is never longer than what can be read.
        let load = Load { sessions: node.sessions(), ..Load::default() };
        Some(Record { state: NodeState::Lost, by: Some(self.me), at_ms: Some(at_ms), load, ..node.record.clone() })
    }

    /// The registry has taken the verdict.
    pub(crate) fn condemned(&mut self, suspect: &Suspect, verdict: &Record, now: Moment) {
        self.count(verdict);
        self.reap(suspect.inc, verdict.at_ms, now);
        if self.nodes.get(&suspect.name).is_some_and(|node| node.record.inc == suspect.inc) {
            self.nodes.remove(&suspect.name);
            self.names.remove(&suspect.inc);
        }
    }

    /// A record of a lost server that nobody needs any more.
    pub(crate) fn old_grave(&self, now: Moment) -> Option<(String, Rev)> {
        let old = self.graves.iter().find(|(_, (_, since))| now.saturating_sub(*since) >= REMEMBERED);
        old.map(|(name, (rev, _))| (name.clone(), *rev))
    }
}

fn suspect(name: &str, record: &Record, rev: Rev) -> Suspect {
    Suspect { name: name.to_owned(), inc: record.inc, addr: record.addr.clone(), rev }
}
