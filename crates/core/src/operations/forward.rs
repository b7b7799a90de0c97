//! A call of somebody else's, passed on as it is.

use std::fmt;
use std::time::Duration;

use agb_protocol::fields::tree_size;

use super::{ToolResult, ToolRoute};
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

/// The call of a tool that a gateway passes on. Its arguments stay the text that they are, and so does a large answer.
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

impl ForwardTool {
    /// Reads a large answer. `None`: it is an error, or none of a tool.
    #[must_use]
    pub fn result(&self, response: &HttpResponse) -> Option<ToolResult> {
        Some(self.route.result(response).ok()?.value)
    }
}

/// What a tool that was called for somebody else has answered.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolAnswer {
    /// It is read.
    Result(ToolResult),
    /// It is large: its text, and what reading it takes ([`tree_size`]), to be counted before it is
    /// [read](ForwardTool::result).
    Large(HttpResponse, usize),
}

/// What an answer may take when it is read, for it to be read at once.
///
/// 256 KiB: every error, and what tools answer mostly.
const SMALL: usize = 256 << 10;

impl Operation for ForwardTool {
    type Output = ToolAnswer;

    fn request(&self) -> HttpRequest {
        let mut request = self.route.request(&self.name, &self.arguments);
        request.expected = self.expected;
        request
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<ToolAnswer>, ApiError> {
        let size = tree_size(&response.body);
        if size <= SMALL {
            let Answered { value, request_id } = self.route.result(response)?;
            return Ok(Answered { value: ToolAnswer::Result(value), request_id });
        }
        let request_id = response.request_id_header.clone().unwrap_or_default();
        Ok(Answered { value: ToolAnswer::Large(response.clone(), size), request_id })
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
    use crate::secret::Secret;

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
            for (piece, times) in [("", 0), (r#"{"":0},"#, 10_000)] {
                let content = piece.repeat(times);
                let answer = format!(r#"{{"success":true,"data":{{"content":[{content}{{}}],"isError":true}}}}"#);
                let answer = HttpResponse::new(200, None, answer.into_bytes());
                let expected = call.parse(&answer).expect("it is a tool's").value;
                let result = match forward.parse(&answer).expect("it is a tool's").value {
                    ToolAnswer::Result(result) if times == 0 => result,
                    ToolAnswer::Large(large, _) if times > 0 => forward.result(&large).expect("it is a tool's"),
                    other => panic!("{times}: {other:?}"),
                };
                assert_eq!(result, expected);
            }
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
        assert!(!format!("{forward:?}").contains("args"));
    }
}
