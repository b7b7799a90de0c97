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
