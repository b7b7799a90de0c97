//! Procedures of one call, or of none.

use super::{Call, Outcome, Procedure, Reply, Step};
use crate::error::{ApiError, Refusal};
use crate::http::Answered;

/// Sends one call and reads its answer.
pub struct Single<T> {
    call: Option<Call>,
    read: Box<Read<T>>,
}

/// Reads the answer of a call.
type Read<T> = dyn Fn(Answered<Reply>) -> Result<Answered<T>, ApiError> + Send;

impl<T> Single<T> {
    pub(crate) fn new(
        call: impl Into<Call>,
        read: impl Fn(Answered<Reply>) -> Result<Answered<T>, ApiError> + Send + 'static,
    ) -> Self {
        Self { call: Some(call.into()), read: Box::new(read) }
    }

    /// Of the service, whose answer needs no reading beyond its success.
    pub(crate) fn done(call: impl Into<Call>, value: impl Fn() -> T + Send + 'static) -> Self {
        Self::new(call, move |answered| Ok(answered.map(|_| value())))
    }
}

impl<T> Procedure for Single<T> {
    type Output = T;

    fn next(&mut self, last: Option<Outcome>) -> Step<T> {
        match (last, self.call.take()) {
            (None, Some(call)) => Step::call(call),
            (Some(outcome), _) => Step::Done(outcome.and_then(&self.read)),
            (None, None) => unreachable!("a driver comes back with the outcome of its call"),
        }
    }
}

/// An outcome that takes no call.
pub(crate) struct Ready<T>(Option<Result<Answered<T>, ApiError>>);

impl<T> Ready<T> {
    /// Known already.
    pub(crate) fn value(value: T) -> Self {
        Self(Some(Ok(Answered { value, request_id: String::new() })))
    }

    /// Refused here, with a code and words for a person.
    pub(crate) fn refused(code: &str, message: &str) -> Self {
        let refusal = Refusal { code: code.to_owned(), message: message.to_owned(), ..Refusal::default() };
        Self(Some(Err(ApiError::ToolFailed(refusal))))
    }
}

impl<T> Procedure for Ready<T> {
    type Output = T;

    fn next(&mut self, _: Option<Outcome>) -> Step<T> {
        Step::Done(self.0.take().expect("a procedure that is over is not asked again"))
    }
}

impl<T> std::fmt::Debug for Single<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Single").field("call", &self.call).finish_non_exhaustive()
    }
}
