//! `GET /internet/getLink`.

use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Method, Operation, Repeat};
use crate::json;

/// A URL at which a port of a session can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetLink {
    /// Which session.
    pub session_id: String,
    /// Such as `https` or `wss`; the service's default when absent.
    pub protocol: Option<String>,
    /// The port inside the session.
    pub port: Option<u16>,
}

impl Operation for GetLink {
    type Output = String;

    fn request(&self) -> HttpRequest {
        HttpRequest::new(Method::Get, "/internet/getLink", Repeat::Safe)
            .query("sessionId", &self.session_id)
            .query_some("protocolType", self.protocol.as_ref())
            .query_some("port", self.port.map(|port| port.to_string()))
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        let mut envelope = Envelope::open(response)?;
        match json::string(&envelope.object()?, &["url"]) {
            Some(url) => Ok(envelope.answer(url)),
            None => Err(envelope.malformed("its data has no url")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::{endure, fine, line, read};

    #[test]
    fn asks_for_a_port_and_reads_the_url() {
        let bare = GetLink { session_id: String::from("s"), protocol: None, port: None };
        assert_eq!(line(&bare.request()), "GET https://h/internet/getLink?sessionId=s");
        let full = GetLink { protocol: Some(String::from("https")), port: Some(30_100), ..bare.clone() };
        assert_eq!(line(&full.request()), "GET https://h/internet/getLink?sessionId=s&protocolType=https&port=30100");
        assert_eq!(read(&bare, json!({"url": "https://u"})), "https://u");
        assert_eq!(read(&bare, json!("{\"url\":\"https://u\"}")), "https://u");
        assert_eq!(bare.parse(&fine(json!({"url": ""}))).unwrap_err().code(), "MALFORMED");
        endure(&bare);
    }
}
