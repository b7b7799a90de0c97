//! `POST /mcp/createSession`.

use serde_json::Value;

use super::labels::labels_text;
use super::{SessionData, SessionOptions, object};
use crate::codes;
use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Method, Operation, Repeat};
use crate::json::Object;

/// Creates a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateSession {
    /// What it is made from, such as `agb-code-space-1`.
    pub image_id: String,
    /// To find it by.
    pub labels: Vec<(String, String)>,
    /// Seconds without use after which the service releases it; the service's own default when absent.
    pub idle_release: Option<u64>,
    /// The policy for its tools.
    pub mcp_policy_id: Option<String>,
    /// The context whose files it gets.
    pub context_id: Option<String>,
    /// An id of the caller's choice.
    pub session_id: Option<String>,
    /// `persistenceDataList` as the service takes it.
    pub persistence: Option<Value>,
    /// What it has that others do not.
    pub options: SessionOptions,
    /// Who asks.
    pub client: ClientInfo,
}

/// What `sdkStats` says about the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The language of the API in use, such as `typescript` or `rust`.
    pub language: String,
    /// The version of its package.
    pub version: String,
    /// A published version, not a build from a working tree.
    pub is_release: bool,
}

impl Default for ClientInfo {
    fn default() -> Self {
        Self { language: String::from("rust"), version: String::from(env!("CARGO_PKG_VERSION")), is_release: false }
    }
}

impl ClientInfo {
    fn stats(&self) -> String {
        let stats = object([
            ("source", "sdk".into()),
            ("sdk_language", self.language.as_str().into()),
            ("sdk_version", self.version.as_str().into()),
            ("is_release", self.is_release.into()),
        ]);
        stats.to_string()
    }
}

impl Operation for CreateSession {
    type Output = SessionData;

