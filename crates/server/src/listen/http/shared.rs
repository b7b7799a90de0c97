//! What the parts of a server share.

use std::sync::Arc;

use super::{Address, ApiError, Origins};
use crate::auth::access::Accesses;
use crate::auth::keys::Keys;
use crate::budget::Budget;
use crate::cluster::{Cluster, Peer};
use crate::contexts::Contexts;
use crate::gateway::Gateway;
use crate::links::Links;
use crate::listen::tls::Tls;
use crate::observe::Metrics;
use crate::session::Session;
use crate::session::sessions::Sessions;
use crate::settings::Config;
use crate::time_text;

/// What the parts of a server share.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) address: Option<Address>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) accesses: Accesses,
    /// Of all sessions, and of what belongs to none.
    pub(crate) budget: Arc<Budget>,
    pub(crate) contexts: Arc<Contexts>,
    pub(crate) links: Links,
    pub(crate) origins: Origins,
    pub(crate) keys: Keys,
    /// Sessions are those of another service.
    pub(crate) gateway: Option<Gateway>,
    /// The servers that this one acts as one with.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tls: Option<Arc<Tls>>,
}

impl Shared {
    /// The session of this id.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Session>, ApiError> {
        self.sessions.find(id).ok_or_else(|| self.no_session(id))
    }

    /// The server of the cluster that keeps contexts, if it is another one.
    pub(super) fn contexts_at(&self) -> Option<Peer> {
        self.cluster.as_ref()?.contexts_at(self.config.contexts.folder.is_some())
    }

    fn no_session(&self, id: &str) -> ApiError {
        let shown = id.chars().take(80).collect();
        match self.cluster.as_ref().and_then(|cluster| cluster.lost(id)) {
            None => ApiError::NoSession(shown),
            Some(at) => ApiError::SessionLost { id: shown, at: at.map(at_time).unwrap_or_default() },
        }
    }
}

/// ` at 2026-11-30T02:40:00Z`.
fn at_time(unix_ms: u64) -> String {
    time_text::of_unix_ms(unix_ms).map(|time| format!(" at {time}")).unwrap_or_default()
}
