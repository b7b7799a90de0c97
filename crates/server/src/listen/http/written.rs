//! An answer that is written in pieces, each of which counts from before it is there until it has gone out.
//!
//! Nobody knows how long a large value is before it is written: as JSON within JSON a byte may become seven.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde::Serialize;

use super::answer::WrittenEnvelope;
use super::charged::{self, Counted};
use super::error::ApiError;
use crate::budget::{Charge, OverBudget, SMALL};
use crate::random;

/// What is counted, and goes out, at once.
const PIECE: usize = 64 * 1024;

/// Writes an answer with this `data`, which counts for what `charge` does. The call was executed.
pub(super) fn written(data: &impl Serialize, charge: Charge) -> Result<Response, ApiError> {
    let request_id = random::request_id();
    let mut pieces = Pieces { done: VecDeque::new(), last: Vec::new(), charge, refused: None };
    let envelope = WrittenEnvelope::new(data, &request_id);
    if let Err(error) = serde_json::to_writer(&mut pieces, &envelope) {
        return Err(pieces.refused.map_or_else(
            || {
                tracing::error!(request_id, %error, "an answer cannot be written");
                ApiError::Defect
            },
            ApiError::AnswerOverBudget,
        ));
    }
    let mut response = envelope.respond(pieces.into_body());
    response.extensions_mut().insert(Counted);
    Ok(response)
}

/// What has been written.
struct Pieces {
    done: VecDeque<Bytes>,
    last: Vec<u8>,
    /// What `last` counts for; nothing while there is little of it.
    charge: Charge,
    refused: Option<OverBudget>,
}

impl Pieces {
    fn end_piece(&mut self) {
        let nothing = self.charge.another();
        let charge = std::mem::replace(&mut self.charge, nothing);
        self.done.push_back(charged::with(std::mem::take(&mut self.last), charge));
    }

    fn into_body(mut self) -> Body {
        if self.done.is_empty() && self.charge.bytes() == 0 {
            return Body::from(self.last);
        }
        self.end_piece();
        let left = self.done.iter().map(|piece| piece.len() as u64).sum();
        Body::new(PiecesBody { pieces: self.done, left })
    }
}

impl io::Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.last.len() == PIECE {
            self.end_piece();
        }
        let taken = data.len().min(PIECE - self.last.len());
        let is_small = self.done.is_empty() && self.last.len() + taken <= SMALL;
        if !is_small && self.charge.bytes() == 0 {
            self.charge.resize(PIECE).map_err(|over| {
                self.refused = Some(over);
                io::Error::from(io::ErrorKind::OutOfMemory)
            })?;
            self.last.reserve_exact(PIECE - self.last.len());
        }
        self.last.extend_from_slice(&data[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct PiecesBody {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl HttpBody for PiecesBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;
    use crate::budget::Budget;

    #[tokio::test]
    async fn what_is_written_counts_until_it_has_gone() {
        let budget = Budget::new(1 << 20);
        for length in [0, 10_000, SMALL, PIECE - 1, PIECE, 3 * PIECE, 700_000] {
            let data = json!({ "text": "x".repeat(length), "quote": "\"\n" });
            let response = written(&data, budget.nothing()).expect("there is room");
            let size = response.body().size_hint().exact().expect("it is known");
            // What counts are whole pieces, and at most one more than there is.
            let counts = budget.charge(1 << 20).is_err();
            assert_eq!(counts, size > SMALL as u64, "{length}");
            assert!(budget.charge((1 << 20) - usize::try_from(size).expect("it fits") - PIECE).is_ok(), "{length}");
            let body = response.into_body().collect().await.expect("no error").to_bytes();
            assert_eq!(body.len() as u64, size);
            let read: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!((&read["data"], &read["success"], &read["httpStatusCode"]), (&data, &json!(true), &json!(200)));
            drop(body);
            drop(budget.charge(1 << 20).expect("everything was given back"));
        }
    }

    #[tokio::test]
    async fn each_piece_counts_by_itself() {
        let budget = Budget::new(1 << 20);
        let response = written(&"x".repeat(8 * PIECE), budget.nothing()).expect("there is room");
        let mut body = response.into_body();
        let first = body.frame().await.expect("a frame").expect("no error").into_data().expect("bytes");
        let room = || (1..=16).rev().find(|pieces| budget.charge(pieces * PIECE).is_ok()).expect("some");
        let before = room();
        drop(first);
        assert_eq!(room(), before + 1);
        drop(body);
        assert_eq!(room(), 16);
    }

    #[tokio::test]
    async fn what_has_no_room_is_not_written() {
        let budget = Budget::new(4 * PIECE);
        let error = written(&"\0".repeat(PIECE), budget.nothing()).expect_err("six bytes for each");
        assert!(matches!(error, ApiError::AnswerOverBudget(_)), "{error}");
        drop(budget.charge(4 * PIECE).expect("everything was given back"));
        let full = budget.charge(4 * PIECE).expect("it fits");
        assert!(written(&"x".repeat(SMALL / 2), budget.nothing()).is_ok(), "a small answer is always to be had");
        drop(full);
    }
}
