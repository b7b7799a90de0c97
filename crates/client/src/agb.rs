//! An account on an endpoint.

use std::sync::Arc;
use std::time::Duration;

use agb_core::config::BaseUrl;
use agb_core::http::{Answered, Operation};
use agb_core::operations::{
    CreateSession, GetSession, ListSessions, ListTools, SessionAccess, SessionData, SessionPage, Tool,
};
use agb_core::secret::Secret;

use crate::answer::{Rooms, SharedRoom};
use crate::api::Api;
use crate::error::Error;
use crate::options::Options;
use crate::session::Session;

/// One account on one endpoint. Cheap to clone; clones share their HTTP connections.
///
/// To give a call up, drop its future: nothing more is sent, and its connection is closed. What was sent by then the
/// service may carry out; a session that nobody heard of is released when it has been idle for long enough.
#[derive(Clone, Debug)]
pub struct Agb {
    api: Arc<Api>,
}

impl Agb {
    /// An account with these settings. Nothing is sent yet, and a local server is not started yet.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::EnvFile`] for settings that cannot be used; [`Error::Local`] when the endpoint is
    /// `local` and there is no server program.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self { api: Arc::new(Api::of_account(options)?) })
    }

    /// The session that somebody with the API key gave access to ([`Session::grant_access`]). It runs code and calls
    /// tools over its own link; whatever needs the key is [`Error::NoKey`]. Nothing is sent.
    #[must_use]
    pub fn attach(access: SessionAccess) -> Session {
        Self::attach_with(access, &Options::new()).expect("the default network can be used")
    }

    /// [`attach`](Self::attach) with the proxy, the certificates and the limits of these options, that of an HTTP call
    /// included; what else they say has no effect.
    ///
    /// # Errors
    /// [`Error::Network`] for a proxy or a certificate that cannot be used, [`Error::Config`] for a time limit.
    pub fn attach_with(access: SessionAccess, options: &Options) -> Result<Session, Error> {
        Ok(Session::new(Arc::new(Api::of_guest(options)?), access.into_session()))
    }

    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    /// An account as the environment and a `.env` file say it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_env() -> Result<Self, Error> {
        Self::new(&Options::new())
    }

    /// Base URL of the service; `None` while a local server has not been started.
    #[must_use]
    pub fn endpoint(&self) -> Option<BaseUrl> {
        self.api.endpoint()
    }

    /// The API key, wherever it came from; `None` with the endpoint `local`, whose key nobody needs to know.
    #[must_use]
    pub fn api_key(&self) -> Option<&Secret> {
        self.api.api_key()
    }

    /// How long one HTTP call may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.api.timeout()
    }

    /// Calls the service: any operation, with the answer's request id.
    ///
    /// # Errors
    /// [`Error::Api`] for what the service or the network says, [`Error::Local`] when a local server does not start.
    pub async fn call<O: Operation>(&self, operation: &O) -> Result<Answered<O::Output>, Error> {
        self.api.call(operation).await
    }

    /// As [`call`](Self::call), for whoever counts what answers take: `room` is told how many bytes of this one there will be,
    /// before each part of it is kept, and may refuse with a reason. The call was executed then.
    ///
    /// # Errors
    /// Those of [`call`](Self::call);
    /// [`TransportError::Interrupted`](agb_core::error::TransportError::Interrupted) with that reason.
    pub async fn call_within<O: Operation>(
        &self,
        operation: &O,
        room: &(dyn Fn(usize) -> Result<(), String> + Send + Sync),
    ) -> Result<Answered<O::Output>, Error> {
        self.api.call_within(operation, room).await
    }

    /// As [`call_within`](Self::call_within), for whoever does not trust the service: `room` is also asked for what reading the
    /// answer takes, on top of its bytes, before it is read, and a large answer is read on a thread of its own.
    ///
    /// # Errors
    /// Those of [`call_within`](Self::call_within).
    pub async fn call_apart<O>(&self, operation: &Arc<O>, room: &SharedRoom) -> Result<Answered<O::Output>, Error>
    where
        O: Operation + Send + Sync + 'static,
        O::Output: Send + 'static,
    {
        self.api.call_apart(operation, room).await
    }

    /// Creates a session.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn create(&self, session: CreateSession) -> Result<Session, Error> {
        Ok(self.session(self.call(&session).await?.value))
    }

    /// Gets a session that exists.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`ApiError::NotFound`](agb_core::error::ApiError::NotFound) when there is none with this id.
    pub async fn get(&self, session_id: impl Into<String>) -> Result<Session, Error> {
        let session_id = session_id.into();
        Ok(self.session(self.call(&GetSession { session_id }).await?.value))
    }

    /// A session from what the service said of it. Nothing is sent.
    #[must_use]
    pub fn session(&self, data: SessionData) -> Session {
        Session::new(Arc::clone(&self.api), data)
    }

    /// As [`session`](Self::session), for whoever counts what a session's connection holds of what comes, and what the answer
    /// of a run takes that cannot be streamed: what there is no room for breaks them off with the reason.
    #[must_use]
    pub fn session_within(&self, data: SessionData, rooms: Rooms) -> Session {
        Session::counted(Arc::clone(&self.api), data, Some(rooms))
    }

    /// A page of the account's sessions.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn list(&self, page: &ListSessions) -> Result<SessionPage, Error> {
        Ok(self.call(page).await?.value)
    }

    /// Releases a session and waits until it is gone. One that is gone already is not an error.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn delete(&self, session_id: &str) -> Result<Answered<()>, Error> {
        self.api.delete(session_id).await
    }

    /// What tools an image has.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn tools(&self, image_id: impl Into<String>) -> Result<Vec<Tool>, Error> {
        Ok(self.call(&ListTools { image_id: image_id.into() }).await?.value)
    }
}
