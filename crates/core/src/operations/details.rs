//! `POST /mcp/getMcpResource`.

use std::fmt;

use serde_json::Value;

use super::post_session;
use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Operation, Repeat};
use crate::json;
use crate::secret::Secret;

/// Asks where and how a session can be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetDetails {
    /// Which.
    pub session_id: String,
}

/// Where and how a session can be looked at; the fields below `resource_url` are the service's `desktopInfo`. `Debug`
/// shows no URL: it may carry a token.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionDetails {
    /// Its id.
    pub session_id: String,
    /// A page to look at it.
    pub resource_url: Option<String>,
    /// `appId`.
    pub app_id: Option<String>,
    /// `authCode`, which lets its holder in.
    pub auth_code: Option<Secret>,
    /// `connectionProperties`, as JSON text.
    pub connection_properties: Option<String>,
    /// `resourceId`.
    pub resource_id: Option<String>,
    /// `resourceType`.
    pub resource_type: Option<String>,
    /// `ticket`, which lets its holder in.
    pub ticket: Option<Secret>,
    /// `envs`, `network` and `timeoutS` as JSON text, where the service knows them; variables may be secrets.
    pub options: Option<Secret>,
}

impl Operation for GetDetails {
    type Output = SessionDetails;

    fn request(&self) -> HttpRequest {
        post_session("/mcp/getMcpResource", &self.session_id, Repeat::Safe)
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        let mut envelope = Envelope::open(response)?;
        let data = envelope.object()?;
        let desktop = json::field(&data, &["desktopInfo"]).cloned().unwrap_or_default();
        let desktop = json::unquote_object(desktop).unwrap_or_default();
        let text = |name: &str| json::field(&desktop, &[name]).and_then(|value| json::plain(value, ","));
        let details = SessionDetails {
            session_id: json::string(&data, &["sessionId"]).unwrap_or_else(|| self.session_id.clone()),
            resource_url: json::string(&data, &["resourceUrl"]),
            app_id: text("appId"),
            auth_code: text("authCode").map(Secret::from),
            connection_properties: text("connectionProperties"),
            resource_id: text("resourceId"),
            resource_type: text("resourceType"),
            ticket: text("ticket").map(Secret::from),
            options: options(&data),
        };
        Ok(envelope.answer(details))
    }
}

/// Those that the service says, as JSON text.
fn options(data: &json::Object) -> Option<Secret> {
    let told = ["envs", "network", "timeoutS"].map(|name| (name.to_owned(), json::field(data, &[name]).cloned()));
    let told: json::Object = told.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    (!told.is_empty()).then(|| Secret::from(Value::Object(told).to_string()))
}

impl From<SessionDetails> for Value {
    /// With its secrets: the caller asked for these, and from here on they are the caller's to guard.
    fn from(details: SessionDetails) -> Self {
        let exposed = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned()).into();
        super::object([
            ("sessionId", details.session_id.into()),
            ("resourceUrl", details.resource_url.into()),
            ("appId", details.app_id.into()),
            ("authCode", exposed(details.auth_code)),
            ("connectionProperties", details.connection_properties.into()),
            ("resourceId", details.resource_id.into()),
            ("resourceType", details.resource_type.into()),
            ("ticket", exposed(details.ticket)),
            ("options", exposed(details.options)),
        ])
    }
}

impl fmt::Debug for SessionDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDetails")
            .field("session_id", &self.session_id)
            .field("resource_url", &self.resource_url.as_ref().map(|_| Secret::default()))
            .field("app_id", &self.app_id)
            .field("resource_id", &self.resource_id)
            .field("resource_type", &self.resource_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::{body, endure, line, read};

    fn operation() -> GetDetails {
        GetDetails { session_id: String::from("s-1") }
    }

    #[test]
    fn reads_the_desktop_in_every_quoting() {
        let request = operation().request();
        assert_eq!(line(&request), "POST https://h/mcp/getMcpResource");
        assert_eq!(body(&request), json!({"sessionId": "s-1"}));
        let desktop = json!({
            "appId": "app", "authCode": "SECRET", "connectionProperties": {"a": 1}, "resourceId": "r",
            "resourceType": "desktop", "ticket": "SECRET",
        });
        for desktop in [desktop.clone(), json!(desktop.to_string())] {
            let data = json!({"sessionId": "s-2", "resourceUrl": "https://u?k=SECRET", "desktopInfo": desktop});
            let details = read(&operation(), data);
            assert_eq!(details.session_id, "s-2");
            assert_eq!(details.app_id.as_deref(), Some("app"));
            assert_eq!(details.auth_code.as_ref().map(Secret::expose), Some("SECRET"));
            assert_eq!(details.connection_properties.as_deref(), Some(r#"{"a":1}"#));
            assert_eq!(details.resource_type.as_deref(), Some("desktop"));
            assert_eq!(details.ticket, details.auth_code);
            assert!(!format!("{details:?}").contains("SECRET"));
        }
    }

    #[test]
    fn options_are_told_as_they_are() {
        let details = read(&operation(), json!({"envs": {"A": "SECRET"}, "network": {"allow": ["a"]}, "timeoutS": 5}));
        let options = details.options.as_ref().map(Secret::expose);
        assert_eq!(options, Some(r#"{"envs":{"A":"SECRET"},"network":{"allow":["a"]},"timeoutS":5}"#));
        assert!(!format!("{details:?}").contains("SECRET"));
    }

    #[test]
    fn a_session_without_a_desktop_has_none() {
        for data in [json!({}), json!({"desktopInfo": null}), json!({"desktopInfo": 3}), json!({"resourceUrl": ""})] {
            let details = read(&operation(), data);
            assert_eq!(details, SessionDetails { session_id: String::from("s-1"), ..SessionDetails::default() });
        }
        endure(&operation());
    }
}
