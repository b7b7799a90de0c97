//! The clock of a cluster's member, and how the times of records are told.

use std::time::Duration;

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
