//! How the server takes a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic: each change under such a lock is a single step, so that its value is always a whole one.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
