//! Work on long texts leaves the thread that serves everybody.

use tokio::sync::Semaphore;

use crate::session::Session;

/// Of so many bytes on.
///
/// 16 KiB: JSON of nothing but small numbers takes a tenth of a millisecond then, and most programs are shorter.
const LONG: usize = 16 * 1024;

/// So many long texts of all sessions are worked on at once: a small machine works on no more at once anyway.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Does something with so many bytes. `None`: it broke off by a defect.
///
/// Whoever waits for it may go away: the turn is held until the work is done.
pub(crate) async fn apart<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if bytes < LONG {
        return Some(work());
    }
    let turn = TURNS.acquire().await.ok()?;
    let work = move || {
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.ok()
}

/// The same for a session, of which one waits for a turn or has it at once: those of others come in between.
pub(crate) async fn apart_in<T: Send + 'static>(
    session: &Session,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if bytes < LONG {
        return Some(work());
    }
    let own = session.long_text().await;
    let work = move || {
        let _own = own;
        work()
    };
    apart(bytes, work).await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::current;

    use super::*;

    #[tokio::test]
    async fn what_is_long_is_done_elsewhere() {
        let here = current().id();
        assert_eq!(apart(LONG - 1, || current().id()).await, Some(here));
        assert!(apart(LONG, || current().id()).await.is_some_and(|there| there != here));
        assert_eq!(apart(LONG, || panic!("a defect")).await, None::<()>);
    }

    #[tokio::test]
    async fn who_goes_away_keeps_the_turn_until_the_work_is_done() {
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (end, ends) = mpsc::channel::<()>();
        let (done, is_done) = tokio::sync::oneshot::channel();
        let call = tokio::spawn(apart(LONG, move || {
            begun.send(()).ok();
            ends.recv().ok();
            done.send(()).ok();
        }));
        begins.await.expect("it begins");
        call.abort();
        assert!(call.await.is_err());
        // Others have the rest of the turns, so this says only that there is one less.
        assert!(TURNS.available_permits() < 2);
        end.send(()).expect("it waits for that");
        is_done.await.expect("it ends");
    }
}