    fn request(&self) -> HttpRequest {
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        let fields = [
            ("labels", (!self.labels.is_empty()).then(|| labels_text(&self.labels).into())),
            ("timeout", self.idle_release.map(Value::from)),
            ("mcpPolicyId", text(&self.mcp_policy_id)),
            ("contextId", text(&self.context_id)),
            ("sessionId", text(&self.session_id)),
            ("persistenceDataList", self.persistence.clone()),
        ];
        let mut body: Object = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        self.options.write(&mut body);
        // A second execution would be a second session, paid for and known to nobody.
        HttpRequest::new(Method::Post, "/mcp/createSession", Repeat::Unsafe)
            .query("imageId", &self.image_id)
            .query("sdkStats", self.client.stats())
            .body(body)
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        let mut envelope = Envelope::open(response)?;
        let mut session = SessionData::read(&mut envelope, None)?;
        session.image_id.get_or_insert_with(|| self.image_id.clone());
        if !self.options.is_empty() && !session.extensions.iter().any(|name| name == SessionOptions::EXTENSION) {
            let id = &session.session_id;
            let message = [
                "the service takes no envs, network or timeoutS, and created session ",
                id,
                " without them; delete it",
            ];
            return Err(envelope.refused(codes::NOT_SUPPORTED, message.concat()));
        }
        Ok(envelope.answer(session))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::{body, endure, fine, line, read};

    fn operation() -> CreateSession {
        CreateSession { image_id: String::from("agb-code-space-1"), ..CreateSession::default() }
    }

    #[test]
    fn says_only_what_was_given() {
        let client =
            ClientInfo { language: String::from("typescript"), version: String::from("1.2"), is_release: true };
        let request = CreateSession { client, ..operation() }.request();
        assert!(
            line(&request).starts_with("POST https://h/mcp/createSession?imageId=agb-code-space-1&sdkStats=%7B%22")
        );
        let stats: Value = serde_json::from_str(&request.query[1].1).unwrap();
        assert_eq!(
            stats,
            json!({"source": "sdk", "sdk_language": "typescript", "sdk_version": "1.2", "is_release": true})
        );
        assert_eq!(body(&request), json!({}));
        assert_eq!(request.repeat, Repeat::Unsafe);
    }

    #[test]
    fn says_all_that_was_given() {
        let given = |text: &str| Some(text.to_owned());
        let request = CreateSession {
            labels: vec![(String::from("a"), String::from("\"1\"")), (String::from("b"), String::new())],
            idle_release: Some(300),
            mcp_policy_id: given("p"),
            context_id: given("c"),
            session_id: given("s"),
            persistence: Some(json!([{"x": 1}])),
            ..operation()
        }
        .request();
        assert_eq!(
            body(&request),
            json!({
                "labels": r#"{"a":"\"1\"","b":""}"#, "timeout": 300, "mcpPolicyId": "p", "contextId": "c", "sessionId": "s",
                "persistenceDataList": [{"x": 1}],
            })
        );
    }

    #[test]
    fn reads_a_session() {
        let data = json!({
            "sessionId": "s-1", "success": true, "errMsg": null, "appInstanceId": "a", "resourceId": "r",
            "resourceUrl": "https://page", "taskId": "t", "networkInterfaceIp": "10.0.0.1",
            "linkUrl": "https://link", "wsUrl": "wss://ws", "token": "SECRET",
            "toolList": "[{\"name\":\"run_code\",\"server\":\"codespace\"}]", "extensions": ["flow", 7, "cancel"],
        });
        for data in [data.clone(), json!(data.to_string())] {
            let session = read(&operation(), data);
            assert_eq!(session.session_id, "s-1");
            assert_eq!(session.image_id.as_deref(), Some("agb-code-space-1"));
            assert_eq!(session.ws_url.as_deref(), Some("wss://ws"));
            assert_eq!(session.link_url.as_deref(), Some("https://link"));
            assert_eq!(session.token.expose(), "SECRET");
            assert_eq!(session.run_code_target(), "codespace");
            assert_eq!(session.extensions, ["flow", "cancel"]);
            assert_eq!(session.resource_url.as_deref(), Some("https://page"));
            assert_eq!(session.app_instance_id.as_deref(), Some("a"));
            assert_eq!(session.resource_id.as_deref(), Some("r"));
            assert_eq!(session.task_id.as_deref(), Some("t"));
            assert_eq!(session.network_interface_ip.as_deref(), Some("10.0.0.1"));
            let shown = format!("{session:?}");
            assert!(shown.contains("s-1") && !shown.contains("SECRET") && !shown.contains("wss"), "{shown}");
        }
    }

    #[test]
    fn options_that_the_service_does_not_know_are_refused() {
        let options = SessionOptions { timeout_s: Some(60), ..SessionOptions::default() };
        let operation = CreateSession { options, ..operation() };
        assert_eq!(body(&operation.request()), json!({"timeoutS": 60}));
        let error = operation.parse(&fine(json!({"sessionId": "s-1"}))).unwrap_err();
        assert_eq!(error.code(), "NOT_SUPPORTED");
        assert!(error.to_string().contains("s-1"), "{error}");
        let session = read(&operation, json!({"sessionId": "s-1", "extensions": ["sessionOptions"]}));
        assert_eq!(session.session_id, "s-1");
    }

    #[test]
    fn a_bare_session_is_enough() {
        let session = read(&operation(), json!({"sessionId": "s", "wsUrl": "", "token": null, "toolList": "broken"}));
        assert_eq!((session.ws_url.as_deref(), session.token.is_empty()), (None, true));
        assert_eq!(session.run_code_target(), "wuying_codespace");
        assert!(session.tools.is_empty() && session.extensions.is_empty());
    }

    #[test]
    fn a_session_that_was_not_made_is_refused() {
        let error = operation().parse(&fine(json!({"success": false, "errMsg": "no quota"}))).unwrap_err();
        assert_eq!((error.code(), error.request_id()), ("SESSION_NOT_CREATED", "r-1"));
        assert!(error.to_string().contains("no quota"));
        for data in [json!({}), json!({"sessionId": ""}), json!(null), json!("x"), json!([])] {
            let error = operation().parse(&fine(data)).unwrap_err();
            assert_eq!(error.code(), "MALFORMED");
        }
    }

    #[test]
    fn endures_hostile_answers() {
        endure(&operation());
    }
}
