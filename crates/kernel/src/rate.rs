//! How fast a program's output is taken.

use std::time::Duration;

use tokio::time::Instant;

/// The least that output is taken for once it had to wait.
///
/// 10 ms: a program above its rate costs a hundred wake-ups a second, and its subscriber sees it flow.
const STEP: Duration = Duration::from_millis(10);

/// Bytes a second that are taken of a program's output. Who prints faster for more than a second waits in its `write`,
/// as at a slow terminal; nothing is lost.
#[derive(Debug)]
pub struct OutputRate {
    /// Zero: as fast as it comes.
    per_second: u64,
    /// What may still be taken, up to what a second allows; below zero when more was taken than that.
    left: f64,
    counted: Instant,
}

impl OutputRate {
    /// A second's output may come at once. Zero: there is no limit.
    #[must_use]
    pub fn new(per_second: u64) -> Self {
        Self { per_second, left: per_second as f64, counted: Instant::now() }
    }

    /// So much was taken.
    pub fn taken(&mut self, bytes: usize) {
        if self.per_second == 0 {
            return;
        }
        let now = Instant::now();
        let earned = (now - self.counted).as_secs_f64() * self.per_second as f64;
        self.left = (self.left + earned).min(self.per_second as f64) - bytes as f64;
        self.counted = now;
    }

    /// When the next may be taken. `None`: now.
    #[must_use]
    pub fn resume_at(&self) -> Option<Instant> {
        if self.per_second == 0 || self.left > 0.0 {
            return None;
        }
        let per_second = self.per_second as f64;
        let at = self.counted + Duration::from_secs_f64(-self.left / per_second) + STEP;
        (at > Instant::now()).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_may_come_at_once_and_then_so_much_a_second() {
        let mut rate = OutputRate::new(1000);
        let began = Instant::now();
        let mut taken = 0;
        while began.elapsed() < Duration::from_secs(10) {
            match rate.resume_at() {
                Some(at) => tokio::time::sleep_until(at).await,
                None => {
                    rate.taken(100);
                    taken += 100;
                }
            }
        }
        assert!((10_800..=11_300).contains(&taken), "{taken}");
        // Who was silent has a second's worth again, and not more.
        tokio::time::sleep(Duration::from_secs(100)).await;
        let mut burst = 0;
        while rate.resume_at().is_none() {
            rate.taken(100);
            burst += 100;
        }
        assert_eq!(burst, 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let mut rate = OutputRate::new(0);
        rate.taken(usize::MAX);
        assert_eq!(rate.resume_at(), None);
    }
}
