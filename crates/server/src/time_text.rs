//! Times as people read them, whatever they are: those of files and of other servers' records may be any.

use std::time::{Duration, SystemTime};

/// No later time has a form of four digits a year, and no earlier one is told at all.
const UNTIL: Duration = Duration::from_secs(253_402_300_800);

/// What is said of a time that has no such form.
const UNKNOWN: &str = "unknown";

/// `2026-11-30T02:40:00Z`.
pub(crate) fn to_the_second(time: SystemTime) -> String {
    told(time).map_or_else(|| UNKNOWN.to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
}

/// `2026-11-30T02:40:00.123Z`.
pub(crate) fn to_the_millisecond(time: SystemTime) -> String {
    told(time).map_or_else(|| UNKNOWN.to_owned(), |time| humantime::format_rfc3339_millis(time).to_string())
}

/// `2026-11-30T02:40:00.123456Z`.
pub(crate) fn to_the_microsecond(time: SystemTime) -> String {
    told(time).map_or_else(|| UNKNOWN.to_owned(), |time| humantime::format_rfc3339_micros(time).to_string())
}

/// So many milliseconds after 1970, to the second; `None`: it has no such form.
pub(crate) fn of_unix_ms(ms: u64) -> Option<String> {
    let time = told(SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))?)?;
    Some(humantime::format_rfc3339_seconds(time).to_string())
}

fn told(time: SystemTime) -> Option<SystemTime> {
    time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since < UNTIL).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_has_a_text() {
        let after = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        assert_eq!(to_the_second(after(0)), "1970-01-01T00:00:00Z");
        assert_eq!(to_the_microsecond(after(1)), "1970-01-01T00:00:01.000000Z");
        assert_eq!(to_the_millisecond(after(253_402_300_799)), "9999-12-31T23:59:59.000Z");
        for time in [after(253_402_300_800), after(1 << 62), SystemTime::UNIX_EPOCH - Duration::from_nanos(1)] {
            assert_eq!([to_the_second(time), to_the_millisecond(time), to_the_microsecond(time)], [UNKNOWN; 3]);
        }
        assert_eq!(of_unix_ms(1_000).as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!((of_unix_ms(253_402_300_800_000), of_unix_ms(u64::MAX)), (None, None));
    }
}
