//! Calling a tool: `POST /mcp`, or `POST <linkUrl>/callTool`.

use std::time::Duration;

use serde_json::Value;

use super::SessionData;
use crate::config::BaseUrl;
use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Method, Operation, Repeat};
use crate::json::{self, Object};
use crate::procedure::{Call, Reply};
use crate::secret::Secret;
use crate::tool_result::ToolResult;

/// Calls a tool of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct CallTool {
    /// The tool's name.
    pub name: String,
    /// Its arguments, by name.
    pub arguments: Object,
    /// The way there.
    pub route: ToolRoute,
}

/// The way to a session's tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolRoute {
    /// Through the gateway at the endpoint, with the API key.
    Gateway {
        /// The session.
        session_id: String,
        /// Its image, where it is known.
        image_id: Option<String>,
        /// Who serves the tool, where it is known.
        server: Option<String>,
    },
    /// Straight to the session, with its token.
    Link {
        /// The session's `linkUrl`.
        url: BaseUrl,
        /// The session's token.
        token: Secret,
        /// Who serves the tool.
        server: String,
        /// The id of the call, which the client gives on this way.
        request_id: String,
    },
}

impl ToolRoute {
    /// The document's rule: the link is taken when the session has `linkUrl`, a token and a server for the tool. A
    /// `linkUrl` that is no http URL is none. `request_id` is for the link, where the client makes it.
    #[must_use]
    pub fn choose(session: &SessionData, tool: &str, request_id: String) -> Self {
        let server = session.server_of(tool);
        let url =
            session.link_url.as_deref().filter(|url| url.contains("://")).and_then(|url| BaseUrl::parse(url).ok());
        match (url, server) {
            (Some(url), Some(server)) if !session.token.is_empty() => {
                Self::Link { url, token: session.token.clone(), server: server.to_owned(), request_id }
            }
            _ => Self::Gateway {
                session_id: session.session_id.clone(),
                image_id: session.image_id.clone(),
                server: server.map(str::to_owned),
            },
        }
    }
}

impl ToolRoute {
    /// The link for whoever has no API key and so no gateway, and to whom nobody has said who serves a tool: then it is
    /// whoever runs code. `None` for a session without a link.
    #[must_use]
    pub fn by_link(session: &SessionData, tool: &str, request_id: String) -> Option<Self> {
        let url = BaseUrl::parse(session.link_url.as_deref()?).ok()?;
        let server = session.server_of(tool).unwrap_or_else(|| session.run_code_target()).to_owned();
        Some(Self::Link { url, token: session.token.clone(), server, request_id })
    }
}

impl From<CallTool> for Call {
    fn from(call: CallTool) -> Self {
        Self::new(call, Reply::Tool)
    }
}

impl Operation for CallTool {
    type Output = ToolResult;

    fn request(&self) -> HttpRequest {
        let mut request = self.route.request(&self.name, &Value::Object(self.arguments.clone()).to_string());
        request.expected = expected(&self.arguments);
        request
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        self.route.result(response)
    }
}

impl ToolRoute {
    /// The call of a tool by this way. `arguments` is the JSON text of an object.
    pub(super) fn request(&self, name: &str, arguments: &str) -> HttpRequest {
        // A tool may do anything, so it is never called twice for one call.
        match self {
            Self::Gateway { session_id, image_id, server } => {
                let mut body = object([
                    ("name", name.into()),
                    ("args", arguments.into()),
                    ("sessionId", session_id.as_str().into()),
                ]);
                if let Some(server) = server {
                    body.insert(String::from("server"), server.as_str().into());
                }
                HttpRequest::new(Method::Post, "/mcp", Repeat::Unsafe)
                    .query("autoGenSession", "false")
                    .query_some("imageId", image_id.as_ref())
                    .body(body)
            }
            Self::Link { url, token, server, request_id } => {
                let [server, request_id, name, shown] =
                    [server, request_id, name, token.expose()].map(|text| Value::from(text).to_string());
                let mut request = HttpRequest::new(Method::Post, [url.as_str(), "/callTool"].concat(), Repeat::Unsafe);
                // The arguments are the text that they are already.
                request.body = Some(format!(
                    r#"{{"args":{arguments},"requestId":{request_id},"server":{server},"token":{shown},"tool":{name}}}"#
                ));
                request.headers.push(("x-access-token", token.clone()));
                request
            }
        }
    }

    /// What is answered by this way.
    pub(super) fn result(&self, response: &HttpResponse) -> Result<Answered<ToolResult>, ApiError> {
        match self {
            Self::Gateway { .. } => read(response),
            Self::Link { token, request_id, .. } => {
                let mut answered = read(response).map_err(|error| error.blame_token().hiding(token))?;
                if answered.request_id.is_empty() {
                    answered.request_id.clone_from(request_id);
                }
                Ok(answered)
            }
        }
    }
}

/// How long a tool may rightly take, by the names that `run_code` and `shell` have for it.
fn expected(arguments: &Object) -> Duration {
    let seconds = |name: &str| json::field(arguments, &[name]).and_then(Value::as_f64);
    let limit = seconds("timeout_s").or_else(|| seconds("timeout_ms").map(|milliseconds| milliseconds / 1000.0));
    limit.and_then(|limit| Duration::try_from_secs_f64(limit).ok()).unwrap_or_default()
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Object {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Reads `{content, isError}`, bare or below `result`, as an object or as the text of one.
fn read(response: &HttpResponse) -> Result<Answered<ToolResult>, ApiError> {
    let mut envelope = Envelope::open(response)?;
    let mut result = match json::unquote_object(envelope.data.take()) {
        Ok(data) => data,
        // Some services answer the text itself.
        Err(Value::String(text)) => return Ok(envelope.answer(ToolResult::plain(text))),
        Err(_) => return Err(envelope.malformed("its data is not the result of a tool")),
    };
    if !result.contains_key("content")
        && let Some(Ok(inner)) = result.remove("result").map(json::unquote_object)
    {
        result = inner;
    }
    let is_error = json::flag(&result, &["isError"]);
    match result.remove("content") {
        Some(Value::Array(content)) => Ok(envelope.answer(ToolResult { is_error, content })),
        Some(Value::String(text)) => Ok(envelope.answer(ToolResult { is_error, ..ToolResult::plain(text) })),
        _ => Err(envelope.malformed("the result of the tool has no content")),
    }
}

#[cfg(test)]
mod tests;
