//! What the service tells about a session when it is created or fetched.

use std::fmt;

use serde_json::Value;

use super::Tool;
use crate::codes;
use crate::config::BaseUrl;
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

    /// Sees to it that nothing of a session goes unencrypted that an `https:` endpoint told of: an address of the same
    /// host is raised to `wss:` or `https:`, since a proxy in front may not have said how it was reached; one of another
    /// host is left out.
    pub fn secure(&mut self, endpoint: &BaseUrl) {
        let Some(host) = endpoint.as_str().strip_prefix("https://").map(host_of) else { return };
        for (address, plain, secure) in
            [(&mut self.ws_url, "ws://", "wss://"), (&mut self.link_url, "http://", "https://")]
        {
            let Some(rest) = address.as_deref().and_then(|url| after_scheme(url, plain)) else { continue };
            *address = host_of(rest).eq_ignore_ascii_case(host).then(|| {
                // The port of the other scheme would be wrong for this one.
                let behind = &rest[host.len()..];
                [secure, host, behind.strip_prefix(":80").filter(|rest| !begins_with_digit(rest)).unwrap_or(behind)]
                    .concat()
            });
        }
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
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        super::object([
            ("linkUrl", text(&self.link_url)),
            ("wsUrl", text(&self.ws_url)),
            ("token", self.token.expose().into()),
            ("status", text(&self.status)),
            ("tools", self.tools.iter().cloned().map(Value::from).collect()),
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

/// What follows `http://` and the like, in whatever case it is written.
fn after_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = (url.get(..scheme.len())?, url.get(scheme.len()..)?);
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn begins_with_digit(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_digit)
}

/// The host at the beginning of what follows a scheme: without a port, with the brackets of an IPv6 address.
fn host_of(rest: &str) -> &str {
    let end = rest.bytes().position(|byte| b"/?#".contains(&byte)).unwrap_or(rest.len());
    let authority = &rest[..end];
    match authority.bytes().rposition(|byte| byte == b':') {
        Some(at) if authority.bytes().skip(at + 1).all(|byte| byte.is_ascii_digit()) => &authority[..at],
        _ => authority,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;

    #[test]
    fn nothing_goes_unencrypted_from_an_https_endpoint() {
        for (endpoint, given, expected) in [
            ("https://h.test", "ws://h.test/ws?a=:80/", Some("wss://h.test/ws?a=:80/")),
            ("https://h.test", "WS://H.test:80/ws", Some("wss://h.test/ws")),
            ("https://h.test:8443", "ws://h.test:8443/ws", Some("wss://h.test:8443/ws")),
            ("https://h.test", "ws://h.test:8000", Some("wss://h.test:8000")),
            ("https://[::1]:1", "ws://[::1]:80/", Some("wss://[::1]/")),
            ("https://h.test", "wss://other.test/ws", Some("wss://other.test/ws")),
            ("https://h.test", "ws://other.test/ws", None),
            ("https://h.test", "ws://h.test.evil/ws", None),
            ("https://h.test", "ws://h.test@evil/ws", None),
            ("http://h.test", "ws://other.test/ws", Some("ws://other.test/ws")),
        ] {
            let endpoint = Endpoint::parse(endpoint).expect("an endpoint");
            let mut data = SessionData {
                ws_url: Some(given.to_owned()),
                link_url: Some(given.to_ascii_lowercase().replacen("ws", "http", 1)),
                ..SessionData::default()
            };
            data.secure(endpoint.base_url().expect("a remote one"));
            assert_eq!(data.ws_url.as_deref(), expected, "{given}");
            assert_eq!(data.link_url, expected.map(|url| url.replacen("ws", "http", 1)), "{given}");
        }
    }
}
