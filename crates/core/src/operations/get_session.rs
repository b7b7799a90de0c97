//! `POST /mcp/getSession`, `POST /mcp/getSessionInfo` and `POST /mcp/refreshSessionIdleTime`.

use std::fmt;

use serde_json::Value;

use super::{SessionData, post_session};
use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Method, Operation, Repeat};
use crate::json;

/// Fetches a session by its id, with all that is needed to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetSession {
    /// Which.
    pub session_id: String,
}

impl Operation for GetSession {
    type Output = SessionData;

    fn request(&self) -> HttpRequest {
        post_session("/mcp/getSession", &self.session_id, Repeat::Safe)
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        let mut envelope = Envelope::open(response)?;
        let session = SessionData::read(&mut envelope, Some(&self.session_id))?;
        Ok(envelope.answer(session))
    }
}

/// Asks how a session is. A session that is gone is [`ApiError::NotFound`], or `FINISH`, as the service likes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetSessionInfo {
    /// Which.
    pub session_id: String,
}

impl Operation for GetSessionInfo {
    type Output = SessionStatus;

    fn request(&self) -> HttpRequest {
        post_session("/mcp/getSessionInfo", &self.session_id, Repeat::Safe)
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        let mut envelope = Envelope::open(response)?;
        match json::string(&envelope.object()?, &["status", "sessionStatus"]) {
            Some(status) => Ok(envelope.answer(SessionStatus(status))),
            None => Err(envelope.malformed("its data has no status")),
        }
    }
}

/// The service's word for how a session is: `RUNNING`, `FINISH`, `DELETING`, `DELETED`, or one that is new to us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionStatus(String);

impl SessionStatus {
    /// The word itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the session is no more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.as_str(), "FINISH" | "DELETED")
    }
}

impl From<SessionStatus> for Value {
    fn from(SessionStatus(word): SessionStatus) -> Self {
        word.into()
    }
}

impl From<&str> for SessionStatus {
    fn from(word: &str) -> Self {
        Self(word.to_owned())
    }
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts as a use of the session: its idle time begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshIdleTime {
    /// Which.
    pub session_id: String,
}

impl Operation for RefreshIdleTime {
    type Output = ();

    fn request(&self) -> HttpRequest {
        HttpRequest::new(Method::Post, "/mcp/refreshSessionIdleTime", Repeat::Safe).query("sessionId", &self.session_id)
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        Ok(Envelope::open(response)?.answer(()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::{body, endure, fine, line, read};

    fn id() -> String {
        String::from("s-1")
    }

    #[test]
    fn requests_name_the_session() {
        let get = GetSession { session_id: id() }.request();
        assert_eq!(line(&get), "POST https://h/mcp/getSession");
        assert_eq!(body(&get), json!({"sessionId": "s-1"}));
        let info = GetSessionInfo { session_id: id() }.request();
        assert_eq!(line(&info), "POST https://h/mcp/getSessionInfo");
        assert_eq!(body(&info), json!({"sessionId": "s-1"}));
        let refresh = RefreshIdleTime { session_id: id() }.request();
        assert_eq!(line(&refresh), "POST https://h/mcp/refreshSessionIdleTime?sessionId=s-1");
        assert_eq!(refresh.body, None);
        for request in [get, info, refresh] {
            assert_eq!(request.repeat, Repeat::Safe);
        }
    }

    #[test]
    fn a_fetched_session_may_spell_its_url_otherwise_and_leave_out_its_id() {
        let tools = json!([{"Name": "run_code", "Server": "cs"}]);
        let data = json!({"WsUrl": "wss://w", "status": "RUNNING", "toolList": tools});
        let session = read(&GetSession { session_id: id() }, data);
        assert_eq!((session.session_id.as_str(), session.ws_url.as_deref()), ("s-1", Some("wss://w")));
        assert_eq!((session.status.as_deref(), session.run_code_target()), (Some("RUNNING"), "cs"));
        assert_eq!(session.image_id, None);
    }

    #[test]
    fn states_are_read() {
        let info = GetSessionInfo { session_id: id() };
        for (word, gone) in
            [("RUNNING", false), ("FINISH", true), ("DELETING", false), ("DELETED", true), ("NEW", false)]
        {
            let status = read(&info, json!({"status": word}));
            assert_eq!((status.as_str(), status.is_gone()), (word, gone));
            assert_eq!(read(&info, json!(json!({"status": word}).to_string())), status);
        }
        for data in [json!({}), json!({"status": 1}), json!(null)] {
            assert_eq!(info.parse(&fine(data)).unwrap_err().code(), "MALFORMED");
        }
    }

    #[test]
    fn refreshing_needs_no_data() {
        for data in [json!(null), json!(true), json!({})] {
            read(&RefreshIdleTime { session_id: id() }, data);
        }
    }

    #[test]
    fn endures_hostile_answers() {
        endure(&GetSession { session_id: id() });
        endure(&GetSessionInfo { session_id: id() });
        endure(&RefreshIdleTime { session_id: id() });
    }
}
