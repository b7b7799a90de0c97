//! A call of somebody else's, passed on as it is.

use std::fmt;
use std::time::Duration;

use super::{ToolResult, ToolRoute};
use crate::error::ApiError;
use crate::http::{Answered, HttpRequest, HttpResponse, Method, Operation, Repeat};
use crate::secret::Secret;

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

    fn take(&self, response: HttpResponse, _key: &Secret) -> Result<Answered<HttpResponse>, ApiError> {
        let request_id = response.request_id_header.clone().unwrap_or_default();
        Ok(Answered { value: response, request_id })
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request().fmt(f)
    }
}

/// The call of a tool that a gateway passes on. Its arguments stay the text that they are.
#[derive(Clone, PartialEq, Eq)]
pub struct ForwardTool {
    /// The tool's name.
    pub name: String,
    /// Its arguments: an object, as JSON text.
    pub arguments: String,
    /// How long the tool may rightly take.
    pub expected: Duration,
    /// The way there.
    pub route: ToolRoute,
}

impl Operation for ForwardTool {
    type Output = ToolResult;

    fn request(&self) -> HttpRequest {
        let mut request = self.route.request(&self.name, &self.arguments);
        request.expected = self.expected;
        request
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<ToolResult>, ApiError> {
        self.route.result(response)
    }
}

impl fmt::Debug for ForwardTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::fixtures::{body, line};
    use crate::operations::{CallTool, SessionData};

    #[test]
    fn a_tools_arguments_are_passed_on_as_they_are() {
        let linked = SessionData {
            session_id: "s".into(),
            link_url: Some("https://link.example".into()),
            token: Secret::from("SECRET"),
            ..SessionData::default()
        };
        let by_link = ToolRoute::by_link(&linked, "shell", "q-1".into()).expect("it has a link");
        let by_gateway = ToolRoute::choose(&SessionData { link_url: None, ..linked }, "shell", "q-1".into());
        for route in [by_link, by_gateway] {
            let forward = ForwardTool {
                name: "shell".into(),
                arguments: r#"{"command":"echo \"","envs":{"A":1}}"#.into(),
                expected: Duration::from_secs(60),
                route: route.clone(),
            };
            let arguments = crate::json::parse(&forward.arguments).expect("it is JSON");
            let serde_json::Value::Object(arguments) = arguments else { panic!("it is an object") };
            let call = CallTool { name: forward.name.clone(), arguments, route };
            let (forwarded, called) = (forward.request(), call.request());
            assert_eq!((line(&forwarded), body(&forwarded)), (line(&called), body(&called)));
            assert_eq!((forwarded.headers, forwarded.expected), (called.headers, Duration::from_secs(60)));
            let shown = format!("{forward:?}");
            assert!(!shown.contains("SECRET") && !shown.contains("echo"), "{shown}");
            let answer = r#"{"success":true,"data":{"content":[{}],"isError":true}}"#;
            let answer = HttpResponse::new(200, None, answer.into());
            assert_eq!(forward.parse(&answer), call.parse(&answer));
            assert!(forward.parse(&answer).is_ok_and(|answered| answered.value.is_error));
            let refused = HttpResponse::new(429, None, br#"{"code":"Busy","message":"later"}"#.to_vec());
            assert_eq!(forward.parse(&refused).err(), call.parse(&refused).err());
        }
    }

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
        assert_eq!(forward.take(refused, &Secret::default()), Ok(answered));
        assert!(!format!("{forward:?}").contains("args"));
    }
}
