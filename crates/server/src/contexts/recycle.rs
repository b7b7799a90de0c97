//! Recycling: files of a context that have not been stored anew for so many days are removed.

use std::time::{Duration, SystemTime};

use super::context::Context;
use super::{ContextError, ContextPath};

/// Removes what is too old by now; says how many files that were.
pub(crate) fn recycle(context: &Context, now: SystemTime) -> Result<usize, ContextError> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let rules = context.meta().recycle;
    if rules.is_empty() {
        return Ok(0);
    }
    let mut removed = 0;
    context.walk(&ContextPath::default(), |entry| {
        let age = now.duration_since(entry.modified).unwrap_or_default();
        if entry.is_dir || !rules.iter().any(|rule| age >= DAY * rule.days && rule.matches(&entry.path)) {
            return Ok(());
        }
        match context.remove(&entry.path) {
            Ok(()) => removed += 1,
            Err(ContextError::NoFile { .. }) => {} // somebody else was faster
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    Ok(removed)
}
