//! `POST <linkUrl>/browserAccess`: letting somebody else, such as a web page, into a session without the API key.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use agb_protocol::AccessScope;
use serde_json::{Map, Value};

use super::SessionData;
use crate::config::BaseUrl;
use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Method, Operation, Repeat};
use crate::secret::Secret;
use crate::wire::DEFAULT_TARGET;
use crate::wire::object::{self as json, Object};

/// Asks for an access, or for more time for one that was given out before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantAccess {
    /// The session's `linkUrl`.
    pub link: BaseUrl,
    /// The session's own token.
    pub token: Secret,
    /// What its holder may do.
    pub scope: AccessScope,
    /// How long it is to last; the service's own default when absent.
    pub lasts: Option<Duration>,
    /// The token of an access that is to last longer, instead of a new one.
    pub renew: Option<Secret>,
}

impl GrantAccess {
    /// Why somebody who was let in cannot let others in, for a person.
    pub const NEEDS_KEY: &str =
        "this session was taken up without an API key; ask the program that gave the access to do it";
    /// Why there is none, for a person.
    pub const NOT_SUPPORTED: &str = "the service does not let pages into a session without the API key; a gateway in front of it does: npx agbcloud-local serve --upstream https://<the service>";

    /// For a session that has a link and a token, of a service that knows `browserAccess`; `None` for any other.
    #[must_use]
    pub fn of(
        session: &SessionData,
        scope: AccessScope,
        lasts: Option<Duration>,
        renew: Option<Secret>,
    ) -> Option<Self> {
        let link = BaseUrl::parse(session.link_url.as_deref()?).ok()?;
        let knows = session.extensions.iter().any(|name| name == SessionAccess::EXTENSION);
        (knows && !session.token.is_empty()).then(|| Self { link, token: session.token.clone(), scope, lasts, renew })
    }
}

impl Operation for GrantAccess {
    type Output = SessionAccess;

    fn request(&self) -> HttpRequest {
        let fields = [
            ("scope", Some(self.scope.as_str().into())),
            ("lastsS", self.lasts.map(|lasts| lasts.as_secs().into())),
            ("renew", self.renew.as_ref().map(|token| token.expose().into())),
        ];
        let body: Map<String, Value> =
            fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        // A second one would be a token that nobody knows, and be gone in minutes.
        let path = [self.link.as_str(), "/browserAccess"].concat();
        let mut request = HttpRequest::new(Method::Post, path, Repeat::Safe).body(body);
        request.headers.push(("x-access-token", self.token.clone()));
        request
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        let mut envelope = Envelope::open(response).map_err(|error| error.hiding(&self.token))?;
        let data = envelope.object()?;
        match SessionAccess::parse(&Value::Object(data).to_string()) {
            Ok(access) => Ok(envelope.answer(access)),
            Err(missing) => Err(envelope.malformed(&missing.to_string())),
        }
    }
}

/// A way into one session, for a while. It travels as JSON text: from the service to whoever has the API key, and from
/// there into a page.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionAccess {
    session_id: String,
    ws_url: String,
    link_url: Option<String>,
    token: Secret,
    expires_at: String,
    scope: AccessScope,
    extensions: Vec<String>,
    target: String,
}

