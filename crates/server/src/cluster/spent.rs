//! What others have taken from the API keys' rates.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::table::Table;
use super::{Incarnation, Member};

/// What each server had spent at its last word. Servers say what they have spent since their start, so that a word that
/// was missed is made up by the next.
#[derive(Debug, Default)]
pub(super) struct Spent(HashMap<Incarnation, BTreeMap<String, u64>>);

impl Spent {
    /// Tells the member what was spent since the last time. What a server spent before it was first seen is past.
    pub(super) fn tell(&mut self, table: &Table, member: &impl Member) {
        let mut there = HashSet::new();
        for (_, node) in table.nodes() {
            let (inc, now) = (node.record.inc, &node.record.load.spent);
            there.insert(inc);
            let Some(before) = self.0.get_mut(&inc) else {
                self.0.insert(inc, now.clone());
                continue;
            };
            if before == now {
                continue;
            }
            for (key, calls) in now {
                let more = calls.saturating_sub(before.get(key).copied().unwrap_or(0));
                if more > 0 {
                    member.spent_elsewhere(key, more);
                }
            }
            before.clone_from(now);
        }
        self.0.retain(|inc, _| there.contains(inc));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::cluster::record::{Load, NodeState, Record};
    use crate::cluster::snapshot::{Beat, Entry, Rev, Snapshot};
    use crate::cluster::table::Timing;

    #[derive(Default)]
    struct Told(Mutex<Vec<(String, u64)>>);

    impl Member for Told {
        fn load(&self) -> Load {
            Load::default()
        }

        fn sessions(&self) -> u64 {
            0
        }

        fn spent_elsewhere(&self, key: &str, calls: u64) {
            self.0.lock().expect("no panic under the lock").push((key.to_owned(), calls));
        }
    }

    /// What is told when the other server's record says so at one beat after the other.
    fn told(words: &[(Incarnation, &[(&str, u64)])]) -> Vec<(String, u64)> {
        let timing = Timing { beat: Duration::from_secs(2), lost_after: Duration::from_secs(10) };
        let mut table = Table::new(Incarnation::fresh(), "me".to_owned(), timing, Duration::ZERO);
        let (mut spent, member) = (Spent::default(), Told::default());
        for (rev, (inc, said)) in (1..).zip(words) {
            let said = said.iter().map(|(key, calls)| ((*key).to_owned(), *calls)).collect();
            let load = Load { spent: said, ..Load::default() };
            let (addr, lock) = ("http://10.0.0.7:80".to_owned(), String::new());
            let state = NodeState::Up;
            let record = Record {
                v: 1,
                inc: *inc,
                addr,
                state,
                n: rev,
                started_ms: 0,
                lock,
                strict: false,
                load,
                by: None,
                at_ms: None,
            };
            let entry = Entry { name: "other".to_owned(), rev: Rev(rev), record: Ok(record) };
            let (call, _) = table.begin_beat(false, Duration::from_secs(rev));
            let all = Snapshot { rev: Rev(rev), entries: vec![entry] };
            table.answered(call, Beat::Kept(Rev(rev), all), Duration::from_secs(rev));
            spent.tell(&table, &member);
        }
        member.0.into_inner().expect("no panic under the lock")
    }

    #[test]
    fn each_call_is_told_once_also_when_words_were_missed() {
        let (one, next) = (Incarnation::fresh(), Incarnation::fresh());
        let told = told(&[
            (one, &[("alice", 100)]), // before this server came
            (one, &[("alice", 103), ("bob", 2)]),
            (one, &[("alice", 103), ("bob", 2)]),
            (one, &[("alice", 150), ("bob", 2)]), // many beats later
            (next, &[("alice", 1)]),              // restarted in place
            (next, &[("alice", 4), ("bob", 1)]),
        ]);
        let expected = [("alice", 3), ("bob", 2), ("alice", 47), ("alice", 3), ("bob", 1)];
        assert_eq!(told, expected.map(|(key, calls)| (key.to_owned(), calls)));
    }
}
