//! `POST /mcp/releaseSession` and `POST /mcp/releaseSessionAsync`.

use super::post_session;
use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Operation, Repeat};

/// Ends a session. A session that is gone already is [`ApiError::NotFound`]; whoever deletes is content with that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseSession {
    /// Which.
    pub session_id: String,
    /// The service only begins; [`DeleteSession`](super::DeleteSession) looks whether it is done. Otherwise
    /// the answer comes when the session is gone.
    pub in_background: bool,
}

impl Operation for ReleaseSession {
    type Output = ();

    fn request(&self) -> HttpRequest {
        let path = if self.in_background { "/mcp/releaseSessionAsync" } else { "/mcp/releaseSession" };
        // Releasing twice releases once.
        post_session(path, &self.session_id, Repeat::Safe)
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        Ok(Envelope::open(response)?.answer(()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::{body, endure, line, read};

    #[test]
    fn both_ways_name_the_session() {
        for (in_background, path) in [(true, "releaseSessionAsync"), (false, "releaseSession")] {
            let operation = ReleaseSession { session_id: String::from("s-1"), in_background };
            let request = operation.request();
            assert_eq!(line(&request), format!("POST https://h/mcp/{path}"));
            assert_eq!(body(&request), json!({"sessionId": "s-1"}));
            read(&operation, json!(null));
            endure(&operation);
        }
    }
}
