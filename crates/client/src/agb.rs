//! An account on an endpoint.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agb_core::Secret;
use agb_core::config::{self, BaseUrl, Endpoint, Settings};
use agb_core::error::ApiError;
use agb_core::http::{Answered, Operation};
use agb_core::operations::{
    CreateSession, DeleteSession, DeleteStep, GetSession, ListSessions, ListTools, SessionAccess, SessionData,
    SessionPage, Tool,
};

use crate::clock::Clock;
use crate::error::Error;
use crate::http::Http;
use crate::local;
use crate::options::{Options, Tuning};
use crate::session::Session;
use crate::socket::SocketLimits;

/// One account on one endpoint. Cheap to clone; clones share their HTTP connections.
///
/// To give a call up, drop its future: nothing more is sent, and its connection is closed. What was sent by then the
/// service may carry out; a session that nobody heard of is released when it has been idle for long enough.
#[derive(Clone, Debug)]
pub struct Agb {
    api: Arc<Api>,
}

/// What sessions and their account share.
pub(crate) struct Api {
    settings: Settings,
    local_program: Option<PathBuf>,
    pub(crate) http: Http,
    pub(crate) limits: SocketLimits,
    pub(crate) tuning: Option<Tuning>,
    /// There is no key: only a session's own link may be called.
    is_guest: bool,
}

impl Agb {
    /// An account with these settings. Nothing is sent yet, and a local server is not started yet.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::EnvFile`] for settings that cannot be used; [`Error::Local`] when the endpoint is
    /// `local` and there is no server program.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let (settings, local_program) = options.resolve()?;
        let api = Api {
            settings,
            local_program,
            http: Http::new(options.retry_wait, options.network()?),
            limits: options.limits,
            tuning: options.tuning.clone(),
            is_guest: false,
        };
        Ok(Self { api: Arc::new(api) })
    }

    /// The session that somebody with the API key gave access to ([`Session::grant_access`]). It runs code and calls
    /// tools over its own link; whatever needs the key is [`Error::NoKey`]. Nothing is sent.
    #[must_use]
    pub fn attach(access: SessionAccess) -> Session {
        Self::attach_with(access, &Options::new()).expect("the default network can be used")
    }

    /// [`attach`](Self::attach) with the proxy, the certificates and the limits of these options; what else they say is
    /// of no use here.
    ///
    /// # Errors
    /// [`Error::Network`] for a proxy or a certificate that cannot be used.
    pub fn attach_with(access: SessionAccess, options: &Options) -> Result<Session, Error> {
        // A placeholder where the settings want a key: it is never sent.
        let given = config::Options {
            api_key: Some(Secret::from("none")),
            endpoint: Some("attached.invalid".to_owned()),
            timeout_ms: None,
        };
        let settings = Settings::resolve::<&str, &str>(&given, &[], None).expect("these settings can be used");
        let http = Http::new(options.retry_wait, options.network()?);
        let (limits, tuning) = (options.limits, options.tuning.clone());
        let api = Api { settings, local_program: None, http, limits, tuning, is_guest: true };
        Ok(Session::new(Arc::new(api), access.into_session()))
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
        match (&self.api.settings.endpoint, &self.api.local_program) {
            (Endpoint::Remote(base), _) => Some(base.clone()),
            (Endpoint::Local, Some(program)) => local::address(program),
            (Endpoint::Local, None) => None,
        }
    }

    /// How long one HTTP call may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.api.settings.timeout
    }

    /// Calls the service: any operation, with the answer's request id.
    ///
    /// # Errors
    /// [`Error::Api`] for what the service or the network says, [`Error::Local`] when a local server does not start.
    pub async fn call<O: Operation>(&self, operation: &O) -> Result<Answered<O::Output>, Error> {
        self.api.call(operation).await
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
    /// As [`call`](Self::call); [`ApiError::NotFound`] when there is none with this id.
    pub async fn get(&self, session_id: impl Into<String>) -> Result<Session, Error> {
        let session_id = session_id.into();
        Ok(self.session(self.call(&GetSession { session_id }).await?.value))
    }

    /// A session from what the service said of it. Nothing is sent.
    #[must_use]
    pub fn session(&self, data: SessionData) -> Session {
        Session::new(Arc::clone(&self.api), data)
    }

    /// A page of the account's sessions.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn list(&self, page: &ListSessions) -> Result<SessionPage, Error> {
        Ok(self.call(page).await?.value)
    }

    /// Releases a session and waits until it is gone. One that is gone already is no error.
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

impl Api {
    /// The service's endpoint; `None` for whoever was let into a session, and for a local server.
    pub(crate) fn endpoint(&self) -> Option<&BaseUrl> {
        self.settings.endpoint.base_url().filter(|_| !self.is_guest)
    }

    pub(crate) const fn is_guest(&self) -> bool {
        self.is_guest
    }

    pub(crate) async fn call<O: Operation>(&self, operation: &O) -> Result<Answered<O::Output>, Error> {
        if self.is_guest && operation.request().path.starts_with('/') {
            return Err(Error::NoKey);
        }
        let (base, key) = self.target().await?;
        Ok(self.http.call(operation, &base, &key, self.settings.timeout).await?)
    }

    async fn target(&self) -> Result<(BaseUrl, Secret), Error> {
        match (&self.settings.endpoint, &self.local_program) {
            (Endpoint::Local, Some(program)) => {
                let server = local::server(program).await?;
                Ok((server.url, server.key))
            }
            (Endpoint::Local, None) => Err(local::LocalError::NotFound { program: "agb-server".into() }.into()),
            (Endpoint::Remote(base), _) => Ok((base.clone(), self.settings.api_key.clone().unwrap_or_default())),
        }
    }

    /// Carries out the core's [`DeleteSession`].
    pub(crate) async fn delete(&self, session_id: &str) -> Result<Answered<()>, Error> {
        let clock = Clock::start();
        let mut delete = DeleteSession::new(session_id);
        loop {
            match delete.next(clock.now()) {
                DeleteStep::Release(operation) => {
                    let outcome = api_outcome(self.call(&operation).await)?;
                    delete.released(clock.now(), outcome);
                }
                DeleteStep::Look(operation) => {
                    let outcome = api_outcome(self.call(&operation).await)?;
                    delete.looked(clock.now(), &outcome);
                }
                DeleteStep::WaitUntil(at) => clock.wait_until(at).await,
                DeleteStep::Done(outcome) => return Ok(outcome?),
            }
        }
    }
}

/// What the service or the network said, apart from what kept a call from being made.
fn api_outcome<T>(outcome: Result<T, Error>) -> Result<Result<T, ApiError>, Error> {
    match outcome {
        Err(Error::Api(error)) => Ok(Err(error)),
        other => other.map(Ok),
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("settings", &self.settings).field("limits", &self.limits).finish_non_exhaustive()
    }
}
