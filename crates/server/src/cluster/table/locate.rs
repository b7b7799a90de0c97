//! Where the sessions of an incarnation are.

use super::{Moment, Own, Table};
use crate::cluster::Incarnation;

/// What is known about the owner of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// This server, or nobody in the cluster: look here.
    Here,
    /// That server, if it still lives.
    At { addr: String, inc: Incarnation },
    /// No server has it or will ever have it. When its server was declared lost, in milliseconds since 1970, if known.
    Gone { lost_at: Option<u64> },
    /// The registry could not be asked, or may have forgotten servers that live.
    Unknown,
}

/// What a server answers when it is asked which run of a server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// This one.
    Own(Incarnation),
    /// None of any record: this one's is on none yet.
    NotYet,
    /// Nothing: the registry may have its record, and this server does not know it.
    Unsure,
}

impl Table {
    /// Where the sessions of this incarnation are; `None`: the registry has to be read first.
    pub(crate) fn locate(&self, inc: Incarnation) -> Option<Located> {
        if inc == self.me {
            return Some(Located::Here);
        }
        if let Some(lost_at) = self.lost.at(inc) {
            return Some(Located::Gone { lost_at });
        }
        if self.never.contains(inc) {
            return Some(Located::Gone { lost_at: None });
        }
        let node = self.names.get(&inc).and_then(|name| self.nodes.get(name))?;
        Some(Located::At { addr: node.record.addr.clone(), inc })
    }

    /// The same after a read that began after the question came.
    pub(crate) fn locate_after_read(&mut self, inc: Incarnation, now: Moment) -> Located {
        if let Some(located) = self.locate(inc) {
            return located;
        }
        // Its record went away without a farewell: if it lives, it is where it was, and says itself what it has.
        if let Some(node) = self.grace.node(inc, now) {
            return Located::At { addr: node.record.addr.clone(), inc };
        }
        // A record that cannot be read may be that of any server, if one writes it.
        let is_whole = !self.unreadable.may_live(now, self.timing.lost_after);
        let is_member = matches!(self.own, Own::Mine(..)) && self.is_strict;
        if !is_whole || !is_member || self.grace.covers(inc, now) {
            return Located::Unknown;
        }
        self.never.insert(inc);
        Located::Gone { lost_at: None }
    }

    /// A record has this incarnation. One that was asked for before it was ever on record has no sessions of that time:
    /// somebody has made it up, or has heard of it early.
    pub(super) fn joins(&mut self, inc: Incarnation) {
        if !self.seen.contains(inc) {
            self.never.remove(inc);
            self.seen.insert(inc);
        }
    }

