//! What goes on in a session, when it was last used, and until when it may be idle.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::settings::Limits;

/// When a session was last used. What is going on counts as use for as long as it goes on.
#[derive(Debug)]
pub(crate) struct UseClock {
    timeout: Duration,
    going: usize,
    held: usize,
    last: Instant,
}

/// Why a session takes nothing more now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Busy {
    #[error("the session is being released; create a new one")]
    Ending,
    #[error("the server was told to stop and takes nothing new; try again when it has been started anew")]
    Stopping,
    #[error("{0} runs and calls are going on in this session already; wait for one to end, then try again")]
    TooMany(usize),
    #[error(
        "{0} WebSockets and event streams of this session are open already; close one, or start the server with a higher --max-connections-per-session"
    )]
    TooManyConnections(usize),
    #[error("the programs that wait in this session would be more than {0} bytes; wait for one to end, then try again")]
    TooMuch(usize),
}

impl UseClock {
    /// Used just now.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, going: 0, held: 0, last: Instant::now() }
    }

    /// Something begins that lasts, and holds so many bytes of its caller's meanwhile.
    pub(crate) fn begin(&mut self, bytes: usize, limits: &Limits) -> Result<(), Busy> {
        if self.going >= limits.max_runs {
            return Err(Busy::TooMany(limits.max_runs));
        }
        // One that is allowed in at all is allowed in alone.
        if self.going > 0 && self.held.saturating_add(bytes) > limits.max_held {
            return Err(Busy::TooMuch(limits.max_held));
        }
        self.going += 1;
        self.held += bytes;
        self.last = Instant::now();
        Ok(())
    }

    /// How much goes on.
    pub(crate) fn going(&self) -> usize {
        self.going
    }

    /// What began by [`UseClock::begin`] has ended.
    pub(crate) fn end(&mut self, bytes: usize) {
        self.going -= 1;
        self.held -= bytes;
        self.last = Instant::now();
    }

    /// Whether something is going on.
    pub(crate) fn is_busy(&self) -> bool {
        self.going > 0
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
