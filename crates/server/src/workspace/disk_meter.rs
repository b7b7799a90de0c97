//! What the server itself writes for a session counts as what its programs write.
//!
//! Programs are watched while they run. What file tools, uploads and downloads write is asked for here, before it is written:
//! nothing else would stop a caller while no program runs.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::lock::lock;

/// The part of the time that counting files may take while there is room: one twentieth.
const COUNTING: u32 = 20;
/// What programs have written or removed meanwhile is seen after this.
const FRESH: Duration = Duration::from_secs(1);

/// Keeps a session's folders within its limits of disk and files.
#[derive(Debug, Default)]
pub(crate) struct DiskMeter(Mutex<Option<Counted>>);

/// What there is: as it was counted, and what was written since.
#[derive(Clone, Copy, Debug)]
struct Counted {
    used: Stored,
    at: Instant,
    took: Duration,
}

/// Bytes and files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

/// The session would have more on disk than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the session would have more than {limit} {unit} on disk ({flag}): delete some of its files")]
pub(crate) struct DiskFull {
    pub(crate) limit: u64,
    pub(crate) unit: &'static str,
    pub(crate) flag: &'static str,
}

impl DiskMeter {
    /// So much more is about to be written. `count` says what there is; it is asked when that is not known well enough.
    pub(crate) fn take(&self, more: Stored, limit: Stored, count: impl FnOnce() -> Stored) -> Result<(), DiskFull> {
        // Each change under the lock is a single step.
        let mut counted = lock(&self.0);
        let is_wanted = counted.is_none_or(|known| {
            let age = known.at.elapsed();
            // Before anybody is refused it is counted again, for half of the time at most.
            (age > FRESH && age > known.took * COUNTING)
                || (age > known.took && known.used.and(more).check(limit).is_err())
        });
        if is_wanted {
            let begin = Instant::now();
            let used = count();
            *counted = Some(Counted { used, at: Instant::now(), took: begin.elapsed() });
        }
        if let Some(known) = &mut *counted {
            let used = known.used.and(more);
            used.check(limit)?;
            known.used = used;
        }
        Ok(())
    }
}

impl Stored {
    fn and(self, more: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(more.bytes), files: self.files.saturating_add(more.files) }
    }

    fn check(self, limit: Self) -> Result<(), DiskFull> {
        if self.bytes > limit.bytes {
            return Err(DiskFull { limit: limit.bytes, unit: "bytes", flag: "--disk" });
        }
        if self.files > limit.files {
            return Err(DiskFull { limit: limit.files, unit: "files", flag: "--files" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_counts_until_it_is_counted_anew() {
        let meter = DiskMeter::default();
        let stored = |bytes, files| Stored { bytes, files };
        let limit = stored(100, 5);
        let full = |unit, flag, limit| Err(DiskFull { limit, unit, flag });
        assert_eq!(meter.take(stored(60, 1), limit, || stored(0, 0)), Ok(()));
        assert_eq!(meter.take(stored(40, 1), limit, || stored(60, 1)), Ok(()));
        assert_eq!(meter.take(stored(1, 0), limit, || stored(100, 2)), full("bytes", "--disk", 100));
        assert_eq!(meter.take(stored(0, 4), limit, || stored(100, 2)), full("files", "--files", 5));
        // Something was removed: it is counted anew before anybody is refused.
        let begin = Instant::now();
        while meter.take(stored(90, 0), limit, || stored(10, 2)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it is counted");
        }
    }
}
