//! Procedures: what a caller asks for with one call of a method, and what may take several calls of the service.
//!
//! Reading a file asks for its size and then for its parts; waiting for a context polls. A [`Procedure`] decides what is
//! sent next and when it is over, and has no clock and no network. A driver carries out its [`Step`]s:
//!
//! ```no_run
//! # use agb_core::procedure::{Procedure, Step};
//! # fn drive<P: Procedure>(mut procedure: P, send: impl Fn(&agb_core::procedure::Call) -> agb_core::procedure::Outcome, sleep: impl Fn(std::time::Duration)) {
//! let mut last = None;
//! let result = loop {
//!     last = match procedure.next(last) {
//!         Step::Call(call) => Some(send(&call)),
//!         Step::Wait(time) => {
//!             sleep(time);
//!             None
//!         }
//!         Step::Done(result) => break result,
//!     };
//! };
//! # }
//! ```
//!
//! [`by_name`](crate::by_name) makes the procedure of a name and JSON arguments, so that a language binding shows all of them as one
//! function; Rust programs use the typed ones of [`operations`](crate::operations).

use std::time::Duration;

use serde_json::Value;

use crate::error::ApiError;
use crate::http::Answered;
use crate::json::Object;
use crate::tool_result::ToolResult;

mod arguments;
mod call;
mod single;

pub(crate) use arguments::Arguments;
pub use arguments::BadArguments;
pub use call::Call;
pub(crate) use single::Ready;
pub use single::Single;

/// What a call of a procedure came to.
pub type Outcome = Result<Answered<Reply>, ApiError>;

/// Something that takes one or more calls of the service.
pub trait Procedure {
    /// What it comes to.
    type Output;

    /// What to do next. `last` is the outcome of the call before; `None` at the start and after a wait. After
    /// [`Step::Done`] it is not called again.
    fn next(&mut self, last: Option<Outcome>) -> Step<Self::Output>;
}

impl<P: Procedure + ?Sized> Procedure for Box<P> {
    type Output = P::Output;

    fn next(&mut self, last: Option<Outcome>) -> Step<P::Output> {
        (**self).next(last)
    }
}

/// What a driver does for a procedure.
#[derive(Debug)]
pub enum Step<T> {
    /// Send this, and come back with its outcome.
    Call(Box<Call>),
    /// Come back after this time.
    Wait(Duration),
    /// The procedure is over.
    Done(Result<Answered<T>, ApiError>),
}

impl<T> Step<T> {
    pub(crate) fn call(call: impl Into<Call>) -> Self {
        Self::Call(Box::new(call.into()))
    }

    pub(crate) fn done(value: T, request_id: String) -> Self {
        Self::Done(Ok(Answered { value, request_id }))
    }
}

/// What a [`Call`] is answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// By a tool.
    Tool(ToolResult),
    /// By the service.
    Service {
        /// `data` of the envelope; null where there was none.
        data: Value,
        /// What was beside it.
        fields: Object,
    },
}

impl Reply {
    /// The tool's answer. A reply of the service is an empty one: no procedure mixes the two.
    pub(crate) fn into_tool(self) -> ToolResult {
        match self {
            Self::Tool(result) => result,
            Self::Service { .. } => ToolResult::default(),
        }
    }

    /// `data` and what was beside it; see [`into_tool`](Self::into_tool).
    pub(crate) fn into_service(self) -> (Value, Object) {
        match self {
            Self::Service { data, fields } => (data, fields),
            Self::Tool(_) => (Value::Null, Object::new()),
        }
    }
}

/// A procedure whose output is JSON.
pub type JsonProcedure = Box<dyn Procedure<Output = Value> + Send>;

/// A procedure with its output converted.
pub(crate) struct Converted<P, F> {
    procedure: P,
    convert: F,
}

impl<P, F> Converted<P, F> {
    pub(crate) const fn new(procedure: P, convert: F) -> Self {
        Self { procedure, convert }
    }
}

impl<P: Procedure, U, F: Fn(P::Output) -> U> Procedure for Converted<P, F> {
    type Output = U;

    fn next(&mut self, last: Option<Outcome>) -> Step<U> {
        match self.procedure.next(last) {
            Step::Call(call) => Step::Call(call),
            Step::Wait(time) => Step::Wait(time),
            Step::Done(result) => Step::Done(result.map(|answered| answered.map(&self.convert))),
        }
    }
}