/// A field that an access must have is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the access has no {0}; give Session.attach what session.browserAccess() resolved to, as it is")]
pub struct IncompleteAccess(&'static str);

impl SessionAccess {
    /// The name in a session's `extensions` under which a service says that it gives these out.
    pub const EXTENSION: &str = AccessScope::EXTENSION;

    /// Reads one from JSON text.
    ///
    /// # Errors
    /// [`IncompleteAccess`] names the first field that is missing. The text is not repeated, for it holds a token.
    pub fn parse(text: &str) -> Result<Self, IncompleteAccess> {
        let fields = Object::parse(text).ok_or(IncompleteAccess("sessionId"))?;
        let text = |name: &'static str| fields.string(name).map(Cow::into_owned).ok_or(IncompleteAccess(name));
        let extensions = fields.get("extensions").and_then(json::Value::as_array).unwrap_or_default();
        Ok(Self {
            session_id: text("sessionId")?,
            ws_url: text("wsUrl")?,
            link_url: text("linkUrl").ok(),
            token: Secret::from(text("token")?),
            expires_at: text("expiresAt")?,
            scope: text("scope").ok().and_then(|name| AccessScope::parse(&name)).unwrap_or_default(),
            extensions: extensions.into_iter().filter_map(|name| Some(name.as_str()?.into_owned())).collect(),
            target: text("target").unwrap_or_else(|_| DEFAULT_TARGET.to_owned()),
        })
    }

    /// As JSON text, the token in it.
    #[must_use]
    pub fn to_json(&self) -> String {
        Value::from(self.clone()).to_string()
    }

    /// The session as far as its holder gets to know it.
    #[must_use]
    pub fn into_session(self) -> SessionData {
        let mut session = SessionData::of_guest(self.session_id, self.ws_url, self.token, self.target);
        (session.link_url, session.extensions) = (self.link_url, self.extensions);
        session
    }
}

impl From<SessionAccess> for Value {
    /// The token is in it.
    fn from(access: SessionAccess) -> Self {
        let fields = [
            ("sessionId", Some(access.session_id.into())),
            ("wsUrl", Some(access.ws_url.into())),
            ("linkUrl", access.link_url.map(Self::from)),
            ("token", Some(access.token.expose().into())),
            ("expiresAt", Some(access.expires_at.into())),
            ("scope", Some(access.scope.as_str().into())),
            ("extensions", Some(access.extensions.into())),
            ("target", Some(access.target.into())),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl fmt::Debug for SessionAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionAccess")
            .field("session_id", &self.session_id)
            .field("expires_at", &self.expires_at)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::{body, endure, line, read};

    fn session() -> SessionData {
        SessionData {
            session_id: "s-1".into(),
            link_url: Some("https://link/s-1".into()),
            token: Secret::from("SECRET"),
            extensions: vec!["flow".into(), "browserAccess".into()],
            ..SessionData::default()
        }
    }

    fn granted() -> Value {
        json!({
            "sessionId": "s-1", "wsUrl": "wss://ws", "linkUrl": "https://link/s-1", "token": "PAGE", "scope": "read",
            "expiresAt": "2026-11-23T04:00:00Z", "extensions": ["flow"], "target": "codespace",
        })
    }

    #[test]
    fn asks_with_the_sessions_own_token() {
        let grant = GrantAccess::of(&session(), AccessScope::Run, None, None).expect("it has all that is needed");
        let request = grant.request();
        assert_eq!(line(&request), "POST https://link/s-1/browserAccess");
        assert_eq!(body(&request), json!({"scope": "run"}));
        let header = request.headers.iter().find(|(name, _)| *name == "x-access-token").expect("it is sent");
        assert_eq!(header.1.expose(), "SECRET");
        let lasts = Some(Duration::from_secs(60));
        let renewed = GrantAccess::of(&session(), AccessScope::Read, lasts, Some(Secret::from("PAGE")));
        let body = body(&renewed.expect("it has all that is needed").request());
        assert_eq!(body, json!({"scope": "read", "lastsS": 60, "renew": "PAGE"}));
    }

    #[test]
    fn is_not_asked_for_where_nobody_knows_it() {
        let of = |session| GrantAccess::of(&session, AccessScope::Run, None, None);
        assert_eq!(of(SessionData { extensions: vec!["flow".into()], ..session() }), None);
        assert_eq!(of(SessionData { link_url: None, ..session() }), None);
        assert_eq!(of(SessionData { token: Secret::default(), ..session() }), None);
    }

    #[test]
    fn goes_from_hand_to_hand_unchanged() {
        let grant = GrantAccess::of(&session(), AccessScope::Read, None, None).expect("it has all that is needed");
        let access = read(&grant, granted());
        assert_eq!(SessionAccess::parse(&access.to_json()), Ok(access.clone()));
        assert_eq!(serde_json::from_str::<Value>(&access.to_json()).unwrap(), granted());
        assert!(!format!("{access:?}").contains("PAGE"));
        let data = access.into_session();
        assert_eq!((data.session_id.as_str(), data.run_code_target()), ("s-1", "codespace"));
        assert_eq!((data.ws_url.as_deref(), data.token.expose()), (Some("wss://ws"), "PAGE"));
        assert_eq!((data.link_url.as_deref(), data.extensions), (Some("https://link/s-1"), vec!["flow".to_owned()]));
        endure(&grant);
    }

    #[test]
    fn says_what_is_missing_and_not_what_is_there() {
        for name in ["sessionId", "wsUrl", "token", "expiresAt"] {
            let mut fields = granted();
            fields.as_object_mut().unwrap().remove(name);
            let error = SessionAccess::parse(&fields.to_string()).unwrap_err();
            assert_eq!(error, IncompleteAccess(name));
            assert!(!error.to_string().contains("PAGE"));
        }
        for text in ["", "null", "[]", "PAGE"] {
            assert_eq!(SessionAccess::parse(text), Err(IncompleteAccess("sessionId")));
        }
    }
}
