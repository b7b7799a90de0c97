//! What the service tells about a session when it is created or fetched.

use std::fmt;

use serde_json::Value;

use super::Tool;
use crate::codes;
use crate::error::ApiError;
use crate::http::Envelope;
use crate::json;
use crate::secret::Secret;
use crate::wire::DEFAULT_TARGET;

/// A session as its owner needs it. `Debug` shows no URL: each may carry a token.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionData {
    /// Its id; never empty.
    pub session_id: String,
    /// The image it was created from, where the service or the caller said so.
    pub image_id: Option<String>,
    /// Where its WebSocket is.
    pub ws_url: Option<String>,
    /// Where its tools can be called without the gateway.
    pub link_url: Option<String>,
    /// For `ws_url` and `link_url`; empty where there is none.
    pub token: Secret,
    /// What it offers; empty where the service does not say.
    pub tools: Vec<Tool>,
    /// What the service can do beyond part 1 (wire protocol, part 2).
    pub extensions: Vec<String>,
    /// A page to look at it.
    pub resource_url: Option<String>,
    /// The service's id of the instance behind it.
    pub app_instance_id: Option<String>,
    /// The service's id of the resource behind it.
    pub resource_id: Option<String>,
    /// The service's id of the task that made it.
    pub task_id: Option<String>,
    /// Its address inside the service.
    pub network_interface_ip: Option<String>,
    /// `RUNNING`, `FINISH`, `DELETING`, `DELETED`; only when fetched.
    pub status: Option<String>,
}

impl SessionData {
    /// A session as somebody knows it who was let into it: where its WebSocket is, with a token of its own, and who runs
    /// code. Link and extensions are the caller's to add.
    #[must_use]
    pub fn of_guest(session_id: String, ws_url: String, token: Secret, target: String) -> Self {
        let run_code = Tool { name: "run_code".to_owned(), server: target, ..Tool::default() };
        Self { session_id, ws_url: Some(ws_url), token, tools: vec![run_code], ..Self::default() }
    }

    /// The `target` of a streamed run: the server of the tool `run_code`, else the one that every image has.
    #[must_use]
    pub fn run_code_target(&self) -> &str {
        self.server_of("run_code").unwrap_or(DEFAULT_TARGET)
    }

    /// Who serves a tool, where the tool list says so.
    #[must_use]
    pub fn server_of(&self, tool: &str) -> Option<&str> {
        self.tools
            .iter()
            .find(|known| known.name == tool && !known.server.is_empty())
            .map(|known| known.server.as_str())
    }

    /// What bindings show of it beside its getters, as JSON text: where it is reached, with its token, and its tools. A
    /// secret of whoever asked for it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let tool = |tool: &Tool| {
            super::object([
                ("name", tool.name.as_str().into()),
                ("description", tool.description.as_str().into()),
                ("inputSchema", tool.input_schema.as_str().into()),
                ("server", tool.server.as_str().into()),
                ("tool", tool.tool.as_str().into()),
            ])
        };
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        super::object([
            ("linkUrl", text(&self.link_url)),
            ("wsUrl", text(&self.ws_url)),
            ("token", self.token.expose().into()),
            ("status", text(&self.status)),
            ("tools", self.tools.iter().map(tool).collect()),
        ])
        .to_string()
    }

    /// Reads `data` of `createSession` and `getSession`. `requested` is the id that was asked for, should the answer
    /// not repeat it.
    pub(super) fn read(envelope: &mut Envelope<'_>, requested: Option<&str>) -> Result<Self, ApiError> {
        let data = envelope.object()?;
        if data.get("success") == Some(&Value::Bool(false)) {
            let message = json::string(&data, &["errMsg"]).unwrap_or_default();
            return Err(envelope.refused(codes::SESSION_NOT_CREATED, message));
        }
        let text = |name: &str| json::string(&data, &[name]);
        let Some(session_id) = text("sessionId").or_else(|| requested.map(str::to_owned)) else {
            return Err(envelope.malformed("its data has no sessionId"));
        };
        let extensions = data.get("extensions").and_then(Value::as_array);
        Ok(Self {
            session_id,
            image_id: text("imageId"),
            ws_url: json::string(&data, &["wsUrl", "WsUrl"]),
            link_url: text("linkUrl"),
            token: json::text(&data, &["token"]).map(Secret::from).unwrap_or_default(),
            tools: Tool::list(json::field(&data, &["toolList"]).cloned().unwrap_or_default()),
            extensions: extensions.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            resource_url: text("resourceUrl"),
            app_instance_id: text("appInstanceId"),
            resource_id: text("resourceId"),
            task_id: text("taskId"),
            network_interface_ip: text("networkInterfaceIp"),
            status: text("status"),
        })
    }
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionData")
            .field("session_id", &self.session_id)
            .field("image_id", &self.image_id)
            .field("ws_url", &self.ws_url.as_ref().map(|_| Secret::default()))
            .field("link_url", &self.link_url.as_ref().map(|_| Secret::default()))
            .field("tools", &self.tools.len())
            .field("extensions", &self.extensions)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
