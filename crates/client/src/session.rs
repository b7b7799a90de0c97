//! A session that exists on the service.

use std::sync::Arc;
use std::time::Duration;

use agb_core::http::Answered;
use agb_core::operations::{
    AccessScope, CallTool, GetDetails, GetLabels, GetSessionInfo, GrantAccess, ListTools, RefreshIdleTime,
    SessionAccess, SessionData, SessionDetails, SessionStatus, SetLabels, Tool, ToolResult, ToolRoute,
};
use agb_core::run::RunRequest;
use agb_core::{Capabilities, CommandRequest, DisconnectReason, Secret, SessionConfig};
use serde_json::{Map, Value};

use crate::answer::{Rooms, SharedRoom};
use crate::api::Api;
use crate::connection::Connection;
use crate::error::Error;
use crate::events::EventLink;
use crate::plain::PlainCall;
use crate::random;
use crate::run::{Retention, Run};
use crate::socket;

/// A session. Cheap to clone; clones share one WebSocket, which is opened at the first run that streams and carries all
/// of them side by side.
///
/// When the last clone and the last [`Run`](crate::Run) are gone the WebSocket is closed. The session itself lives on
/// until it is deleted or the service releases it.
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    api: Arc<Api>,
    data: Arc<SessionData>,
    connection: Option<Arc<Connection>>,
    rooms: Option<Rooms>,
}

impl Session {
    pub(crate) fn new(api: Arc<Api>, data: SessionData) -> Self {
        Self::counted(api, data, None)
    }

    pub(crate) fn counted(api: Arc<Api>, mut data: SessionData, rooms: Option<Rooms>) -> Self {
        if let Some(endpoint) = api.account_endpoint() {
            data.secure(endpoint);
        }
        let connection = SessionConfig::of(&data).map(|mut config| {
            if let Some(tune) = &api.tuning {
                tune(&mut config);
            }
            let limits = api.limits;
            let session = agb_core::Session::new(config, Capabilities::NATIVE, random::seed());
            let (api, network) = (Arc::clone(&api), Arc::clone(&api.http.network));
            let (for_sockets, for_streams) = (rooms.clone(), rooms.clone());
            let room = |rooms: &Option<Rooms>| rooms.as_ref().map(|rooms| rooms());
            Connection::new(
                session,
                Box::new(move |request| {
                    Box::pin(socket::dial(request, (limits, room(&for_sockets)), Arc::clone(&network)))
                }),
                Box::new(move |id, request, signals| {
                    EventLink::open(id, request, &api.http, (limits, room(&for_streams)), signals)
                }),
            )
        });
        Self { inner: Arc::new(Inner { api, data: Arc::new(data), connection, rooms }) }
    }

    pub(crate) fn api(&self) -> &Api {
        &self.inner.api
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.data.session_id
    }

    /// All that the service said of it.
    #[must_use]
    pub fn data(&self) -> &SessionData {
        &self.inner.data
    }

