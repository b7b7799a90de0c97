//! Work on long texts leaves the thread that serves everybody.
//!
//! ```text
//! a text ─► its own turn: one of a budget, a session's say ─► if it is very long, one of half of the turns ─► one of all turns
//! ```
//!
//! So who sends many waits behind himself, and a text that is merely long never behind those of megabytes alone.

use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use crate::budget::Budget;

/// Of so many bytes on.
///
/// 16 KiB: JSON of nothing but small numbers takes a tenth of a millisecond then, and most programs are shorter. No option: it
/// refuses nothing, and says only on which thread the same work is done.
pub(super) const LONG: usize = 16 * 1024;

/// From here on a text takes one of half of the turns only.
///
/// 1 MiB: some 10 ms, so that a text below it waits no longer than that for each one before it.
const VERY_LONG: usize = 1 << 20;

/// Who works on long texts now.
static TURNS: LazyLock<Turns> = LazyLock::new(|| Turns::of(available_parallelism().map_or(1, usize::from)));

struct Turns {
    all: Semaphore,
    very_long: Semaphore,
}

impl Turns {
    /// On so many processors, half of which are for everything else: of one or two, the system shares them out. Two at least, so
    /// that what is merely long has one. No option: more would only share the same processors among more threads.
    fn of(processors: usize) -> Self {
        let all = (processors / 2).max(2);
        Self { all: Semaphore::new(all), very_long: Semaphore::new(all / 2) }
    }
}

/// Does something with so many bytes of whose budget this is: of each, one after the other. `None`: it broke off by a defect.
///
/// Whoever waits for it may go away: the turn is held until the work is done.
pub(crate) async fn apart<T: Send + 'static>(
    whose: &Arc<Budget>,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if bytes < LONG {
        return Some(work());
    }
    let own = whose.long_text().await;
    let very_long = if bytes >= VERY_LONG { Some(TURNS.very_long.acquire().await.ok()?) } else { None };
    let turn = TURNS.all.acquire().await.ok()?;
    let work = move || {
        let _turns = (own, very_long, turn);
        work()
    };
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::current;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::task::JoinHandle;

    use super::*;

    /// Work on so many bytes that has begun, and ends when it is told to.
    async fn begun(whose: &Arc<Budget>, bytes: usize) -> (JoinHandle<Option<()>>, mpsc::Sender<()>) {
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (end, ends) = mpsc::channel::<()>();
        let whose = Arc::clone(whose);
        let call = tokio::spawn(async move {
            let work = move || {
                begun.send(()).ok();
                ends.recv().ok();
            };
            apart(&whose, bytes, work).await
        });
        begins.await.expect("it begins");
        (call, end)
    }

    #[tokio::test]
    async fn what_is_long_is_done_elsewhere() {
        let (here, whose) = (current().id(), Budget::new(0));
        assert_eq!(apart(&whose, LONG - 1, || current().id()).await, Some(here));
        assert!(apart(&whose, LONG, || current().id()).await.is_some_and(|there| there != here));
        assert_eq!(apart(&whose, LONG, || panic!("a defect")).await, None::<()>);
    }

    #[tokio::test]
    async fn who_goes_away_keeps_the_turn_until_the_work_is_done() {
        let whose = Budget::new(0);
        let (call, end) = begun(&whose, LONG).await;
        call.abort();
        assert!(call.await.is_err());
        assert!(whose.long_text().now_or_never().is_none());
        end.send(()).expect("it waits for that");
        drop(whose.long_text().await);
    }

    /// However many messages of one session wait, those of others have their turns, and what is shorter has its own.
    #[tokio::test]
    async fn who_sends_many_waits_behind_himself() {
        let (one, other) = (Budget::new(0), Budget::new(0));
        let turns = Turns::of(available_parallelism().map_or(1, usize::from)).very_long.available_permits();
        let mut working = vec![begun(&one, VERY_LONG).await];
        for _ in 1..turns {
            working.push(begun(&Budget::new(0), VERY_LONG).await);
        }
        let waits: Vec<_> = (0..8)
            .map(|_| {
                let one = Arc::clone(&one);
                tokio::spawn(async move { apart(&one, LONG, || ()).await })
            })
            .collect();
        let done = tokio::time::timeout(Duration::from_secs(60), apart(&other, LONG, || ())).await;
        assert_eq!(done, Ok(Some(())), "others have a turn");
        assert!(waits.iter().all(|wait| !wait.is_finished()), "its own wait");
        working.iter().for_each(|(_, end)| end.send(()).expect("it waits for that"));
        for wait in waits {
            assert_eq!(wait.await.expect("no panic"), Some(()));
        }
    }

    #[test]
    fn very_long_texts_never_have_all_turns() {
        for processors in [1, 2, 3, 4, 7, 64] {
            let turns = Turns::of(processors);
            let (all, very_long) = (turns.all.available_permits(), turns.very_long.available_permits());
            assert!(very_long > 0 && very_long < all && all <= processors.max(2), "{processors}: {very_long} of {all}");
        }
    }
}
