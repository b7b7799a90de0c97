//! How often somebody may call: a bucket of tokens that fills again at a steady rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::settings::Limits;

/// How often somebody may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// In the long run, a second.
    pub(crate) per_second: u32,
    /// At once, after a rest.
    pub(crate) burst: u32,
}

impl Rate {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self { per_second: limits.calls_per_second, burst: limits.calls_burst }
    }
}

/// One caller's bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Between two calls in the long run.
    interval: Duration,
    /// How far ahead of that a caller may be.
    ahead: Duration,
    /// When the bucket will be full again. That alone says how full it is now.
    full_at: Mutex<Instant>,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        Self { interval, ahead: interval * rate.burst.max(1), full_at: Mutex::new(Instant::now()) }
    }

    /// Takes a call, or says how long to wait before the next try.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full_at).max(now) + self.interval;
        match next.checked_duration_since(now + self.ahead) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *full_at = next;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_a_steady_rate() {
        let bucket = Bucket::new(Rate { per_second: 10, burst: 5 });
        for _ in 0..5 {
            assert_eq!(bucket.take(), Ok(()));
        }
        assert_eq!(bucket.take(), Err(Duration::from_millis(100)));
        tokio::time::advance(Duration::from_millis(60)).await;
        assert_eq!(bucket.take(), Err(Duration::from_millis(40)));
        // In two seconds, whenever it tries, no more than the rate allows.
        let mut taken = 0;
        for _ in 0..2000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            taken += u32::from(bucket.take().is_ok());
        }
        assert_eq!(taken, 20);
        // A rest fills the bucket, and no more than the bucket.
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!((0..100).filter(|_| bucket.take().is_ok()).count(), 5);
    }
}
