//! Somebody's account on the upstream.

use std::sync::Arc;
use std::time::Duration;

use agb_client::agb_core::error::ApiError;
use agb_client::agb_core::http::HttpResponse;
use agb_client::agb_core::operations::{Forward, GetSession, SessionData};
use agb_client::{Agb, Error, Options, Rooms, Session, SocketLimits};
use agb_protocol::Secret;

use super::UpstreamError;
use super::counted::Counted;
use crate::auth::keys::Caller;
use crate::budget::{Budget, Charge};

/// How long a call of the upstream may take that does not say how long it takes: as its published clients wait.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Somebody's account on the upstream, with the connections that its calls share.
#[derive(Debug)]
pub(crate) struct Account {
    agb: Agb,
    caller: Arc<Caller>,
}

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

    /// Passes a call on. Its answer is counted from its first part on: the second is what it takes.
    pub(crate) async fn forward(
        &self,
        call: &Forward,
        budget: &Arc<Budget>,
    ) -> Result<(HttpResponse, Charge), UpstreamError> {
        let counted = Counted::new(budget);
        let answered = self.agb.call_within(call, &|bytes| counted.room(bytes)).await;
        let answered = answered.map_err(|error| counted.problem(error))?;
        Ok((answered.value, counted.charge()))
    }

    /// Whether the upstream says that there is no such session. What it answers else is not kept.
    pub(super) async fn has_no(&self, session_id: &str, budget: &Arc<Budget>) -> bool {
        let get = Arc::new(GetSession { session_id: session_id.to_owned() });
        let answered = self.agb.call_apart(&get, &Counted::new(budget).shared()).await;
        matches!(answered, Err(Error::Api(ApiError::NotFound(_))))
    }

    /// A session as the upstream described it, whose connection holds what it has room for. Nothing is sent.
    pub(super) fn session(&self, data: SessionData, rooms: Rooms) -> Session {
        self.agb.session_within(data, rooms)
    }
}

/// An account with this key. What the environment says of key and endpoint does not count: both are said here.
/// `largest`: the largest message of a run that is taken.
pub(super) fn connect(url: &str, key: Secret, largest: usize) -> Result<Agb, Error> {
    let limits = SocketLimits { max_message: largest, max_frame: largest };
    Agb::new(&Options::new().endpoint(url).api_key(key).timeout(TIMEOUT).socket_limits(limits))
}
