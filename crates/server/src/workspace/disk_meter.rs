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
    used: Found,
    at: Instant,
    took: Duration,
}

/// Bytes and files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) stored: Stored,
    /// And there is more, of which nobody knows how much.
    pub(crate) is_beyond: bool,
}

/// Why nothing more is written for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum DiskFull {
    /// It would have more on disk than it may.
    #[error("the session would have more than {limit} {unit} on disk ({flag}): delete some of its files")]
    Full { limit: u64, unit: &'static str, flag: &'static str },
    /// It may have more on disk than it may.
    #[error(
        "what the session has on disk cannot be counted, so that nothing more is written: there are deep folders that \
         their owner may not read (remove them, or `chmod -R u+rx` them), or folders that are moved all the time"
    )]
    Uncounted,
}

impl DiskMeter {
    /// So much more is about to be written. `count` says what there is; it is asked when that is not known well enough.
    pub(crate) fn take(&self, more: Stored, limit: Stored, count: impl FnOnce() -> Found) -> Result<(), DiskFull> {
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

impl Found {
    fn and(self, more: Stored) -> Self {
        Self { stored: self.stored.and(more), ..self }
    }

    fn check(self, limit: Stored) -> Result<(), DiskFull> {
        self.stored.check(limit)?;
        // What cannot be looked into could be anything.
        if self.is_beyond { Err(DiskFull::Uncounted) } else { Ok(()) }
    }
}

impl Stored {
    fn and(self, more: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(more.bytes), files: self.files.saturating_add(more.files) }
    }

    fn check(self, limit: Self) -> Result<(), DiskFull> {
        if self.bytes > limit.bytes {
            return Err(DiskFull::Full { limit: limit.bytes, unit: "bytes", flag: "--disk" });
        }
        if self.files > limit.files {
            return Err(DiskFull::Full { limit: limit.files, unit: "files", flag: "--files" });
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
        let found = |bytes, files| Found { stored: stored(bytes, files), is_beyond: false };
        let full = |unit, flag, limit| Err(DiskFull::Full { limit, unit, flag });
        assert_eq!(meter.take(stored(60, 1), limit, || found(0, 0)), Ok(()));
        assert_eq!(meter.take(stored(40, 1), limit, || found(60, 1)), Ok(()));
        assert_eq!(meter.take(stored(1, 0), limit, || found(100, 2)), full("bytes", "--disk", 100));
        assert_eq!(meter.take(stored(0, 4), limit, || found(100, 2)), full("files", "--files", 5));
        // Something was removed: it is counted anew before anybody is refused.
        let begin = Instant::now();
        while meter.take(stored(90, 0), limit, || found(10, 2)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it is counted");
        }
    }

    #[test]
    fn what_cannot_be_counted_is_full_until_it_can() {
        let meter = DiskMeter::default();
        let (one, limit) = (Stored { bytes: 1, files: 1 }, Stored { bytes: 100, files: 5 });
        let found = |is_beyond| Found { stored: one, is_beyond };
        assert_eq!(meter.take(one, limit, || found(true)), Err(DiskFull::Uncounted));
        // It is known still, for as long as it took to find out.
        let begin = Instant::now();
        while meter.take(one, limit, || found(false)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it is counted");
        }
    }
}
