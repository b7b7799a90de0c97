//! How often somebody may call: a bucket of tokens that fills again at a steady rate.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;
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
    /// Calls that were taken here, ever.
    taken: AtomicU64,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        Self {
            interval,
            ahead: interval * rate.burst.max(1),
            full_at: Mutex::new(Instant::now()),
            taken: AtomicU64::new(0),
        }
    }

    /// Takes a call, or says how long to wait before the next try.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let mut full_at = lock(&self.full_at);
        let next = (*full_at).max(now) + self.interval;
        match next.checked_duration_since(now + self.ahead) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *full_at = next;
                self.taken.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Takes a call in any case, and says how long to wait before the next one.
    pub(crate) fn take_anyway(&self) -> Duration {
        let now = Instant::now();
        let mut full_at = lock(&self.full_at);
        *full_at = (*full_at).max(now) + self.interval;
        self.taken.fetch_add(1, Ordering::Relaxed);
        (*full_at + self.interval).saturating_duration_since(now + self.ahead)
    }

    /// How many calls were taken here.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Calls of the same caller were taken by other servers. They count as if they had been taken here, up to two full
    /// buckets: whatever is said, after that time calls are taken again.
    pub(crate) fn spent_elsewhere(&self, calls: u64) {
        let now = Instant::now();
        let most = self.ahead * 2;
        let more = self.interval.checked_mul(u32::try_from(calls).unwrap_or(u32::MAX)).unwrap_or(most).min(most);
        let mut full_at = lock(&self.full_at);
        *full_at = ((*full_at).max(now) + more).min(now + most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_spent_elsewhere_is_spent_here() {
        let bucket = Bucket::new(Rate { per_second: 10, burst: 5 });
        bucket.spent_elsewhere(4);
        assert_eq!(bucket.take(), Ok(()));
        assert_eq!(bucket.take(), Err(Duration::from_millis(100)));
        assert_eq!(bucket.taken(), 1, "what was taken elsewhere is said elsewhere");
        bucket.spent_elsewhere(u64::MAX);
        assert_eq!(bucket.take(), Err(Duration::from_millis(600)), "nobody is kept out for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_share_it_and_wait_after_each_call_keep_the_rate_together() {
        let bucket = std::sync::Arc::new(Bucket::new(Rate { per_second: 10, burst: 5 }));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let bucket = std::sync::Arc::clone(&bucket);
            all.spawn(async move {
                loop {
                    tokio::time::sleep(bucket.take_anyway()).await;
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        // What was at hand, one of each who waits, and then as many as the rate allows.
        assert!((100..=126).contains(&bucket.taken()), "{}", bucket.taken());
    }

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
