//! Which files of a context are recycled, and when.

use serde::{Deserialize, Serialize};

use super::ContextPath;

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
    pub(super) fn matches(&self, path: &ContextPath) -> bool {
        let Ok(root) = ContextPath::parse(&self.root) else { return false };
        self.paths.iter().any(|below| {
            let Ok(below) = ContextPath::parse(below) else { return false };
            path.as_path().starts_with(root.as_path().join(below.as_path()))
        })
    }
}
