//! The server's side of a nursery.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::socket;
use crate::{Child, SpawnError};

/// A warm process, the zygote, that is copied into sandboxes: see [`Launcher::nursery`](crate::Launcher::nursery).
///
/// Cheap to clone. It ends, with its zygote, when its last handle and its last sandbox are gone.
#[derive(Debug, Clone)]
pub struct Nursery {
    host: Arc<Child>,
    /// Tells nurseries apart.
    key: u64,
}

impl Nursery {
    pub(crate) fn new(host: Child) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { host: Arc::new(host), key: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Whether the zygote is there to be copied. When it has died, its copies go on, and there will be no more.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let watched = self.host.watched();
        // The host says nothing on its own but that the zygote has ended.
        !socket::is_readable(&watched.init) && !socket::is_readable(&watched.control)
    }

    /// The zygote's process number as this process sees it, for looking.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.host.id()
    }

    /// What holds it while a copy runs.
    pub(crate) fn host(&self) -> Arc<Child> {
        Arc::clone(&self.host)
    }

    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    pub(crate) fn order(&self, plan: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), SpawnError> {
        socket::send(self.host.watched().control.as_fd(), plan, fds).map_err(|_| SpawnError::LauncherGone)
    }
}
