//! Work that ends programs is done though the machine has no thread left.
//!
//! A program can take all threads that there are, and only its end gives them back. Tokio's pool panics where it can have
//! none, so what ends things has a thread of its own for each piece of work, and one in reserve since the server's start.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::thread::Builder;

use tokio::sync::oneshot;

use crate::lock::lock;

type Work = Box<dyn FnOnce() + Send>;

/// The thread in reserve. `None`: there was none even at the start.
static RESERVE: LazyLock<Option<Mutex<mpsc::Sender<Work>>>> = LazyLock::new(|| {
    let (sender, works) = mpsc::channel::<Work>();
    // It goes on after a defect, which the log has.
    let run = move || works.into_iter().for_each(|work| drop(catch_unwind(AssertUnwindSafe(work))));
    match Builder::new().name("agb-reserve".to_owned()).spawn(run) {
        Ok(_) => Some(Mutex::new(sender)),
        Err(error) => {
            tracing::error!(%error, "there is no thread in reserve: sessions cannot be ended where there is no other");
            None
        }
    }
});

/// Starts the thread in reserve, while there are threads.
pub(crate) fn start() {
    LazyLock::force(&RESERVE);
}

/// Does something that may block, on a thread of its own or on the one in reserve. `None`: it broke off by a defect.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    run_by(own_thread, work).await
}

async fn run_by<T: Send + 'static>(
    start: impl FnOnce(Work) -> io::Result<()>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, is_done) = oneshot::channel();
    let work: Work = Box::new(move || drop(done.send(work())));
    // A refused thread gives nothing back, so the work stays here until it begins.
    let kept = Arc::new(Mutex::new(Some(work)));
    let own = Arc::clone(&kept);
    let begin = move || {
        let work = lock(&own).take();
        if let Some(work) = work {
            work();
        }
    };
    if let Err(error) = start(Box::new(begin)) {
        tracing::warn!(%error, "the system has no thread: the one in reserve is used");
        let work = lock(&kept).take();
        if let (Some(work), Some(reserve)) = (work, &*RESERVE) {
            lock(reserve).send(work).ok()?;
        }
    }
    is_done.await.ok()
}

fn own_thread(work: Work) -> io::Result<()> {
    Builder::new().name("agb-end".to_owned()).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use std::thread::current;

    use super::*;

    fn no_thread(_: Work) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    #[tokio::test]
    async fn work_is_done_where_there_is_no_thread() {
        let name = || current().name().map(str::to_owned);
        assert_eq!(run(name).await.flatten().as_deref(), Some("agb-end"));
        assert_eq!(run_by(no_thread, || panic!("a defect")).await, None::<()>);
        for _ in 0..2 {
            assert_eq!(run_by(no_thread, name).await.flatten().as_deref(), Some("agb-reserve"));
        }
    }
}
