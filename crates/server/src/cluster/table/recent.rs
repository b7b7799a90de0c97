//! Incarnations of the last time, as many as there is room for.

use std::collections::{HashSet, VecDeque};

use crate::cluster::Incarnation;

/// How many are remembered: ten times the servers of the largest cluster, and 16 bytes each.
const MOST: usize = 10_000;

/// A set of incarnations that forgets the oldest.
#[derive(Debug, Default)]
pub(super) struct Recent {
    all: HashSet<Incarnation>,
    in_order: VecDeque<Incarnation>,
}

impl Recent {
    pub(super) fn insert(&mut self, inc: Incarnation) {
        if !self.all.insert(inc) {
            return;
        }
        self.in_order.push_back(inc);
        // More than are in the set: those that were taken out of it, too.
        if self.in_order.len() > MOST
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, inc: Incarnation) -> bool {
        self.all.contains(&inc)
    }

    pub(super) fn remove(&mut self, inc: Incarnation) {
        self.all.remove(&inc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut recent = Recent::default();
        let inc = |number: usize| format!("{number:012x}").parse::<Incarnation>().expect("12 digits");
        for number in 0..=MOST {
            recent.insert(inc(number));
            recent.insert(inc(number));
        }
        assert!(!recent.contains(inc(0)) && recent.contains(inc(1)) && recent.contains(inc(MOST)));
        recent.remove(inc(5));
        assert!(!recent.contains(inc(5)));
        assert!(recent.all.len() < recent.in_order.len() && recent.in_order.len() <= MOST);
    }
}
