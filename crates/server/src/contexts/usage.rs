//! The quota of a context: what is stored and what unfinished uploads have reserved.

use std::sync::{Arc, Mutex, MutexGuard};

use super::ContextError;
use crate::lock::lock;

/// Counts the bytes and files of one context.
#[derive(Debug)]
pub(crate) struct Quota {
    max: Amount,
    used: Mutex<Amount>,
}

/// Bytes and files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

/// A part of the quota that an upload holds. Dropping it gives the part back.
#[derive(Debug)]
pub(crate) struct Reservation {
    quota: Arc<Quota>,
    held: Amount,
}

impl Quota {
    pub(crate) fn new(max: Amount, used: Amount) -> Arc<Self> {
        Arc::new(Self { max, used: Mutex::new(used) })
    }

    /// What is used, reservations included.
    #[cfg(test)]
    pub(crate) fn used(&self) -> Amount {
        *self.lock()
    }

    /// Starts an upload; it holds nothing yet.
    pub(crate) fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { quota: Arc::clone(self), held: Amount::default() }
    }

    /// Gives back what was removed.
    pub(crate) fn release(&self, amount: Amount) {
        let mut used = self.lock();
        used.bytes = used.bytes.saturating_sub(amount.bytes);
        used.files = used.files.saturating_sub(amount.files);
    }

    fn take(&self, amount: Amount) -> Result<(), ContextError> {
        let mut used = self.lock();
        *used = self.with(*used, amount)?;
        Ok(())
    }

    /// What is used with so much more, if there is room for it.
    fn with(&self, used: Amount, amount: Amount) -> Result<Amount, ContextError> {
        let bytes = used.bytes.saturating_add(amount.bytes);
        let files = used.files.saturating_add(amount.files);
        if amount.bytes > 0 && bytes > self.max.bytes {
            return Err(ContextError::Quota { limit: self.max.bytes, unit: "bytes", flag: "--context-size" });
        }
        if amount.files > 0 && files > self.max.files {
            return Err(ContextError::Quota { limit: self.max.files, unit: "files", flag: "--context-files" });
        }
        Ok(Amount { bytes, files })
    }

    fn lock(&self) -> MutexGuard<'_, Amount> {
        // Each change under the lock is a single step.
        lock(&self.used)
    }
}

impl Reservation {
    /// Holds so much more.
    pub(crate) fn grow(&mut self, amount: Amount) -> Result<(), ContextError> {
        self.quota.take(amount)?;
        self.held.bytes += amount.bytes;
        self.held.files += amount.files;
        Ok(())
    }

    /// Whether there would be room for so much more now.
    pub(crate) fn check(&self, amount: Amount) -> Result<(), ContextError> {
        self.quota.with(*self.quota.lock(), amount).map(drop)
    }

    /// What is held now counts as stored, for good.
    pub(crate) fn keep(mut self) {
        self.held = Amount::default();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.quota.release(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_count_until_they_are_dropped() {
        let quota = Quota::new(Amount { bytes: 10, files: 2 }, Amount { bytes: 3, files: 1 });
        let mut first = quota.reserve();
        first.grow(Amount { bytes: 7, files: 1 }).expect("it fits");
        let mut second = quota.reserve();
        assert!(matches!(second.grow(Amount { bytes: 1, files: 0 }), Err(ContextError::Quota { unit: "bytes", .. })));
        assert!(matches!(second.grow(Amount { bytes: 0, files: 1 }), Err(ContextError::Quota { unit: "files", .. })));
        drop(first);
        second.grow(Amount { bytes: 7, files: 1 }).expect("it fits now");
        second.keep();
        assert_eq!(quota.used(), Amount { bytes: 10, files: 2 });
        quota.release(Amount { bytes: 4, files: 1 });
        assert_eq!(quota.used(), Amount { bytes: 6, files: 1 });
    }
}
