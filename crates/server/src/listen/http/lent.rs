//! A connection to a program that carries an answer, and is kept for another request behind it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::links::LinkError;
use crate::session::{ProgramConnection, Session};

/// A connection to a program of the session while it carries an answer.
pub(super) struct Lent {
    pub(super) session: Arc<Session>,
    pub(super) port: u16,
    /// Nothing of the answer is given after this.
    pub(super) until: Instant,
    pub(super) connection: ProgramConnection,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Lent {
    /// The answer; with its last byte the connection goes back to its session. Of an answer that is given up it is closed.
    pub(super) fn answer(self, answer: Response<Incoming>) -> Response {
        answer.map(|body| Body::new(LentBody { body, lent: Some(self), is_over: false }))
    }

    fn give_back(self) {
        let Self { session, port, mut connection, permit, .. } = self;
        drop(permit); // what is idle is bounded by itself
        tokio::spawn(async move {
            if connection.ready().await.is_ok() {
                session.ports().keep_idle(port, connection);
            }
        });
    }
}

struct LentBody {
    body: Incoming,
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
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.is_over = frame.is_none();
        if frame.is_some() && self.lent.as_ref().is_none_or(|lent| lent.until <= Instant::now()) {
            self.lent = None; // with its connection
            return Poll::Ready(Some(Err(axum::Error::new(LinkError::Gone))));
        }
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
