//! Whether this process or its machine stood still.

use super::{Moment, Timing};

/// When beats were tried, and whether this process or its machine stood still between them.
///
/// A registry that does not answer makes a beat take long, and is not a pause: that a beat has come to its end, however it
/// did, is a sign that this process goes on. The others declare a silent server lost `lost_after` after its last word at
/// the earliest; so that much since the last beat began is a pause whatever came to its end meanwhile.
#[derive(Debug)]
pub(super) struct Pauses {
    timing: Timing,
    last_try: Moment,
    /// When the last beat began, or came to its end.
    last_sign: Moment,
    /// No beat was tried for so long that the others may have declared this server lost, even if no record says so now.
    stood_still: bool,
    /// The first beat after such a pause, or a shorter one, has not come back yet.
    thawing: bool,
}

impl Pauses {
    pub(super) fn new(timing: Timing, now: Moment) -> Self {
        Self { timing, last_try: now, last_sign: now, stood_still: false, thawing: false }
    }

    /// A beat begins.
    pub(super) fn begin(&mut self, now: Moment) {
        self.stood_still |= now.saturating_sub(self.last_try) >= self.timing.lost_after;
        self.thawing |= self.is_pause(now);
        self.last_try = now;
        self.last_sign = now;
    }

    /// A beat was answered, or given up. One that took longer than a registry is waited for was held up by a pause: then only a
    /// beat that begins now tells what happened in it.
    pub(super) fn over(&mut self, now: Moment) {
        self.thawing = now.saturating_sub(self.last_try) > self.timing.frozen();
        self.last_sign = now;
    }

    /// The registry has kept the own record: whatever happened in a pause is known.
    pub(super) fn is_known(&mut self) {
        (self.stood_still, self.thawing) = (false, false);
    }

    pub(super) fn last_try(&self) -> Moment {
        self.last_try
    }

    pub(super) fn stood_still(&self) -> bool {
        self.stood_still
    }

    /// Whether what happened in a pause is not known yet.
    pub(super) fn is_frozen(&self, now: Moment) -> bool {
        self.thawing || self.is_pause(now)
    }

    fn is_pause(&self, now: Moment) -> bool {
        now.saturating_sub(self.last_sign) > self.timing.frozen()
            || now.saturating_sub(self.last_try) >= self.timing.lost_after
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMING: Timing = Timing { beat: Duration::from_secs(2), lost_after: Duration::from_secs(10) };

    fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_registry_that_says_nothing_is_no_pause() {
        let mut pauses = Pauses::new(TIMING, at(0));
        for round in 0..100 {
            let begin = at(8 * round);
            pauses.begin(begin);
            assert!(!pauses.is_frozen(begin + at(4)));
            pauses.over(begin + at(4)); // it is waited for no longer
            for second in 4..8 {
                assert!(!pauses.is_frozen(begin + at(second)), "{round}");
            }
        }
        assert!(!pauses.stood_still());
    }

    #[test]
    fn a_pause_is_one_until_a_beat_has_come_back() {
        for paused_in_a_beat in [false, true] {
            let mut pauses = Pauses::new(TIMING, at(0));
            pauses.begin(at(0));
            if !paused_in_a_beat {
                pauses.over(at(0));
            }
            assert!(!pauses.is_frozen(at(5)));
            assert!(pauses.is_frozen(at(6)));
            assert!(pauses.is_frozen(at(20)));
            if paused_in_a_beat {
                pauses.over(at(20)); // an answer from before
                assert!(pauses.is_frozen(at(20)));
            }
            pauses.begin(at(20));
            assert!(pauses.is_frozen(at(20)) && pauses.stood_still());
            pauses.over(at(21));
            assert!(!pauses.is_frozen(at(21)) && pauses.stood_still());
            pauses.is_known();
            assert!(!pauses.stood_still());
        }
    }

    /// The others may have declared this server lost meanwhile: their time began with the beat before.
    #[test]
    fn a_beat_that_stood_still_says_nothing_until_the_next_one_has() {
        for is_kept in [false, true] {
            let mut pauses = Pauses::new(TIMING, at(0));
            pauses.begin(at(0));
            pauses.over(at(8));
            if is_kept {
                pauses.is_known(); // it was written when it began
            }
            assert_eq!((pauses.is_frozen(at(8)), pauses.is_frozen(at(9))), (!is_kept, !is_kept));
            pauses.begin(at(9));
            pauses.over(at(9));
            assert!(!pauses.is_frozen(at(9)));
        }
    }

    #[test]
    fn no_ends_of_beats_hide_that_the_others_may_have_given_this_server_up() {
        let mut pauses = Pauses::new(TIMING, at(0));
        pauses.begin(at(0));
        pauses.over(at(5));
        assert!(!pauses.is_frozen(at(9)));
        assert!(pauses.is_frozen(at(10)));
    }
}
