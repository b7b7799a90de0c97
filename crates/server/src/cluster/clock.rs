//! The two clocks of a cluster's member.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use super::table::Moment;

/// Since the machine started, suspension included.
pub(super) fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Milliseconds since 1970 as a person reads them.
pub(crate) fn time_text(ms: u64) -> String {
    crate::time_text::of_unix_ms(ms).unwrap_or_else(|| "at an unknown time".to_owned())
}

/// Milliseconds since 1970, as this machine counts: for people.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
