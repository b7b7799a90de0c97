//! One call of a procedure: any operation, its answer as what all procedures read.

use std::fmt;
use std::sync::Arc;

use super::Reply;
use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Operation};

/// One call of a procedure, sent like any other [`Operation`].
#[derive(Clone)]
pub struct Call(Arc<dyn Operation<Output = Reply> + Send + Sync>);

impl Call {
    /// An operation, with what makes a reply of its output.
    pub(crate) fn new<O>(operation: O, convert: impl Fn(O::Output) -> Reply + Send + Sync + 'static) -> Self
    where
        O: Operation + Send + Sync + 'static,
    {
        Self(Arc::new(Replying { operation, convert }))
    }
}

impl Operation for Call {
    type Output = Reply;

    fn request(&self) -> HttpRequest {
        self.0.request()
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Reply>, ApiError> {
        self.0.parse(response)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.request()).finish()
    }
}

struct Replying<O, F> {
    operation: O,
    convert: F,
}

impl<O: Operation, F: Fn(O::Output) -> Reply> Operation for Replying<O, F> {
    type Output = Reply;

    fn request(&self) -> HttpRequest {
        self.operation.request()
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Reply>, ApiError> {
        Ok(self.operation.parse(response)?.map(&self.convert))
    }
}

/// A request whose answer is read as it is.
struct Plain(HttpRequest);

impl Operation for Plain {
    type Output = Reply;

    fn request(&self) -> HttpRequest {
        self.0.clone()
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Reply>, ApiError> {
        let Envelope { fields, data, request_id, .. } = Envelope::open(response)?;
        Ok(Answered { value: Reply::Service { data, fields }, request_id })
    }
}

impl From<HttpRequest> for Call {
    fn from(request: HttpRequest) -> Self {
        Self(Arc::new(Plain(request)))
    }
}
