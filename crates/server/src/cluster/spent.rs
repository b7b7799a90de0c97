//! What was taken from the API keys' rates, here and elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::table::Table;
use super::{Incarnation, Member};

/// How many keys a record names at most: some 20 KiB, a third of what a record may have. A word that names as many may
/// leave some out.
const MOST_KEYS: usize = 256;
/// How many keys of one server are remembered: more than a file of keys has.
const MOST_REMEMBERED: usize = 100_000;

/// What this server's records tell. It tells all that it has spent while that is little, and otherwise what has changed
/// most since it was told last.
#[derive(Debug, Default)]
pub(super) struct Telling(HashMap<String, u64>);

impl Telling {
    /// What the next record tells of this.
    pub(super) fn next(&mut self, mut spent: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        self.0.retain(|key, _| spent.contains_key(key));
        if spent.len() > MOST_KEYS {
            let change = |key: &str, calls: u64| calls.saturating_sub(self.0.get(key).copied().unwrap_or(0));
            let mut changes: Vec<_> = spent.into_iter().map(|(key, calls)| (change(&key, calls), key, calls)).collect();
            changes.select_nth_unstable_by(MOST_KEYS - 1, |one, other| other.0.cmp(&one.0));
            spent = changes.into_iter().take(MOST_KEYS).map(|(_, key, calls)| (key, calls)).collect();
        }
        self.0.extend(spent.iter().map(|(key, calls)| (key.clone(), *calls)));
        spent
    }
}

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
            let is_all = now.len() < MOST_KEYS;
            for (key, calls) in now {
                // One that may have been left out until now may have been used long ago.
                let unheard = if is_all { 0 } else { *calls };
                let more = calls.saturating_sub(before.get(key).copied().unwrap_or(unheard));
                if more > 0 {
                    member.spent_elsewhere(key, more);
                }
            }
            if is_all || before.len() > MOST_REMEMBERED {
                before.clone_from(now);
            } else {
                before.extend(now.iter().map(|(key, calls)| (key.clone(), *calls)));
            }
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
    fn a_record_of_ten_thousand_keys_can_be_read_and_tells_of_each_change_some_time() {
        let spent = |more: u64| (0..10_000_u64).map(|key| (format!("{key:064}"), key + 1 + more)).collect();
        let mut telling = Telling::default();
        let mut heard = BTreeMap::new();
        for more in [0, 5] {
            for _ in 0..10_000 / MOST_KEYS + 1 {
                let told = telling.next(spent(more));
                assert_eq!(told.len(), MOST_KEYS);
                let load = Load { spent: told.clone(), ..Load::default() };
                let (addr, lock) = ("http://10.0.0.7:80".to_owned(), String::new());
                let (inc, state, strict) = (Incarnation::fresh(), NodeState::Up, true);
                let record =
                    Record { v: 1, inc, addr, state, n: 1, started_ms: 0, lock, strict, load, by: None, at_ms: None };
                assert_eq!(Record::parse(&record.to_bytes()).expect("it is short enough"), record);
                heard.extend(told);
            }
            assert!(heard == spent(more), "{more}");
        }
        // The busiest first.
        let mut next = spent(5);
        next.extend([(format!("{:064}", 7), 1_000_000), ("new".to_owned(), 3)]);
        let told = telling.next(next);
        assert!(told.contains_key("new") && told.contains_key(&format!("{:064}", 7)));
    }

    #[test]
    fn what_a_record_has_left_out_is_not_taken_for_new() {
        let one = Incarnation::fresh();
        let keys: Vec<_> = (0..MOST_KEYS + 1).map(|key| format!("{key}")).collect();
        let word = |range: std::ops::Range<usize>, calls: u64| -> Vec<(&str, u64)> {
            keys[range].iter().map(|key| (key.as_str(), calls)).collect()
        };
        let words = [word(0..MOST_KEYS, 100), word(1..MOST_KEYS + 1, 100), word(0..MOST_KEYS, 101)];
        let words: Vec<_> = words.iter().map(|word| (one, word.as_slice())).collect();
        let expected: Vec<_> = word(0..MOST_KEYS, 1).into_iter().map(|(key, calls)| (key.to_owned(), calls)).collect();
        let mut told = told(&words);
        told.sort_by_key(|(key, _)| key.parse::<usize>().expect("a number"));
        assert_eq!(told, expected, "each once, and nothing of the one that came late");
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
