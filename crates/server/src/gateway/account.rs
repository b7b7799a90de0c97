//! Somebody's account on the upstream.

use std::sync::Arc;
use std::time::Duration;

use agb_client::agb_core::http::HttpResponse;
use agb_client::agb_core::operations::{Forward, SessionData};
use agb_client::{Agb, Error, Options, Session};
use agb_protocol::Secret;
use thiserror::Error;

use crate::auth::keys::Caller;

/// How long a call of the upstream may take that does not say how long it takes: as its published clients wait.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Somebody's account on the upstream, with the connections that its calls share.
#[derive(Debug)]
pub(crate) struct Account {
    agb: Agb,
    caller: Arc<Caller>,
}

/// A call that the upstream did not answer.
#[derive(Debug, Error)]
#[error("the upstream service did not answer: {0}")]
pub(crate) struct Unforwarded(#[from] Error);

impl Account {
    pub(super) fn new(agb: Agb, caller: Arc<Caller>) -> Self {
        Self { agb, caller }
    }

    /// The same in another's name.
    pub(super) fn of(&self, caller: Arc<Caller>) -> Self {
        Self { agb: self.agb.clone(), caller }
    }

    /// Who calls.
    pub(crate) fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Passes a call on.
    pub(crate) async fn forward(&self, call: &Forward) -> Result<HttpResponse, Unforwarded> {
        Ok(self.agb.call(call).await?.value)
    }

    /// A session as the upstream described it. Nothing is sent.
    pub(crate) fn session(&self, data: SessionData) -> Session {
        self.agb.session(data)
    }
}

/// An account with this key. What the environment says of key and endpoint does not count: both are said here.
pub(super) fn connect(url: &str, key: Secret) -> Result<Agb, Error> {
    Agb::new(&Options::new().endpoint(url).api_key(key).timeout(TIMEOUT))
}
