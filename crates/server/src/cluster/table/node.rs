//! The other servers of a cluster, as a table knows them.

use super::{Moment, Table};
use crate::cluster::Incarnation;
use crate::cluster::record::Record;
use crate::cluster::snapshot::Rev;

/// Another server that takes calls.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) rev: Rev,
    pub(crate) record: Record,
    /// Since when its record has not changed while the own beats were kept.
    pub(super) unchanged_since: Moment,
    age: Age,
    /// Sessions placed there since its record was read.
    placed: u64,
    /// It has not taken a session since its record was read.
    refused: bool,
    /// A call has not reached it since its record was read.
    doubted: bool,
}

/// What is known about when a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// Nothing: no other one of this server has been read.
    Unknown,
    /// After one that was read before: its server beats.
    Newer,
    /// Before an outage of the registry, or before one that was read: it says nothing of now.
    Old,
}

/// Whether others take servers that are absent from the registry for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// One that beats does.
    Somebody,
    /// One that may beat, or be a record from a copy.
    Unsure,
    Nobody,
}

impl Node {
    /// A server whose record has just been read; `before`: what was known of the same process.
    pub(super) fn new(rev: Rev, record: Record, before: Option<&Self>, now: Moment) -> Self {
        let age = match before {
            None => Age::Unknown,
            Some(before) if record.n > before.record.n => Age::Newer,
            Some(_) => Age::Old,
        };
        Self { rev, record, unchanged_since: now, age, placed: 0, refused: false, doubted: false }
    }

    /// Its silence begins now; what it said before says nothing of now.
    pub(super) fn restart_clock(&mut self, now: Moment) {
        self.unchanged_since = now;
        if self.age == Age::Newer {
            self.age = Age::Old;
        }
    }

    /// Sessions there, with those placed since its last word.
    pub(crate) fn sessions(&self) -> u64 {
        self.record.load.sessions.saturating_add(self.placed)
    }
}

impl Table {
    /// The other servers that take calls.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// Servers whose records went away a moment ago without a farewell: they may live.
    pub(crate) fn vanished(&self, now: Moment) -> impl Iterator<Item = (&str, &Node)> {
        self.grace.nodes(now)
    }

    /// Whether a session is better placed elsewhere: this one has refused one, or not been heard of for a while, since
    /// its last word.
    pub(crate) fn avoids(&self, node: &Node, now: Moment) -> bool {
        node.refused || now.saturating_sub(node.unchanged_since) >= self.timing.quiet()
    }

    /// A session was placed there: counted until the next word of that server.
    pub(crate) fn placed(&mut self, inc: Incarnation) {
        if let Some(node) = self.node_mut(inc) {
            node.placed += 1;
        }
    }

    /// That server has not taken a session: avoided until its next word.
    pub(crate) fn has_refused(&mut self, inc: Incarnation) {
        if let Some(node) = self.node_mut(inc) {
            node.refused = true;
        }
    }

    /// A call has not reached that server, or has broken off. Whether the registry is to be read: its silence counts from
    /// when its record is known to be the last. Once for each of its records.
    pub(crate) fn doubt(&mut self, inc: Incarnation) -> bool {
        self.node_mut(inc).is_some_and(|node| !std::mem::replace(&mut node.doubted, true))
    }

    fn node_mut(&mut self, inc: Incarnation) -> Option<&mut Node> {
        self.names.get(&inc).and_then(|name| self.nodes.get_mut(name))
    }

