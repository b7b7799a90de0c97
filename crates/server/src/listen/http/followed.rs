//! A request's body that says how far it has come, for a time limit that begins when all of it was passed on. It ends when its
//! link opens nothing any more.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

use crate::links::LinkError;
use crate::lock::lock;

/// When a body has last moved, and whether it is over.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Mutex<Moved>>);

#[derive(Debug)]
struct Moved {
    last: Instant,
    is_over: bool,
}

impl Default for Progress {
    /// Just now.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Moved { last: Instant::now(), is_over: false })))
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

    /// Nothing of it is passed on any more.
    pub(super) fn end(&self) {
        lock(&self.0).is_over = true;
    }

    pub(super) fn is_over(&self) -> bool {
        lock(&self.0).is_over
    }

    fn last(&self) -> Instant {
        // Each change under the lock is a single step.
        lock(&self.0).last
    }

    fn moved(&self) {
        lock(&self.0).last = Instant::now();
    }
}

/// What comes when nothing may be passed on any more.
pub(super) type Over = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that is followed.
pub(super) struct Followed {
    body: Body,
    /// `None`: it has come.
    over: Option<Over>,
    progress: Progress,
}

impl Followed {
    pub(super) fn new(body: Body, over: Over) -> Self {
        Self { body, over: Some(over), progress: Progress::default() }
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.progress.end();
    }
}

/// Whether what was waited for has come; also when it is asked again.
pub(super) fn has_come(over: &mut Option<Over>, context: &mut Context<'_>) -> bool {
    if over.as_mut().is_some_and(|over| over.as_mut().poll(context).is_ready()) {
        *over = None;
    }
    over.is_none()
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if has_come(&mut self.over, context) {
            return Poll::Ready(Some(Err(axum::Error::new(LinkError::Gone))));
        }
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
    use futures_util::stream;
    use http_body_util::BodyExt;

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

    /// Brings a byte a second, or nothing at all.
    fn slow(is_silent: bool) -> Body {
        Body::from_stream(stream::unfold((), move |()| async move {
            if is_silent {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>("x"), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_ends_with_its_link_whatever_comes() {
        for is_silent in [false, true] {
            let begin = Instant::now();
            let over = Box::pin(tokio::time::sleep(Duration::from_millis(3500)));
            let followed = Followed::new(slow(is_silent), over);
            let progress = followed.progress();
            let mut body = Body::new(followed);
            let mut bytes = 0;
            let error = loop {
                match body.frame().await.expect("it does not end by itself") {
                    Ok(frame) => bytes += frame.data_ref().map_or(0, Bytes::len),
                    Err(error) => break error,
                }
            };
            assert_eq!((bytes, begin.elapsed().as_secs()), (if is_silent { 0 } else { 3 }, 3));
            assert!(error.to_string().contains("expired"), "{error}");
            assert!(body.frame().await.is_some_and(|frame| frame.is_err()), "nothing comes after that");
            assert!(!progress.is_over());
            drop(body);
            assert!(progress.is_over());
        }
    }
}
