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
        if self.all.remove(&inc) {
            self.in_order.retain(|known| *known != inc);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inc(number: usize) -> Incarnation {
        format!("{number:012x}").parse().expect("12 digits")
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut recent = Recent::default();
        for number in 0..=MOST {
            recent.insert(inc(number));
            recent.insert(inc(number));
        }
        assert!(!recent.contains(inc(0)) && recent.contains(inc(1)) && recent.contains(inc(MOST)));
    }

    #[test]
    fn one_that_comes_again_is_the_newest() {
        let mut recent = Recent::default();
        (0..MOST).for_each(|number| recent.insert(inc(number)));
        recent.remove(inc(0));
        recent.remove(inc(0));
        assert!(!recent.contains(inc(0)));
        recent.insert(inc(0));
        recent.insert(inc(MOST));
        assert!(recent.contains(inc(0)) && !recent.contains(inc(1)));
        assert_eq!((recent.all.len(), recent.in_order.len()), (MOST, MOST));
    }
}
