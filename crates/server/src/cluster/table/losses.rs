//! Servers that were lost and the sessions that they had: each counted once, by the server that ended its membership.

use super::Table;
use crate::cluster::record::Record;

/// What this server has counted since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    /// Servers that this one declared lost.
    pub(crate) condemned: u64,
    /// The sessions that those had, and those of the process in whose place this one has registered.
    pub(crate) sessions: u64,
    /// The sessions of the process whose record this server is about to replace by its own.
    replaced: u64,
}

impl Losses {
    /// This server has declared the one of this verdict lost, which nobody had before.
    pub(super) fn condemned(&mut self, verdict: &Record) {
        self.condemned += 1;
        self.sessions = self.sessions.saturating_add(verdict.load.sessions);
    }

    /// The own name is that of a record of a process with so many sessions.
    pub(super) fn replaces(&mut self, sessions: u64) {
        self.replaced = sessions;
    }

    /// The registry has kept the own record in the place of that one: nobody else can declare it lost any more.
    pub(super) fn has_replaced(&mut self) {
        self.sessions = self.sessions.saturating_add(std::mem::take(&mut self.replaced));
    }

    /// The registry has refused, and the record there is another's: the earlier one is gone, and whoever replaced it has
    /// counted.
    pub(super) fn has_not_replaced(&mut self) {
        self.replaced = 0;
    }
}

impl Table {
    /// Counts a verdict, if it is this server's own and nobody has known it yet.
    pub(super) fn count(&mut self, verdict: &Record) {
        if verdict.by == Some(self.me) && !self.lost.contains(verdict.inc) {
            self.losses.condemned(verdict);
        }
    }

    /// How many servers are lost and still on record.
    pub(crate) fn lost_on_record(&self) -> usize {
        self.graves.len()
    }

    /// Servers and sessions that were lost, as far as they are this server's to count.
    pub(crate) fn losses(&self) -> Losses {
        self.losses
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Join, Table, Timing};
    use crate::cluster::Incarnation;
    use crate::cluster::memory::Store;
    use crate::cluster::record::{Load, NodeState, Record};
    use crate::cluster::snapshot::{Beat, Rev};

    const TIMING: Timing = Timing { beat: Duration::from_secs(2), lost_after: Duration::from_secs(10) };
    const NOW: Duration = Duration::from_secs(100);

    fn record(inc: Incarnation, sessions: u64) -> Record {
        Record {
            v: Record::FORM,
            inc,
            addr: "http://10.0.0.7:8080".to_owned(),
            state: NodeState::Up,
            n: 1,
            started_ms: 1,
            lock: "a lock".to_owned(),
            strict: false,
            load: Load { sessions, ..Load::default() },
            by: None,
            at_ms: None,
        }
    }

    fn beat(table: &mut Table, store: &mut Store, name: &str, sessions: u64, me: Incarnation) {
        let (call, at) = table.begin_beat(false, NOW);
        let answer = store.beat(name, &record(me, sessions), at);
        table.answered(call, answer, NOW);
    }

    fn joined(store: &mut Store, name: &str, me: Incarnation, lock: &str) -> Table {
        let mut table = Table::new(me, name.to_owned(), TIMING, NOW);
        let call = table.begin();
        assert_eq!(table.join(call, store.snapshot(), lock, NOW), Join::Register);
        table
    }

    fn put(store: &mut Store, name: &str, record: &Record) -> Rev {
        match store.beat(name, record, None) {
            Beat::Kept(rev, _) => rev,
            Beat::Refused(_) => panic!("the name is free"),
        }
    }

    #[test]
    fn who_takes_the_place_of_an_ended_process_counts_its_sessions_once() {
        let mut store = Store::default();
        let (old, me) = (Incarnation::fresh(), Incarnation::fresh());
        put(&mut store, "a", &record(old, 7));
        let mut table = joined(&mut store, "a", me, "a lock");
        assert_eq!(table.losses().sessions, 0, "it is not in its place yet");
        for _ in 0..2 {
            beat(&mut table, &mut store, "a", 0, me);
            assert_eq!((table.losses().condemned, table.losses().sessions), (0, 7));
        }
    }

    #[test]
    fn a_first_record_whose_answer_was_lost_counts_those_it_replaced() {
        let mut store = Store::default();
        let (old, me) = (Incarnation::fresh(), Incarnation::fresh());
        put(&mut store, "a", &record(old, 7));
        let mut table = joined(&mut store, "a", me, "a lock");
        let (_, at) = table.begin_beat(false, NOW);
        store.beat("a", &record(me, 0), at); // and its answer is lost
        for _ in 0..3 {
            beat(&mut table, &mut store, "a", 0, me);
            assert_eq!(table.losses().sessions, 7);
        }
    }

    #[test]
    fn who_comes_too_late_counts_nothing() {
        let mut store = Store::default();
        let (old, me, judge) = (Incarnation::fresh(), Incarnation::fresh(), Incarnation::fresh());
        let rev = put(&mut store, "a", &record(old, 7));
        let mut table = joined(&mut store, "a", me, "a lock");
        let verdict = Record { state: NodeState::Lost, by: Some(judge), at_ms: Some(1), ..record(old, 7) };
        assert!(store.replace("a", rev, &verdict));
        for _ in 0..3 {
            beat(&mut table, &mut store, "a", 0, me);
        }
        assert_eq!(table.losses().sessions, 0, "the other one has counted them");
    }

    #[test]
    fn a_verdict_whose_answer_was_lost_is_counted_when_it_is_read() {
        let mut store = Store::default();
        let (other, me) = (Incarnation::fresh(), Incarnation::fresh());
        let mut table = joined(&mut store, "a", me, "mine");
        beat(&mut table, &mut store, "a", 0, me);
        let rev = put(&mut store, "b", &record(other, 5));
        beat(&mut table, &mut store, "a", 0, me);
        let verdict = Record { state: NodeState::Lost, by: Some(me), at_ms: Some(1), ..record(other, 5) };
        assert!(store.replace("b", rev, &verdict));
        for _ in 0..2 {
            beat(&mut table, &mut store, "a", 0, me);
            assert_eq!((table.losses().condemned, table.losses().sessions), (1, 5));
        }
    }

    #[test]
    fn sessions_placed_since_the_last_word_are_lost_too() {
        let mut store = Store::default();
        let (other, me) = (Incarnation::fresh(), Incarnation::fresh());
        let mut table = joined(&mut store, "a", me, "mine");
        put(&mut store, "b", &record(other, 0));
        beat(&mut table, &mut store, "a", 0, me);
        table.placed(other);
        let later = NOW + Duration::from_secs(20);
        let suspect = table.suspects(later).pop().expect("it is silent");
        let verdict = table.verdict(&suspect, 1).expect("it has not changed");
        assert!(store.replace("b", suspect.rev, &verdict));
        table.condemned(&suspect, &verdict, later);
        table.condemned(&suspect, &verdict, later);
        assert_eq!((table.losses().condemned, table.losses().sessions), (1, 1));
    }
}
