//! Times as numbers since 1970: the form that goes over the wire and into records.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, as this machine's clock says. A clock before 1970 is at zero.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds since 1970; zero of an earlier time.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
