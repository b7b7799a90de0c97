//! `GET /sdk/ListSession`.

use serde_json::Value;

use super::labels::labels_text;
use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Method, Operation, Repeat};
use crate::json::{self, Object};

/// The sessions of an account, a page at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListSessions {
    /// Only sessions that have all of these.
    pub labels: Vec<(String, String)>,
    /// How many a page holds; the documented 10 when absent.
    pub max_results: Option<u32>,
    /// Where the page begins, as the page before said it.
    pub next_token: Option<String>,
    /// Also those that are gone; the service's default when absent.
    pub is_all: Option<bool>,
}

/// The document's default.
const DEFAULT_MAX_RESULTS: u32 = 10;

/// Some sessions and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPage {
    /// In the service's order.
    pub sessions: Vec<SessionListing>,
    /// For [`ListSessions::next_token`]; absent on the last page.
    pub next_token: Option<String>,
    /// How many a page holds.
    pub max_results: u32,
    /// How many sessions there are on all pages.
    pub total: u64,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionListing {
    /// Its id.
    pub session_id: String,
    /// The service's word for how it is; empty where it says none.
    pub status: String,
}

impl Operation for ListSessions {
    type Output = SessionPage;

    fn request(&self) -> HttpRequest {
        HttpRequest::new(Method::Get, "/sdk/ListSession", Repeat::Safe)
            .query("maxResults", self.page_size().to_string())
            .query_some("nextToken", self.next_token.as_ref().filter(|token| !token.is_empty()))
            .query_some("labels", (!self.labels.is_empty()).then(|| labels_text(&self.labels)))
            .query_some("isAll", self.is_all.map(|is_all| if is_all { "true" } else { "false" }))
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        let mut envelope = Envelope::open(response)?;
        let items = match json::unquote(envelope.data.take()) {
            Value::Array(items) => items,
            // No session, no list.
            Value::Null => Vec::new(),
            _ => return Err(envelope.malformed("its data is not a list")),
        };
        let sessions: Vec<_> = items.iter().filter_map(|item| SessionListing::read(item.as_object()?)).collect();
        let beside = &envelope.fields;
        let page = SessionPage {
            next_token: json::string(beside, &["nextToken"]),
            max_results: json::count(beside, &["maxResults"])
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(self.page_size()),
            total: json::count(beside, &["count"]).unwrap_or(sessions.len() as u64),
            sessions,
        };
        Ok(envelope.answer(page))
    }
}

impl ListSessions {
    fn page_size(&self) -> u32 {
        self.max_results.unwrap_or(DEFAULT_MAX_RESULTS)
    }
}

impl From<SessionPage> for Value {
    fn from(page: SessionPage) -> Self {
        let listing = |SessionListing { session_id, status }| {
            super::object([("sessionId", Self::from(session_id)), ("sessionStatus", status.into())])
        };
        super::object([
            ("sessions", page.sessions.into_iter().map(listing).collect()),
            ("nextToken", page.next_token.into()),
            ("maxResults", page.max_results.into()),
            ("totalCount", page.total.into()),
        ])
    }
}

impl SessionListing {
    fn read(item: &Object) -> Option<Self> {
        Some(Self {
            session_id: json::string(item, &["sessionId"])?,
            status: json::string(item, &["sessionStatus", "status"]).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::{endure, fine, line, read};

    #[test]
    fn asks_for_a_page() {
        assert_eq!(line(&ListSessions::default().request()), "GET https://h/sdk/ListSession?maxResults=10");
        let full = ListSessions {
            labels: vec![(String::from("a"), String::from("1"))],
            max_results: Some(3),
            next_token: Some(String::from("t/2")),
            is_all: Some(false),
        };
        assert_eq!(
            line(&full.request()),
            "GET https://h/sdk/ListSession?maxResults=3&nextToken=t%2F2&labels=%7B%22a%22%3A%221%22%7D&isAll=false"
        );
    }

    #[test]
    fn reads_a_page_and_what_stands_beside_it() {
        let body = json!({
            "requestId": "r", "success": true, "nextToken": "n", "maxResults": "2", "count": 12,
            "data": [{"sessionId": "a", "sessionStatus": "RUNNING"}, {"sessionId": "b"}, {"x": 1}, null, "y"],
        });
        let response = HttpResponse::new(200, None, body.to_string().into_bytes());
        let page = ListSessions::default().parse(&response).unwrap().value;
        let listing = |id: &str, status: &str| SessionListing { session_id: id.to_owned(), status: status.to_owned() };
        assert_eq!(page.sessions, [listing("a", "RUNNING"), listing("b", "")]);
        assert_eq!((page.next_token.as_deref(), page.max_results, page.total), (Some("n"), 2, 12));
    }

    #[test]
    fn what_is_missing_is_made_up_for() {
        let page = read(&ListSessions::default(), json!([{"sessionId": "a"}]));
        assert_eq!((page.next_token, page.max_results, page.total), (None, 10, 1));
        for data in [json!(null), json!([]), json!("[]")] {
            assert_eq!(read(&ListSessions::default(), data).sessions, []);
        }
        for data in [json!({}), json!("x"), json!(1)] {
            assert_eq!(ListSessions::default().parse(&fine(data)).unwrap_err().code(), "MALFORMED");
        }
    }

    #[test]
    fn endures_hostile_answers() {
        endure(&ListSessions::default());
    }
}
