//! An answer that is counted until its client has taken it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::answer::Code;
use super::error::ApiError;
use crate::budget::{Budget, Charge, SMALL};

/// An answer goes out in parts of this: what the socket does not take stays here, where it is counted.
const PART: usize = 64 * 1024;

/// Beside an answer that counts already, and holds what it does by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted;

/// Counts an answer whose length is known; one that the budget has no room for is given up. The call was executed then.
pub(super) fn charge(response: Response, budget: &Arc<Budget>) -> Result<Response, ApiError> {
    // Only an envelope is whole in memory; a file's bytes come as the client takes them.
    let is_envelope = response.extensions().get::<Code>().is_some();
    let is_counted = response.extensions().get::<Counted>().is_some();
    let size = response.body().size_hint().exact();
    let size = size.filter(|size| is_envelope && !is_counted && *size > SMALL as u64);
    let Some(size) = size else { return Ok(response) };
    let charge = budget.charge(usize::try_from(size).unwrap_or(usize::MAX)).map_err(ApiError::AnswerOverBudget)?;
    Ok(response
        .map(|body| Body::new(ChargedBody { body: body.boxed_unsync(), part: Bytes::new(), left: size, charge })))
}

/// Bytes that count for what `charge` does until the connection has let go of them.
pub(super) fn with(bytes: impl AsRef<[u8]> + Send + 'static, charge: Charge) -> Bytes {
    Bytes::from_owner(ChargedBytes { bytes, _charge: charge })
}

struct ChargedBytes<B> {
    bytes: B,
    _charge: Charge,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for ChargedBytes<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

struct ChargedBody {
    body: UnsyncBoxBody<Bytes, axum::Error>,
    part: Bytes,
    left: u64,
    charge: Charge,
}

impl ChargedBody {
    /// The parts of these bytes share one allocation: it is free when the last of them is out, and is counted until then.
    fn count(&mut self, data: Bytes) -> Bytes {
        let mut own = self.charge.another();
        let left = self.charge.bytes().saturating_sub(data.len());
        self.charge.hold(left);
        own.hold(data.len());
        with(data, own)
    }
}

impl HttpBody for ChargedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.part.is_empty() {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.part = self.count(data),
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        let length = self.part.len().min(PART);
        let data = self.part.split_to(length);
        self.left = self.left.saturating_sub(length as u64);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.part.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_counts_until_the_last_of_it_has_gone() {
        let budget = Budget::new(200_000);
        let mut response = Response::new(Body::from(vec![b'x'; 150_000]));
        response.extensions_mut().insert(Code(""));
        let mut body = charge(response, &budget).expect("there is room").into_body();
        let mut parts = Vec::new();
        while let Some(frame) = body.frame().await {
            parts.push(frame.expect("it is in memory").into_data().expect("bytes"));
            assert_eq!(budget.used(), 150_000);
        }
        assert_eq!(parts.len(), 3);
        drop(body);
        drop(parts.drain(..2));
        assert_eq!(budget.used(), 150_000, "they are one allocation");
        drop(parts);
        assert_eq!(budget.used(), 0);
    }
}