    /// What to tell those who ask which run of a server this is. Before the registry has kept its record it is nobody's to
    /// know: whoever asks another server for it would hear that there is no such one.
    pub(crate) fn identity(&self) -> Identity {
        match self.last_ok {
            Some(_) => Identity::Own(self.me),
            None if self.is_told => Identity::Unsure,
            None => Identity::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Next, Timing};
    use super::*;
    use crate::cluster::memory::Store;
    use crate::cluster::record::{Load, NodeState, Record};
    use crate::cluster::snapshot::{Beat, Rev};

    const TIMING: Timing = Timing { beat: Duration::from_secs(2), lost_after: Duration::from_secs(10) };

    fn record(inc: Incarnation, n: u64) -> Record {
        Record {
            v: Record::FORM,
            inc,
            addr: "http://10.0.0.7:8080".to_owned(),
            state: NodeState::Up,
            n,
            started_ms: 1,
            lock: inc.to_string(),
            strict: false,
            load: Load::default(),
            by: None,
            at_ms: None,
        }
    }

    /// A server that has been a member for so long that absences count.
    struct Member {
        table: Table,
        me: Incarnation,
        store: Store,
        now: Moment,
    }

    impl Member {
        fn new() -> Self {
            let (me, now) = (Incarnation::fresh(), Duration::from_secs(100));
            let table = Table::new(me, "a".to_owned(), TIMING, now);
            let mut member = Self { table, me, store: Store::default(), now };
            member.table.register_at(None, None, now);
            (0..8).for_each(|_| member.beat());
            member
        }

        fn beat(&mut self) {
            self.now += TIMING.beat;
            let (call, at) = self.table.begin_beat(self.table.is_strict(self.now), self.now);
            let n = self.now.as_secs();
            let answer = self.store.beat("a", &record(self.me, n), at);
            assert_eq!(self.table.answered(call, answer, self.now), Next::Rest);
        }

        fn ask(&mut self, inc: Incarnation) -> Located {
            let call = self.table.begin();
            self.table.read(call, self.store.snapshot(), self.now);
            self.table.locate_after_read(inc, self.now)
        }

        fn relapsed(&self) -> Vec<Incarnation> {
            self.table.relapsed().iter().map(|suspect| suspect.inc).collect()
        }
    }

    const GONE: Located = Located::Gone { lost_at: None };

    #[test]
    fn whoever_is_asked_for_before_it_joins_joins_all_the_same() {
        let mut member = Member::new();
        let joining = Incarnation::fresh();
        assert_eq!(member.ask(joining), GONE, "no session is there yet");
        member.store.beat("b", &record(joining, 1), None);
        for _ in 0..3 {
            assert!(matches!(member.ask(joining), Located::At { inc, .. } if inc == joining));
            assert_eq!(member.relapsed(), []);
            member.beat();
        }
    }

    #[test]
    fn whoever_was_told_to_be_over_is_over() {
        let mut member = Member::new();
        let other = Incarnation::fresh();
        member.store.beat("b", &record(other, 1), None);
        member.beat();
        let rev = member.table.nodes().next().expect("it is there").1.rev;
        assert!(member.store.remove("b", rev));
        (0..8).for_each(|_| member.beat()); // it is not waited for any longer
        assert_eq!(member.ask(other), GONE);
        member.store.beat("b", &record(other, 2), None);
        for _ in 0..2 {
            member.beat();
            assert_eq!(member.relapsed(), [other], "clients have heard that its sessions are over");
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_may_be_anybodys() {
        let mut member = Member::new();
        let inc = Incarnation::fresh();
        let large = Record { addr: format!("http://{}", "a".repeat(70_000)), ..record(inc, 1) };
        member.store.beat("large", &large, None);
        assert_eq!(member.ask(inc), Located::Unknown);
        assert_eq!(member.ask(Incarnation::fresh()), Located::Unknown);
        let rev = member.store.snapshot().entries.iter().find(|entry| entry.name == "large").expect("there").rev;
        assert!(member.store.replace("large", rev, &record(inc, 2)));
        assert!(matches!(member.ask(inc), Located::At { .. }));
        assert_eq!(member.relapsed(), []);
        assert_eq!(member.ask(Incarnation::fresh()), GONE);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_nobodys_when_nobody_writes_it() {
        let mut member = Member::new();
        let large = |n| Record { addr: format!("http://{}", "a".repeat(70_000)), ..record(Incarnation::fresh(), n) };
        let mut rev = None;
        for n in 1..10 {
            assert!(matches!(member.store.beat("large", &large(n), rev), Beat::Kept(..)));
            member.beat();
            assert_eq!(member.ask(Incarnation::fresh()), Located::Unknown, "a server that lives, {n}");
            rev = member.store.snapshot().entries.iter().find(|entry| entry.name == "large").map(|entry| entry.rev);
        }
        let left_at = member.now;
        while member.now < left_at + TIMING.lost_after {
            assert_eq!(member.ask(Incarnation::fresh()), Located::Unknown, "{:?}", member.now - left_at);
            member.beat();
        }
        assert_eq!(member.ask(Incarnation::fresh()), GONE);
        assert_eq!(member.table.unreadable().len(), 1, "it is told all the same");
    }

    #[test]
    fn nobody_hears_who_joins_before_it_has_joined() {
        let (me, now) = (Incarnation::fresh(), Duration::from_secs(1));
        let (mut table, mut store) = (Table::new(me, "a".to_owned(), TIMING, now), Store::default());
        assert_eq!(table.identity(), Identity::NotYet);
        let (_, at) = table.begin_beat(false, now);
        table.failed(now, Duration::ZERO);
        assert_eq!(table.identity(), Identity::Unsure, "the record may be there");
        let (call, _) = table.begin_beat(false, now);
        let answer = store.beat("a", &record(me, 1), at);
        table.answered(call, answer, now);
        assert_eq!(table.identity(), Identity::Own(me));
        assert_eq!(table.own_rev(), Some(Rev(1)));
    }

    #[test]
    fn a_server_that_a_call_did_not_reach_is_looked_up_once_for_each_of_its_records() {
        let mut member = Member::new();
        let other = Incarnation::fresh();
        assert!(!member.table.doubt(other), "nobody knows it");
        member.store.beat("b", &record(other, 1), None);
        member.ask(other);
        assert!(member.table.doubt(other) && !member.table.doubt(other));
        let rev = member.table.nodes().next().expect("it is there").1.rev;
        member.store.beat("b", &record(other, 2), Some(rev));
        member.now += Duration::from_secs(1);
        member.ask(other);
        assert!(member.table.doubt(other));
        // It has been silent since this read, and not only since the next beat.
        let now = member.now;
        assert_eq!(member.table.next_suspect(now), Some(TIMING.beat * 2));
        member.beat();
        assert_eq!(member.table.suspects(now + TIMING.beat * 2).len(), 1);
        assert_eq!(member.table.next_suspect(now + TIMING.beat * 2), None);
    }
}
