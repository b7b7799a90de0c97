//! Incarnations that never serve anything again.

use std::collections::HashMap;

use super::Moment;
use super::REMEMBERED;
use crate::cluster::Incarnation;

/// How many are remembered: those of a thousand servers that are each replaced a hundred times a day. More are not of
/// servers, and the oldest go.
const MOST: usize = 100_000;

/// Declared lost or replaced: when, and until when it is remembered.
#[derive(Debug, Default)]
pub(super) struct Lost(HashMap<Incarnation, (Option<u64>, Moment)>);

impl Lost {
    pub(super) fn insert(&mut self, inc: Incarnation, at_ms: Option<u64>, now: Moment) {
        let known = self.0.entry(inc).or_insert((at_ms, now));
        *known = (known.0.or(at_ms), now + REMEMBERED);
    }

    pub(super) fn contains(&self, inc: Incarnation) -> bool {
        self.0.contains_key(&inc)
    }

    /// When it was declared lost, in milliseconds since 1970, if that is known; outside, whether it was.
    pub(super) fn at(&self, inc: Incarnation) -> Option<Option<u64>> {
        self.0.get(&inc).map(|(at, _)| *at)
    }

    pub(super) fn forget(&mut self, now: Moment) {
        self.0.retain(|_, (_, until)| *until > now);
        if self.0.len() > MOST {
            // Half of them, so that this is seldom.
            let mut until: Vec<_> = self.0.values().map(|(_, until)| *until).collect();
            let (_, &mut middle, _) = until.select_nth_unstable(MOST / 2);
            self.0.retain(|_, (_, until)| *until > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn are_remembered_for_a_day_and_not_without_bound() {
        let inc = |number: usize| format!("{number:012x}").parse::<Incarnation>().expect("12 digits");
        let mut lost = Lost::default();
        for number in 0..=MOST {
            lost.insert(inc(number), None, Duration::from_millis(number as u64));
        }
        lost.insert(inc(MOST), Some(7), Duration::from_millis(MOST as u64));
        let now = Duration::from_secs(MOST as u64 / 1000);
        lost.forget(now);
        assert!(lost.0.len() <= MOST && !lost.contains(inc(0)), "{}", lost.0.len());
        assert_eq!(lost.at(inc(MOST)), Some(Some(7)));
        lost.forget(now + REMEMBERED);
        assert_eq!((lost.at(inc(MOST)), lost.0.len()), (None, 0));
    }
}