    /// How it is: `RUNNING`, `FINISH`, `DELETING`, `DELETED`.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn status(&self) -> Result<SessionStatus, Error> {
        Ok(self.call(&GetSessionInfo { session_id: self.id().to_owned() }).await?.value)
    }

    /// Counts as a use: the time after which the service releases it begins anew.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn keep_alive(&self) -> Result<(), Error> {
        self.call(&RefreshIdleTime { session_id: self.id().to_owned() }).await?;
        Ok(())
    }

    /// Gives it these labels in place of those it has.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn set_labels<K: Into<String>, V: Into<String>>(
        &self,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), Error> {
        let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self.call(&SetLabels { session_id: self.id().to_owned(), labels }).await?;
        Ok(())
    }

    /// Its labels.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn labels(&self) -> Result<Vec<(String, String)>, Error> {
        Ok(self.call(&GetLabels { session_id: self.id().to_owned() }).await?.value)
    }

    /// Where and how it can be looked at.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn info(&self) -> Result<SessionDetails, Error> {
        Ok(self.call(&GetDetails { session_id: self.id().to_owned() }).await?.value)
    }

    /// Lets somebody into this session for a while without the API key, such as a web page; or with `renew`, the token
    /// of an earlier access, lets that last longer.
    ///
    /// # Errors
    /// What the service or the network says; [`Error::NoAccess`] for a service that gives none.
    pub async fn grant_access(
        &self,
        scope: AccessScope,
        lasts: Option<Duration>,
        renew: Option<Secret>,
    ) -> Result<Answered<SessionAccess>, Error> {
        if self.inner.api.is_guest() {
            return Err(Error::NoKey);
        }
        let operation = GrantAccess::of(self.data(), scope, lasts, renew).ok_or(Error::NoAccess)?;
        self.call(&operation).await
    }

    /// What tools it has: those it was created with, else those of its image.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn tools(&self) -> Result<Vec<Tool>, Error> {
        Ok(self.tools_answered().await?.value)
    }

    /// [`tools`](Self::tools) with the answer's request id, empty where nothing was asked.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn tools_answered(&self) -> Result<Answered<Vec<Tool>>, Error> {
        let data = self.data();
        match &data.image_id {
            Some(image_id) if data.tools.is_empty() => self.call(&ListTools { image_id: image_id.clone() }).await,
            _ => Ok(Answered { value: data.tools.clone(), request_id: String::new() }),
        }
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// What the service or the network says. A tool that fails is an answer: see [`ToolResult::is_error`].
    pub async fn call_tool(&self, name: &str, arguments: Map<String, Value>) -> Result<Answered<ToolResult>, Error> {
        let by_link = self.inner.api.is_guest().then(|| ToolRoute::by_link(self.data(), name, random::id())).flatten();
        let route = by_link.unwrap_or_else(|| ToolRoute::choose(self.data(), name, random::id()));
        self.call(&CallTool { name: name.to_owned(), arguments, route }).await
    }

    /// Calls the service: any operation.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn call<O: agb_core::http::Operation>(&self, operation: &O) -> Result<Answered<O::Output>, Error> {
        self.inner.api.call(operation).await
    }

    /// As [`call`](Self::call), for whoever counts what answers take: `room` is told how many bytes of this one there will be,
    /// before each part of it is kept, and may refuse with a reason. The call was executed then.
    ///
    /// # Errors
    /// Those of [`call`](Self::call);
    /// [`TransportError::Interrupted`](agb_core::error::TransportError::Interrupted) with that reason.
    pub async fn call_within<O: agb_core::http::Operation>(
        &self,
        operation: &O,
        room: &(dyn Fn(usize) -> Result<(), String> + Send + Sync),
    ) -> Result<Answered<O::Output>, Error> {
        self.inner.api.call_within(operation, room).await
    }

    /// As [`call_within`](Self::call_within), for whoever does not trust the service: `room` is also asked for what reading the
    /// answer takes, on top of its bytes, before it is read, and a large answer is read on a thread of its own.
    ///
    /// # Errors
    /// Those of [`call_within`](Self::call_within).
    pub async fn call_apart<O>(&self, operation: &Arc<O>, room: &SharedRoom) -> Result<Answered<O::Output>, Error>
    where
        O: agb_core::http::Operation + Send + Sync + 'static,
        O::Output: Send + 'static,
    {
        self.inner.api.call_apart(operation, room).await
    }

    /// Releases it and waits until it is gone. Runs that are going on end with
    /// [`RunError::Closed`](agb_core::RunError::Closed). One that is gone already is not an error.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn delete(&self) -> Result<Answered<()>, Error> {
        let answered = self.inner.api.delete(self.id()).await?;
        self.close();
        Ok(answered)
    }

    /// Closes the WebSocket for good, here and for all clones; the session itself lives on.
    pub fn close(&self) {
        if let Some(connection) = &self.inner.connection {
            connection.close();
        }
    }

    pub(crate) fn start(&self, request: RunRequest, retention: Retention) -> Result<Run, Error> {
        // A call carries no input: what was written for the run would be lost.
        let takes_input = request.stdin && self.data().extensions.iter().any(|name| name == "stdin");
        let Inner { api, data, connection, rooms } = &*self.inner;
        let room = rooms.as_ref().map(|rooms| rooms());
        let call = (!takes_input).then(|| PlainCall::new(api, data, request.clone(), retention.stamps, room));
        match (connection, call) {
            (Some(connection), call) => {
                let (handle, invocation) = connection.start(request, retention.stamps)?;
                Ok(Run::new(Some(handle), invocation, retention, call))
            }
            (None, Some(mut call)) => {
                call.begin(DisconnectReason::Unreached("the service gave the session no wsUrl".into()));
                Ok(Run::new(None, random::id(), retention, Some(call)))
            }
            (None, None) => Err(Error::NoStreaming),
        }
    }

    pub(crate) fn start_command(&self, request: CommandRequest, retention: Retention) -> Result<Run, Error> {
        let (handle, invocation) = self.connection()?.start_command(request, retention.stamps)?;
        Ok(Run::new(Some(handle), invocation, retention, None))
    }

    pub(crate) fn attach(&self, id: &str, after: u64, goes_on: bool, retention: Retention) -> Result<Run, Error> {
        let handle = self.connection()?.attach(id, after, goes_on, retention.stamps)?;
        Ok(Run::new(Some(handle), id.to_owned(), retention, None))
    }

    fn connection(&self) -> Result<&Arc<Connection>, Error> {
        self.inner.connection.as_ref().ok_or(Error::NoStreaming)
    }

    /// Whether a run that streams is found again after a lost connection.
    pub(crate) fn keeps_runs(&self) -> bool {
        self.inner.connection.is_some() && self.data().extensions.iter().any(|name| name == "resume")
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.data.fmt(f)
    }
}