    /// Whether somebody takes absent servers for ended. A record that is as old as the copy of the registry that it came
    /// with says nothing; of one that nobody has seen before, the next beat tells whether it has a server.
    pub(super) fn strictness(&self, now: Moment) -> Strictness {
        let strict = || self.nodes.values().filter(|node| node.record.strict && !self.lost.contains(node.record.inc));
        let may_beat =
            |node: &Node| node.age == Age::Unknown && now.saturating_sub(node.unchanged_since) < self.timing.quiet();
        if strict().any(|node| node.age == Age::Newer) {
            Strictness::Somebody
        } else if strict().any(may_beat) {
            Strictness::Unsure
        } else {
            Strictness::Nobody
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Timing;
    use super::*;
    use crate::cluster::memory::Store;
    use crate::cluster::record::{Load, NodeState};
    use crate::cluster::snapshot::Beat;

    const TIMING: Timing = Timing { beat: Duration::from_secs(2), lost_after: Duration::from_secs(10) };
    const NOW: Duration = Duration::from_secs(100);

    fn beat(store: &mut Store, inc: Incarnation, n: u64, at: Option<Rev>) -> Rev {
        let record = Record {
            v: Record::FORM,
            inc,
            addr: "http://10.0.0.7:8080".to_owned(),
            state: NodeState::Up,
            n,
            started_ms: 1,
            lock: "a lock".to_owned(),
            strict: true,
            load: Load { sessions: 5, ..Load::default() },
            by: None,
            at_ms: None,
        };
        let Beat::Kept(rev, _) = store.beat("b", &record, at) else { panic!("it is at {at:?}") };
        rev
    }

    fn read(table: &mut Table, store: &Store, now: Moment) {
        let call = table.begin();
        table.read(call, store.snapshot(), now);
    }

    fn is_avoided(table: &Table, now: Moment) -> bool {
        table.avoids(table.nodes().next().expect("it is there").1, now)
    }

    #[test]
    fn a_server_that_has_refused_a_session_or_is_silent_is_avoided_until_its_next_word() {
        let (mut store, other) = (Store::default(), Incarnation::fresh());
        let mut table = Table::new(Incarnation::fresh(), "a".to_owned(), TIMING, NOW);
        let rev = beat(&mut store, other, 1, None);
        read(&mut table, &store, NOW);
        assert!(!is_avoided(&table, NOW));
        table.has_refused(other);
        read(&mut table, &store, NOW);
        assert!(is_avoided(&table, NOW), "it has said nothing since");
        beat(&mut store, other, 2, Some(rev));
        read(&mut table, &store, NOW);
        assert!(!is_avoided(&table, NOW));
        assert!(is_avoided(&table, NOW + 2 * TIMING.beat), "two beats are missing");
        table.has_refused(Incarnation::fresh()); // one that is not there any more
    }

    #[test]
    fn a_record_counts_as_strict_when_its_server_beats() {
        let (mut store, other) = (Store::default(), Incarnation::fresh());
        let mut table = Table::new(Incarnation::fresh(), "a".to_owned(), TIMING, NOW);
        assert_eq!(table.strictness(NOW), Strictness::Nobody);
        let rev = beat(&mut store, other, 1, None);
        let copy = store.clone();
        read(&mut table, &store, NOW);
        assert_eq!(table.strictness(NOW), Strictness::Unsure, "it may be anybody's");
        assert_eq!(table.strictness(NOW + 2 * TIMING.beat), Strictness::Nobody, "nobody has beaten");
        let rev = beat(&mut store, other, 2, Some(rev));
        read(&mut table, &store, NOW);
        assert_eq!(table.strictness(NOW + 2 * TIMING.beat), Strictness::Somebody);
        // The registry is away, and an old copy comes back.
        let away = NOW + 5 * TIMING.beat;
        table.failed(away, Duration::ZERO);
        assert_eq!(table.strictness(away), Strictness::Nobody, "that was before");
        read(&mut table, &copy, away);
        assert_eq!(table.strictness(away), Strictness::Nobody, "so was this");
        let rev = beat(&mut store, other, 3, Some(rev));
        read(&mut table, &store, away);
        assert_eq!(table.strictness(away), Strictness::Somebody);
        // Whoever is known to have ended says nothing.
        beat(&mut store, Incarnation::fresh(), 1, Some(rev));
        read(&mut table, &store, away);
        assert_eq!(table.strictness(away), Strictness::Unsure);
    }
}
