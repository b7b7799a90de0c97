//! A request's body that says how far it has come, for a time limit that begins when all of it was passed on.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

use crate::lock::lock;

/// When a body has last moved.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Mutex<Instant>>);

impl Default for Progress {
    /// Just now.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Progress {
    /// What something comes to; `None` where it takes longer than that after the body has last moved.
    pub(super) async fn silent_for<T>(&self, time: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let deadline = self.last() + time;
            match timeout_at(deadline, &mut work).await {
                Ok(done) => return Some(done),
                Err(_) if self.last() + time > deadline => {}
                Err(_) => return None,
            }
        }
    }

    fn last(&self) -> Instant {
        // Each change under the lock is a single step.
        *lock(&self.0)
    }

    fn moved(&self) {
        *lock(&self.0) = Instant::now();
    }
}

/// A body that is followed.
pub(super) struct Followed {
    pub(super) body: Body,
    pub(super) progress: Progress,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.progress.moved();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_time_limit_begins_when_the_body_has_stopped() {
        let progress = Progress::default();
        let limit = Duration::from_secs(10);
        let begin = Instant::now();
        let moves = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(8)).await;
                progress.moved();
            }
        };
        let (never, ()) = tokio::join!(progress.silent_for(limit, std::future::pending::<()>()), moves);
        assert_eq!((never, begin.elapsed().as_secs()), (None, 50));
        let later = progress.silent_for(Duration::from_secs(60), tokio::time::sleep(Duration::from_secs(9)));
        assert_eq!(later.await, Some(()));
    }
}
