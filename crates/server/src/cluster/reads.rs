//! Reads of the registry that many callers share, and that never come more often than ten times a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::snapshot::Away;

/// 100 ms: callers wait no longer than for a page of the internet, and strangers with made-up ids cost ten reads a second.
const BETWEEN: Duration = Duration::from_millis(100);

/// One read at a time, for all that came before it began.
#[derive(Debug, Default)]
pub(super) struct Reads {
    begun: AtomicU64,
    last: Mutex<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    number: u64,
    began: Instant,
    outcome: Result<(), Away>,
}

impl Reads {
    /// The outcome of a read that begins after this call.
    pub(super) async fn after_now(&self, read: impl AsyncFnOnce() -> Result<(), Away>) -> Result<(), Away> {
        let before = self.begun.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if let Some(last) = last.as_ref() {
            if last.number > before {
                return last.outcome.clone();
            }
            tokio::time::sleep_until(last.began + BETWEEN).await;
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let began = Instant::now();
        let outcome = read().await;
        *last = Some(Last { number, began, outcome: outcome.clone() });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_callers_a_second_cost_ten_reads() {
        let (reads, count) = (Arc::new(Reads::default()), Arc::new(AtomicU64::new(0)));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let (reads, count) = (Arc::clone(&reads), Arc::clone(&count));
            callers.spawn(async move {
                let came = count.load(Ordering::Relaxed);
                let read = async || {
                    count.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Ok(())
                };
                reads.after_now(read).await.expect("it answers");
                assert!(count.load(Ordering::Relaxed) > came, "a read began after the call");
            });
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while let Some(caller) = callers.join_next().await {
            caller.expect("no panic");
        }
        let reads = count.load(Ordering::Relaxed);
        assert!((9..=12).contains(&reads), "{reads}");
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_wait_hear_one_failure() {
        let reads = Arc::new(Reads::default());
        let fail = async || Err(Away("no".to_owned()));
        let (one, other) = tokio::join!(reads.after_now(fail), reads.after_now(async || Ok(())));
        assert!(one.is_err());
        assert!(other.is_ok(), "the first had begun before the second came");
    }
}
