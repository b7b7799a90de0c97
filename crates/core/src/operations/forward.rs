//! A call of somebody else's, passed on as it is.

use std::fmt;
use std::time::Duration;

use crate::error::ApiError;
use crate::http::{Answered, HttpRequest, HttpResponse, Method, Operation, Repeat};

/// A call that a gateway passes on: nothing of it is read, and whatever the service answers is an answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Forward {
    /// How it was asked.
    pub method: Method,
    /// Path and query, as they came.
    pub target: String,
    /// The body, if it had one.
    pub body: Option<String>,
    /// How long the service may rightly take.
    pub expected: Duration,
}

impl Operation for Forward {
    type Output = HttpResponse;

    fn request(&self) -> HttpRequest {
        // What a call does is not known here: none is sent twice once it may have arrived.
        let mut request = HttpRequest::new(self.method, &self.target, Repeat::Unsafe);
        request.body.clone_from(&self.body);
        request.expected = self.expected;
        request
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<HttpResponse>, ApiError> {
        let request_id = response.request_id_header.clone().unwrap_or_default();
        Ok(Answered { value: response.clone(), request_id })
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::fixtures::line;

    #[test]
    fn passes_on_what_came_and_takes_what_is_answered() {
        let forward = Forward {
            method: Method::Post,
            target: "/mcp?name=shell&args=%7B%7D".into(),
            body: Some("{}".into()),
            expected: Duration::from_secs(60),
        };
        assert_eq!(line(&forward.request()), "POST https://h/mcp?name=shell&args=%7B%7D");
        let refused = HttpResponse::new(429, Some("r-1".into()), b"{}".to_vec());
        let answered = forward.parse(&refused).expect("it is an answer");
        assert_eq!((answered.value.status, answered.request_id.as_str()), (429, "r-1"));
        assert!(!format!("{forward:?}").contains("args"));
    }
}
