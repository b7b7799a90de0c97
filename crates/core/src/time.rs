//! Time as the core knows it: what a driver says it is.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on one monotonic clock, as the time since an origin that the driver picks.
///
/// The core never asks what time it is. A type of its own rather than `std::time::Instant` lets a test write
/// `at(1_500)` and a browser count from `performance.now()`. To the nanosecond, for 584 years.
#[derive(Copy, Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(u64);

impl Instant {
    /// The driver's origin.
    pub const ORIGIN: Self = Self(0);

    /// The moment `elapsed` after the origin.
    #[must_use]
    pub const fn since_origin(elapsed: Duration) -> Self {
        Self(nanoseconds(elapsed))
    }

    /// Time since the origin.
    #[must_use]
    pub const fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// Of a longer time as many as there can be.
const fn nanoseconds(time: Duration) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    if time.as_secs() >= u64::MAX / SECOND { u64::MAX } else { time.as_secs() * SECOND + time.subsec_nanos() as u64 }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates: a limit of [`Duration::MAX`] means "never".
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Zero when `earlier` is the later one.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// `60`, `1.5`, `0.001`: as few digits as say it, to the millisecond. (A float would bring its own printer along,
/// 5 KB of WebAssembly.)
pub(crate) fn seconds(duration: Duration) -> String {
    let mut text = duration.as_secs().to_string();
    let mut fraction = duration.subsec_millis();
    let mut digit = 100;
    if fraction > 0 {
        text.push('.');
    }
    while fraction > 0 {
        text.push(char::from(b'0' + (fraction / digit) as u8));
        fraction %= digit;
        digit /= 10;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_as_few_digits_as_say_it() {
        for (milliseconds, text) in
            [(0, "0"), (60_000, "60"), (1_500, "1.5"), (1, "0.001"), (10_010, "10.01"), (999, "0.999")]
        {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
        }
    }
}
