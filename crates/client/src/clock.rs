//! The core's clock: tokio's, from an origin of its own.

use agb_core::Instant;

/// Counts from when it was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    pub(crate) fn now(self) -> Instant {
        Instant::since_origin(self.origin.elapsed())
    }

    /// As tokio has it; `None` for a moment that its clock cannot hold, which is never.
    pub(crate) fn to_tokio(self, at: Instant) -> Option<tokio::time::Instant> {
        self.origin.checked_add(at.elapsed())
    }

    pub(crate) async fn wait_until(self, at: Instant) {
        match self.to_tokio(at) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// What the future gives by this moment.
    pub(crate) async fn within<T>(self, until: Instant, future: impl Future<Output = T>) -> Option<T> {
        match self.to_tokio(until) {
            Some(until) => tokio::time::timeout_at(until, future).await.ok(),
            None => Some(future.await),
        }
    }
}
