//! Durations on a command line, in seconds.

use std::time::Duration;

/// Reads seconds from a command line: more than 0 and at most a year.
///
/// # Errors
/// For a person, when it is no such number.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "give seconds, more than 0 and at most a year".to_owned();
    read(text).filter(|duration| !duration.is_zero()).ok_or_else(wrong)
}

/// At least 0 and at most a year.
pub(super) fn seconds_or_none(text: &str) -> Result<Duration, String> {
    read(text).ok_or_else(|| "give seconds, at least 0 and at most a year".to_owned())
}

fn read(text: &str) -> Option<Duration> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    Duration::try_from_secs_f64(text.parse().ok()?).ok().filter(|duration| *duration <= YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_fractions_and_bounds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds_or_none("0"), Ok(Duration::ZERO));
        for text in ["0", "-1", "NaN", "inf", "1e300", "", "x", "31536001"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
