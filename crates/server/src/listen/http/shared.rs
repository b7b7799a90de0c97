//! What the parts of a server share.

use std::sync::Arc;

use super::{Address, ApiError, Origins};
use crate::auth::access::Accesses;
use crate::auth::keys::Keys;
use crate::budget::Budget;
use crate::cluster::Cluster;
use crate::contexts::Contexts;
use crate::gateway::Gateway;
use crate::links::Links;
use crate::listen::tls::Tls;
use crate::observe::Metrics;
use crate::session::Session;
use crate::session::sessions::Sessions;
use crate::settings::Config;

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
        self.sessions.find(id).ok_or_else(|| ApiError::NoSession(id.chars().take(80).collect()))
    }
}
