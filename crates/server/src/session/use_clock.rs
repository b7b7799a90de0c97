//! When a session was last used, and until when it may be idle.

use std::time::Duration;

use tokio::time::Instant;

/// When a session was last used. What is going on counts as use for as long as it goes on.
#[derive(Debug)]
pub(crate) struct UseClock {
    timeout: Duration,
    going: usize,
    last: Instant,
}

impl UseClock {
    /// Used just now.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, going: 0, last: Instant::now() }
    }

    /// Something begins that lasts.
    pub(crate) fn begin(&mut self) {
        self.going += 1;
        self.last = Instant::now();
    }

    /// What began by [`UseClock::begin`] has ended.
    pub(crate) fn end(&mut self) {
        self.going = self.going.saturating_sub(1);
        self.last = Instant::now();
    }

    /// Used, for a moment.
    pub(crate) fn touch(&mut self) {
        self.last = Instant::now();
    }

    /// When the session will have been idle for too long, if nothing happens.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        if self.going > 0 { now + self.timeout } else { self.last + self.timeout }
    }
}
