//! A connection to a program that carries an answer, and is kept for another request behind it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::followed::{Over, Progress, has_come};
use crate::links::LinkError;
use crate::session::{ProgramConnection, Session};

/// How long the rest of a request may take whose answer is whole already.
///
/// 5 s, as other proxies linger: whoever has answered early does not want the rest.
const REST: Duration = Duration::from_secs(5);

/// A connection to a program of the session while it carries an answer.
pub(super) struct Lent {
    pub(super) session: Arc<Session>,
    pub(super) port: u16,
    pub(super) connection: ProgramConnection,
    /// Of one that was kept by the session there is none: it has nothing to send.
    pub(super) driver: Option<Driver>,
    /// How far the request's body has come.
    pub(super) sending: Progress,
    pub(super) permit: OwnedSemaphorePermit,
}

/// What moves the bytes of a connection. Dropping it closes the connection, whatever is still to be sent.
pub(super) struct Driver(Option<AbortHandle>);

impl Driver {
    pub(super) fn new(task: AbortHandle) -> Self {
        Self(Some(task))
    }

    /// The connection closes when nobody has a use for it any more.
    pub(super) fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Lent {
    /// The answer, of which nothing is given once `over` has come. With its last byte the connection goes back to its
    /// session; of an answer that is given up it is closed.
    pub(super) fn answer(self, answer: Response<Incoming>, over: Over) -> Response {
        answer.map(|body| Body::new(LentBody { body, over: Some(over), lent: Some(self), is_over: false }))
    }

    /// A connection whose request is not whole yet counts until it is, or is closed.
    fn give_back(self) {
        let Self { session, port, mut connection, driver, sending, permit } = self;
        // What is idle is bounded by itself.
        let permit = (!sending.is_over()).then_some(permit);
        tokio::spawn(async move {
            if let Ok(Ok(())) = timeout(REST, connection.ready()).await {
                driver.into_iter().for_each(Driver::detach);
                session.ports().keep_idle(port, connection);
            }
            drop(permit);
        });
    }
}

struct LentBody {
    body: Incoming,
    /// `None`: it has come.
    over: Option<Over>,
    lent: Option<Lent>,
    is_over: bool,
}

impl HttpBody for LentBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if has_come(&mut self.over, context) {
            self.lent = None; // with its connection
            return Poll::Ready(Some(Err(axum::Error::new(LinkError::Gone))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.is_over = frame.is_none();
        Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for LentBody {
    fn drop(&mut self) {
        // An answer whose length is known is not asked for its end.
        let is_over = self.is_over || self.body.is_end_stream();
        if let Some(lent) = self.lent.take()
            && is_over
            && tokio::runtime::Handle::try_current().is_ok()
        {
            lent.give_back();
        }
    }
}
