//! Work on long texts leaves the thread that serves everybody.

use tokio::sync::Semaphore;

/// Of so many bytes on, as a message of that size is read.
const LONG: usize = 64 * 1024;

/// So many long texts of all sessions are worked on at once. As JSON each may become six times as long, which is counted
/// once it is there: 2 are 192 MiB of a file's 16, and a small machine works on no more at once anyway.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Does something with so many bytes. `None`: it broke off by a defect.
pub(crate) async fn apart<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if bytes < LONG {
        return Some(work());
    }
    let _turn = TURNS.acquire().await.ok()?;
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests {
    use std::thread::current;

    use super::*;

    #[tokio::test]
    async fn what_is_long_is_done_elsewhere() {
        let here = current().id();
        assert_eq!(apart(LONG - 1, || current().id()).await, Some(here));
        assert!(apart(LONG, || current().id()).await.is_some_and(|there| there != here));
        assert_eq!(apart(LONG, || panic!("a defect")).await, None::<()>);
    }
}
