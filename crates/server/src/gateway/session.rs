//! A session of the upstream's, as this server uses it.

use std::sync::Arc;

use agb_client::agb_core::http::Answered;
use agb_client::agb_core::operations::{SessionData, ToolResult};
use agb_client::{Error, Session};
use agb_protocol::fields::{Field, Fields};
use serde_json::{Map, Value};
use thiserror::Error;

use super::Account;
use crate::settings::{GATEWAY_EXTENSIONS, GATEWAY_EXTENSIONS_WITH_INPUT};

/// A session of the upstream's. Clones share its connection there.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    session: Session,
    /// Keeps the account known while somebody has a session of it.
    _account: Arc<Account>,
}

/// Why the upstream was not asked, or did not answer.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    #[error("the tool's arguments are no JSON that can be passed on")]
    Arguments,
    #[error("the upstream service did not answer: {0}")]
    Client(#[from] Error),
}

impl Upstream {
    /// What the upstream said of a session, to be used in this account's name. Nothing is sent.
    pub(crate) fn new(account: &Arc<Account>, data: SessionData) -> Self {
        Self { session: account.session(data), _account: Arc::clone(account) }
    }

    pub(crate) fn id(&self) -> &str {
        self.session.id()
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// What this server does beyond part 1 of the wire for the session.
    pub(crate) fn extensions(&self) -> &'static [&'static str] {
        let takes_input = self.session.data().extensions.iter().any(|name| name == "stdin");
        if takes_input { GATEWAY_EXTENSIONS_WITH_INPUT } else { GATEWAY_EXTENSIONS }
    }

    /// Whether the two are one session with the same token and address.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let (one, other) = (self.session.data(), other.session.data());
        one.token == other.token && one.ws_url == other.ws_url && one.link_url == other.link_url
    }

    /// Calls a tool, by the way that the upstream offers.
    pub(crate) async fn call_tool(&self, name: &str, args: Fields) -> Result<Answered<ToolResult>, UpstreamError> {
        let value = |field| match field {
            Field::Text(text) => Ok(Value::String(text)),
            Field::Json(json) => serde_json::from_str(&json).map_err(|_| UpstreamError::Arguments),
        };
        let args: Map<String, Value> =
            args.into_iter().map(|(name, field)| Ok((name, value(field)?))).collect::<Result<_, UpstreamError>>()?;
        Ok(self.session.call_tool(name, args).await?)
    }
}
