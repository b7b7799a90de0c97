//! A warm interpreter that kernels are copied from.

use std::path::PathBuf;
use std::sync::Arc;

use agb_sandbox::Nursery;

/// A Python that has imported what programs import, and is copied instead of starting one: that takes a few
/// milliseconds, and the copies share its memory. It runs no cell itself.
///
/// Cheap to clone. Its process ends when the last handle and the last copy are gone.
#[derive(Debug, Clone)]
pub struct Zygote {
    pub(crate) nursery: Nursery,
    /// What its interpreter consists of: what is shown below /tmp has to be shown again to a copy.
    pub(crate) readonly: Arc<[PathBuf]>,
}

impl Zygote {
    /// Whether it can be copied. One that has died cannot; its copies go on.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.nursery.is_alive()
    }

    /// Its process's number as this process sees it, for looking.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.nursery.id()
    }
}
