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

/// Counts a part of a stream until it has gone, whether there is room or not: where it waited, it was counted until now.
pub(super) fn until_gone(part: Bytes, budget: &Arc<Budget>) -> Bytes {
    if part.len() <= SMALL {
        return part;
    }
    let mut charge = budget.nothing();
    charge.hold(part.len());
    with(part, charge)
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
                    Ok(data) => self.part = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        let length = self.part.len().min(PART);
        let data = self.part.split_to(length);
        self.left = self.left.saturating_sub(length as u64);
        // The parts share one allocation: it is free when the last of them is out, and is counted until then.
        if self.left == 0 {
            self.charge.resize(length).ok();
        }
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

    #[test]
    fn a_large_part_counts_until_the_last_of_it_has_gone() {
        let budget = Budget::new(100_000);
        let small = until_gone(Bytes::from_static(&[b'x'; 16 * 1024]), &budget);
        assert!(budget.charge(100_000).is_ok());
        let mut large = until_gone(Bytes::from_static(&[b'x'; 60_000]), &budget);
        assert_eq!((small.len(), large.len()), (16 * 1024, 60_000));
        drop(large.split_to(59_999));
        assert!(budget.charge(40_000).is_ok() && budget.charge(40_001).is_err());
        drop(large);
        assert!(budget.charge(100_000).is_ok());
    }
}
