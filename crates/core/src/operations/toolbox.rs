//! The tools of a session, as a procedure calls them.

use serde_json::Value;

use super::{CallTool, SessionData, ToolResult, ToolRoute};
use crate::codes;
use crate::error::{ApiError, Refusal};
use crate::http::Answered;
use crate::json::Object;
use crate::procedure::{Reply, Single};

/// A session, and who calls its tools.
#[derive(Clone, Copy, Debug)]
pub struct Toolbox<'a> {
    /// The session.
    pub session: &'a SessionData,
    /// The caller has no API key: tools are called over the session's own link.
    pub is_guest: bool,
    /// A fresh id, unique among all calls: the first call of a procedure has it as its request id on the link.
    pub id: &'a str,
}

impl Toolbox<'_> {
    /// One of its tools.
    #[must_use]
    pub fn tool(&self, name: &'static str) -> SessionTool {
        SessionTool { name, route: self.route(name), calls: 0 }
    }

    /// A call of a tool of any name.
    #[must_use]
    pub fn call(&self, name: &str, arguments: Object) -> CallTool {
        CallTool { name: name.to_owned(), arguments, route: self.route(name) }
    }

    fn route(&self, name: &str) -> ToolRoute {
        let id = || self.id.to_owned();
        let by_link = if self.is_guest { ToolRoute::by_link(self.session, name, id()) } else { None };
        by_link.unwrap_or_else(|| ToolRoute::choose(self.session, name, id()))
    }
}

/// One tool of a session, and the way to it.
#[derive(Clone, Debug)]
pub struct SessionTool {
    name: &'static str,
    route: ToolRoute,
    calls: usize,
}

impl SessionTool {
    /// A call with these arguments; each has a request id of its own. An argument that is null is left out.
    pub(crate) fn call<const N: usize>(&mut self, arguments: [(&str, Value); N]) -> CallTool {
        let mut route = self.route.clone();
        if let ToolRoute::Link { request_id, .. } = &mut route
            && self.calls > 0
        {
            request_id.push('.');
            request_id.push_str(&self.calls.to_string());
        }
        self.calls += 1;
        let given = arguments.into_iter().filter(|(_, value)| !value.is_null());
        let arguments = given.map(|(name, value)| (name.to_owned(), value)).collect();
        CallTool { name: self.name.to_owned(), arguments, route }
    }

    /// A procedure of one call, whose answer is text.
    pub(crate) fn once<const N: usize, T>(
        mut self,
        arguments: [(&str, Value); N],
        read: impl Fn(String) -> T + Send + 'static,
    ) -> Single<T> {
        Single::new(self.call(arguments), move |answered| Ok(text_of(answered)?.map(&read)))
    }
}

/// The text that a tool answered: all text parts, else the first part of another kind. A tool that failed is an error.
pub(crate) fn text_of(answered: Answered<Reply>) -> Result<Answered<String>, ApiError> {
    let Answered { value, request_id } = answered;
    let result = value.into_tool();
    if result.is_error {
        Err(tool_failed(plain_text(&result), request_id))
    } else {
        Ok(Answered { value: plain_text(&result), request_id })
    }
}

pub(crate) fn plain_text(result: &ToolResult) -> String {
    let texts = result.texts();
    if texts.is_empty() { result.binary().unwrap_or_default().to_owned() } else { texts.join("\n") }
}

pub(crate) fn tool_failed(message: String, request_id: String) -> ApiError {
    let message = if message.is_empty() { String::from("the tool failed and did not say why") } else { message };
    ApiError::ToolFailed(Refusal { code: codes::TOOL_FAILED.to_owned(), message, status: 200, request_id })
}
