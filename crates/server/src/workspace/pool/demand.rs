//! How many of something are wanted, from how often it was taken lately.

use std::time::Duration;

use tokio::time::Instant;

/// What was taken so long ago counts for a third. 10 s: whoever comes back after that finds one that is ready at least;
/// more are for those who come at once.
const MEMORY: Duration = Duration::from_secs(10);

/// How often something was taken lately.
#[derive(Debug)]
pub(super) struct Demand {
    /// The takes, each worth less the longer it is ago.
    level: f64,
    last: Instant,
}

impl Demand {
    /// Taken once, now.
    pub(super) fn first(now: Instant) -> Self {
        Self { level: 1.0, last: now }
    }

    /// Taken, now.
    pub(super) fn again(&mut self, now: Instant) {
        self.level = self.level(now) + 1.0;
        self.last = now;
    }

    /// The takes of the last seconds.
    pub(super) fn level(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.last);
        self.level * (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }

    /// How many should be ready: as many as were taken lately, one at least while `keep` has not passed since.
    pub(super) fn wanted(&self, now: Instant, keep: Duration, most: usize) -> usize {
        if now.saturating_duration_since(self.last) > keep {
            return 0;
        }
        // Not below zero, and small enough for any integer: a level is a number of takes within seconds.
        let level = self.level(now).ceil() as usize;
        level.clamp(1, most.max(1)).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(300);

    #[test]
    fn it_follows_the_takes_and_forgets_them() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut demand = Demand::first(start);
        assert_eq!(demand.wanted(start, KEEP, 8), 1);
        for step in 1..=3 {
            demand.again(at(f64::from(step) * 0.1));
        }
        assert_eq!(demand.wanted(at(0.3), KEEP, 8), 4, "as many as came");
        assert_eq!(demand.wanted(at(0.3), KEEP, 3), 3, "at most");
        assert_eq!(demand.wanted(at(0.3), KEEP, 0), 0, "none, if none may be");
        assert_eq!(demand.wanted(at(10.3), KEEP, 8), 2);
        assert_eq!(demand.wanted(at(60.0), KEEP, 8), 1, "one stays");
        assert_eq!(demand.wanted(at(300.4), KEEP, 8), 0, "until nobody has come for long");
        for step in 0..1000 {
            demand.again(at(400.0 + f64::from(step) * 0.01));
        }
        assert_eq!(demand.wanted(at(410.0), KEEP, 8), 8);
    }
}
