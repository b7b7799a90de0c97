//! Recycling: files of a context that have not been stored anew for so many days are removed.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::{ContextError, ContextPath};

/// What is recycled below one mount, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecycleRule {
    /// The mount's folder in the context.
    pub(crate) root: String,
    /// Below the mount; an empty text means all of it.
    pub(crate) paths: Vec<String>,
    pub(crate) days: u32,
}

impl RecycleRule {
    fn matches(&self, path: &ContextPath) -> bool {
        let Ok(root) = ContextPath::parse(&self.root) else { return false };
        self.paths.iter().any(|below| {
            let Ok(below) = ContextPath::parse(below) else { return false };
            path.as_path().starts_with(root.as_path().join(below.as_path()))
        })
    }
}

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
