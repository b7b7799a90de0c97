//! Calls to the service: the settings, the network and the limits that an account and its sessions share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agb_core::Secret;
use agb_core::config::{self, BaseUrl, Endpoint, Settings};
use agb_core::error::ApiError;
use agb_core::http::{Answered, Apart, Operation, Reading};
use agb_core::operations::{DeleteSession, DeleteStep};

use crate::answer::{self, Room, SharedRoom};
use crate::clock::Clock;
use crate::error::Error;
use crate::http::Http;
use crate::local;
use crate::options::{Options, Tuning};
use crate::socket::SocketLimits;

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

impl Api {
    pub(crate) fn of_account(options: &Options) -> Result<Self, Error> {
        let (settings, local_program) = options.resolve()?;
        Self::new(settings, local_program, options, false)
    }

    /// For whoever was let into a session. Of the options only the network and the limits are used.
    pub(crate) fn of_guest(options: &Options) -> Result<Self, Error> {
        // A placeholder where the settings want a key: it is never sent.
        let given = config::Options {
            api_key: Some(Secret::from("none")),
            endpoint: Some("attached.invalid".to_owned()),
            timeout_ms: options.in_code.timeout_ms,
        };
        let settings = Settings::resolve::<&str, &str>(&given, &[], None)?;
        Self::new(settings, None, options, true)
    }

    fn new(
        settings: Settings,
        local_program: Option<PathBuf>,
        options: &Options,
        is_guest: bool,
    ) -> Result<Self, Error> {
        let http = Http::new(options.retry_wait, options.network()?);
        let (limits, tuning) = (options.limits, options.tuning.clone());
        Ok(Self { settings, local_program, http, limits, tuning, is_guest })
    }

    /// Base URL of the service; `None` while a local server has not been started.
    pub(crate) fn endpoint(&self) -> Option<BaseUrl> {
        match (&self.settings.endpoint, &self.local_program) {
            (Endpoint::Remote(base), _) => Some(base.clone()),
            (Endpoint::Local, Some(program)) => local::address(program),
            (Endpoint::Local, None) => None,
        }
    }

    /// The endpoint that a session's own addresses must be as secure as; `None` for whoever was let into a session, and
    /// for a local server.
    pub(crate) fn account_endpoint(&self) -> Option<&BaseUrl> {
        self.settings.endpoint.base_url().filter(|_| !self.is_guest)
    }

    pub(crate) const fn api_key(&self) -> Option<&Secret> {
        self.settings.api_key.as_ref()
    }

    /// How long one HTTP call may take.
    pub(crate) const fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    pub(crate) const fn is_guest(&self) -> bool {
        self.is_guest
    }

    pub(crate) async fn call<O: Operation>(&self, operation: &O) -> Result<Answered<O::Output>, Error> {
        self.call_within(operation, &|_| Ok(())).await
    }

    pub(crate) async fn call_within<O: Operation>(
        &self,
        operation: &O,
        room: Room<'_>,
    ) -> Result<Answered<O::Output>, Error> {
        let (base, key) = self.target_of(operation).await?;
        Ok(self.http.call(operation, &base, &key, self.timeout(), room).await?)
    }

    /// As [`call_within`](Self::call_within), but what reading the answer takes is counted too, and a large answer is read on
    /// a thread of its own.
    pub(crate) async fn call_apart<O>(
        &self,
        operation: &Arc<O>,
        room: &SharedRoom,
    ) -> Result<Answered<O::Output>, Error>
    where
        O: Operation + Send + Sync + 'static,
        O::Output: Send + 'static,
    {
        let (base, key) = self.target_of(&**operation).await?;
        let answered = self.http.call(&Apart(&**operation), &base, &key, self.timeout(), &**room).await?;
        match answered.value {
            Reading::Done(value) => Ok(Answered { value, request_id: answered.request_id }),
            Reading::Left(response) => {
                Ok(answer::read_apart(Arc::clone(operation), response, key, Arc::clone(room)).await?)
            }
        }
    }

    /// Where a call goes, and with which key; none where there is no key for it.
    async fn target_of(&self, operation: &impl Operation) -> Result<(BaseUrl, Secret), Error> {
        if self.is_guest && operation.request().path.starts_with('/') {
            return Err(Error::NoKey);
        }
        self.target().await
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
pub(crate) fn api_outcome<T>(outcome: Result<T, Error>) -> Result<Result<T, ApiError>, Error> {
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
