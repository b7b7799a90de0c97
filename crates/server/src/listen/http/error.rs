//! What goes wrong with an HTTP call, and how it is said.

use std::time::Duration;

use agb_client::agb_core::error::{ApiError as ClientError, Refusal};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use thiserror::Error;

use super::answer::{Code, envelope};
use super::file_error::FileError;
use crate::auth::access::{Denied, TooMany};
use crate::budget::OverBudget;
use crate::contexts::{BadUrl, ContextError};
use crate::folders::ArchiveError;
use crate::gateway::{GatewayError, UpstreamError};
use crate::images::UnknownImage;
use crate::links::LinkError;
use crate::run::NoReplay;
use crate::session::Busy;
use crate::session::sessions::CreateError;
use crate::shorten::{MAX_MESSAGE, message};
use crate::tools::{CallError, UnknownTool};
use crate::workspace::PathError;
use crate::workspace::watch::WatchError;

/// What goes wrong with an HTTP call. Each says what happened, to what, and what to do.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    #[error("no API key: send the header \"authorization: Bearer <key>\"")]
    NoKey,
    #[error("the API key is not this server's: compare AGB_API_KEY on both sides")]
    WrongKey,
    #[error("too many calls: come again in {} s, or start the server with a higher --calls-per-second", whole_seconds(*wait))]
    TooOften { wait: Duration },
    #[error("no access token: send the session's token in the header X-Access-Token")]
    NoToken,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("only the session's own token opens this: ask the server that created the session")]
    NotOwner,
    #[error("pages of the origin {0:?} may not use this server: start it with --allow-origin {0}")]
    WrongOrigin(String),
    #[error("this server does not know itself as {0:?}: start it with --public-url, or reach it by its address")]
    WrongHost(String),
    #[error(transparent)]
    TooManyAccesses(#[from] TooMany),
    #[error("session {0:?} not found: it was released, was idle for too long, or never was; create a new one")]
    NoSession(String),
    #[error("session {id:?} not found: its server was lost{at}; create a new one")]
    SessionLost { id: String, at: String },
    #[error(
        "the server that has the session, {address}, cannot be reached from here ({problem}): nothing was done; try again"
    )]
    OwnerAway { address: String, problem: String },
    #[error(
        "the server that has the session, {address}, broke off before its answer ({problem}): it may have done what it was \
         asked for"
    )]
    Interrupted { address: String, problem: String },
    #[error(
        "the server that has the session, {address}, does not answer ({problem}): it may have done what it was asked for, or \
         may do it yet; try again what may be done twice"
    )]
    OwnerSilent { address: String, problem: String },
    #[error(
        "the registry of the cluster cannot be asked now, so nobody knows whose this is: nothing was done; try again"
    )]
    RegistryAway,
    #[error("the server {node} has not told its part of the list ({problem}): try again")]
    ListIncomplete { node: String, problem: String },
    #[error("session {0:?} is being released: create a new one")]
    SessionEnding(String),
    #[error(transparent)]
    NoImage(#[from] UnknownImage),
    #[error(transparent)]
    NoTool(#[from] UnknownTool),
    #[error("{0} is missing: it is required for this call")]
    Missing(&'static str),
    #[error("{name} is not valid: {problem}")]
    Invalid { name: &'static str, problem: String },
    #[error("the body is not a JSON object: {0}")]
    Malformed(String),
    #[error("the body is larger than the {limit} bytes that this server takes")]
    TooLarge { limit: usize },
    #[error("the body did not arrive within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("the body brought less than {per_minute} bytes a minute in {seconds} s of waiting (--context-upload-rate)")]
    TooFew { per_minute: u64, seconds: u64 },
    #[error("{what} is not offered by the local server{hint}")]
    NotOffered { what: &'static str, hint: &'static str },
    #[error("there is no {0} here: compare the path with the documentation")]
    NoRoute(String),
    #[error("{path} does not take {method}: compare the method with the documentation")]
    WrongMethod { method: Method, path: String },
    #[error("this address speaks WebSocket: {0}")]
    NoUpgrade(String),
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    #[error(
        "the call was executed, but with its answer more than {} bytes would be held for clients (--session-buffers, \
         --buffers): look at what it has done before you make it again", .0.most()
    )]
    AnswerOverBudget(OverBudget),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    NotCreated(#[from] CreateError),
    #[error("there is no such run (any more): one that has ended can be resumed for {0} s")]
    NoRun(f64),
    #[error(transparent)]
    NoReplay(#[from] NoReplay),
    #[error("{0}")]
    RunTaken(String),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(
        "context {context:?} is not mounted at {path:?} in this session: mount it by persistenceDataList of createSession"
    )]
    NotMounted { context: String, path: String },
    #[error(transparent)]
    SessionFile(#[from] FileError),
    #[error("the file has changed since its etag was told: read it from the beginning")]
    FileChanged,
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    BadUrl(#[from] BadUrl),
    #[error("{action} the file failed: {problem}")]
    File { action: &'static str, problem: String },
    #[error("{0}: {1}")]
    Refused(String, String),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("the upstream service's answer cannot be read: {0}")]
    Unreadable(String),
    #[error("the API key cannot be passed on: {0}")]
    Gateway(#[from] GatewayError),
    #[error("the call broke off by a defect of agb-server; its log has more under this request id")]
    Defect,
}

impl ApiError {
    /// The error's code and HTTP status.
    pub(crate) fn kind(&self) -> (&'static str, StatusCode) {
        use StatusCode as Status;
        match self {
            Self::NoKey => ("InvalidApiKey.Missing", Status::UNAUTHORIZED),
            Self::WrongKey => ("InvalidApiKey.NotFound", Status::UNAUTHORIZED),
            Self::TooOften { .. } => ("LimitExceeded.Rate", Status::TOO_MANY_REQUESTS),
            Self::NoToken => ("InvalidAccessToken.Missing", Status::UNAUTHORIZED),
            Self::Denied(Denied::Unknown) => ("InvalidAccessToken.NotFound", Status::UNAUTHORIZED),
            Self::Denied(Denied::Expired | Denied::OwnExpired) => ("InvalidAccessToken.Expired", Status::UNAUTHORIZED),
            Self::Denied(Denied::OtherSession) => ("InvalidAccessToken.OtherSession", Status::FORBIDDEN),
            Self::Denied(Denied::OnlyReads) => ("InvalidAccessToken.Scope", Status::FORBIDDEN),
            Self::NotOwner => ("InvalidAccessToken.NotOwner", Status::FORBIDDEN),
            Self::WrongOrigin(_) => ("InvalidOrigin.NotAllowed", Status::FORBIDDEN),
            Self::WrongHost(_) => ("InvalidHost.NotAllowed", Status::FORBIDDEN),
            Self::TooManyAccesses(_) => ("LimitExceeded.Accesses", Status::TOO_MANY_REQUESTS),
            Self::NoSession(_) | Self::SessionLost { .. } => ("InvalidMcpSession.NotFound", Status::BAD_REQUEST),
            Self::OwnerAway { .. } => ("ServiceUnavailable.Owner", Status::SERVICE_UNAVAILABLE),
            Self::Interrupted { .. } | Self::OwnerSilent { .. } => {
                ("ServiceUnavailable.Interrupted", Status::BAD_GATEWAY)
            }
            Self::RegistryAway => ("ServiceUnavailable.Registry", Status::SERVICE_UNAVAILABLE),
            Self::ListIncomplete { .. } => ("ServiceUnavailable.List", Status::SERVICE_UNAVAILABLE),
            Self::SessionEnding(_) => ("InvalidMcpSession.Deleting", Status::CONFLICT),
            Self::NoImage(_) => ("InvalidImage.NotFound", Status::BAD_REQUEST),
            Self::NoTool(UnknownTool::Name(_)) => ("InvalidTool.NotFound", Status::BAD_REQUEST),
            Self::NoTool(UnknownTool::Desktop(_)) => ("NotSupported.Local", Status::NOT_IMPLEMENTED),
            Self::Missing(_) => ("InvalidParameter.Missing", Status::BAD_REQUEST),
            Self::Invalid { .. } => ("InvalidParameter.Value", Status::BAD_REQUEST),
            Self::Malformed(_) => ("InvalidBody.Malformed", Status::BAD_REQUEST),
            Self::TooLarge { .. } => ("InvalidBody.TooLarge", Status::PAYLOAD_TOO_LARGE),
            Self::TooSlow { .. } | Self::TooFew { .. } => ("InvalidBody.TooSlow", Status::REQUEST_TIMEOUT),
            Self::NotOffered { .. } => ("NotSupported.Local", Status::NOT_IMPLEMENTED),
            Self::NoRoute(_) => ("InvalidPath.NotFound", Status::NOT_FOUND),
            Self::WrongMethod { .. } => ("InvalidMethod.NotAllowed", Status::METHOD_NOT_ALLOWED),
            Self::NoUpgrade(_) => ("InvalidUpgrade", Status::BAD_REQUEST),
            Self::Busy(Busy::Ending) => ("InvalidMcpSession.Deleting", Status::CONFLICT),
            Self::Busy(Busy::Stopping) => ("ServiceUnavailable.Ending", Status::SERVICE_UNAVAILABLE),
            Self::OverBudget(_) => ("LimitExceeded.Buffers", Status::TOO_MANY_REQUESTS),
            // Not 429, which clients take for a call that was not executed, and send again.
            Self::AnswerOverBudget(_) | Self::Upstream(UpstreamError::OverBudget(_)) => {
                ("LimitExceeded.Answer", Status::BAD_GATEWAY)
            }
            Self::Busy(Busy::TooManyConnections(_)) => ("LimitExceeded.Connections", Status::TOO_MANY_REQUESTS),
            Self::Busy(_) => ("LimitExceeded.Runs", Status::TOO_MANY_REQUESTS),
            Self::NoRun(_) => ("InvalidRun.NotFound", Status::NOT_FOUND),
            Self::NoReplay(NoReplay::Forgotten { .. } | NoReplay::Missed { .. } | NoReplay::Over) => {
                ("InvalidRun.Forgotten", Status::GONE)
            }
            Self::NoReplay(NoReplay::AddressFull { .. }) => ("LimitExceeded.Observers", Status::TOO_MANY_REQUESTS),
            Self::NoReplay(_) => ("InvalidRun.Position", Status::CONFLICT),
            Self::RunTaken(_) => ("InvalidRun.Taken", Status::CONFLICT),
            Self::Refused(..) => ("InvalidRun.Refused", Status::BAD_REQUEST),
            Self::Upstream(UpstreamError::Client(_)) => ("UpstreamUnavailable", Status::BAD_GATEWAY),
            Self::Unreadable(_) => ("UpstreamUnreadable", Status::BAD_GATEWAY),
            Self::Gateway(_) => ("InvalidApiKey.NotFound", Status::UNAUTHORIZED),
            Self::NotCreated(CreateError::Full { .. }) => ("LimitExceeded.Sessions", Status::TOO_MANY_REQUESTS),
            Self::NotCreated(CreateError::Closed) => ("ServiceUnavailable.Ending", Status::SERVICE_UNAVAILABLE),
            Self::Context(error) => of_context(error),
            Self::SessionFile(error) => of_file(error),
            Self::FileChanged => ("InvalidFile.Changed", Status::PRECONDITION_FAILED),
            Self::Watch(WatchError::NotFound) => ("InvalidWatch.NotFound", Status::NOT_FOUND),
            Self::Watch(WatchError::Position { .. }) => ("InvalidWatch.Position", Status::CONFLICT),
            Self::Watch(WatchError::TooMany { .. } | WatchError::TooManyFolders { .. } | WatchError::System(_)) => {
                ("LimitExceeded.Watches", Status::TOO_MANY_REQUESTS)
            }
            Self::Watch(WatchError::OverBudget(_)) => ("LimitExceeded.Buffers", Status::TOO_MANY_REQUESTS),
            Self::Link(LinkError::Gone) => ("InvalidLink.NotFound", Status::NOT_FOUND),
            Self::Link(LinkError::NotListening(_)) => ("InvalidLink.NotListening", Status::BAD_GATEWAY),
            Self::Link(LinkError::Unreachable { .. }) => ("InvalidLink.Unreachable", Status::BAD_GATEWAY),
            Self::Link(LinkError::NoAnswer { .. }) => ("InvalidLink.NoAnswer", Status::GATEWAY_TIMEOUT),
            Self::Link(LinkError::TooManyConnections(_)) => ("LimitExceeded.Connections", Status::TOO_MANY_REQUESTS),
            Self::Link(LinkError::TooMany(_)) => ("LimitExceeded.Links", Status::TOO_MANY_REQUESTS),
            Self::NotMounted { .. } => ("InvalidContext.NotMounted", Status::BAD_REQUEST),
            Self::BadUrl(BadUrl::Signature) => ("InvalidUrl.Signature", Status::FORBIDDEN),
            Self::BadUrl(BadUrl::Expired) => ("InvalidUrl.Expired", Status::FORBIDDEN),
            Self::File { .. } => ("InternalError", Status::INTERNAL_SERVER_ERROR),
            Self::Defect => ("InternalError", Status::INTERNAL_SERVER_ERROR),
        }
    }

    /// When a call that came to a limit may be sent again, as `Retry-After` says it: in whole seconds, 1 at least.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooOften { wait } => Some(whole_seconds(*wait)),
            // A server that is away is back, or declared lost, some seconds later.
            Self::OwnerAway { .. } | Self::RegistryAway | Self::ListIncomplete { .. } => Some(1),
            // Nobody knows when a place becomes free; a second is when it is worth a look.
            _ => (self.kind().1 == StatusCode::TOO_MANY_REQUESTS).then_some(1),
        }
    }

    /// What the service behind a gateway said, which keeps its code and words.
    fn upstreams_word(&self) -> Option<&Refusal> {
        let Self::Upstream(UpstreamError::Client(agb_client::Error::Api(error))) = self else { return None };
        match error {
            ClientError::Unauthorized(refusal) | ClientError::NotFound(refusal) | ClientError::Refused(refusal) => {
                Some(refusal)
            }
            _ => None,
        }
    }

    /// The system's refusal to do something with a file.
    pub(crate) fn file(action: &'static str, error: &std::io::Error) -> Self {
        Self::File { action, problem: error.to_string() }
    }

    /// A parameter with a wrong value.
    pub(crate) fn invalid(name: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { name, problem: problem.into() }
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Busy(busy) => busy.into(),
            CallError::NoRoom(over) => Self::AnswerOverBudget(over),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (kind, status) = self.kind();
        let mut response = match self.upstreams_word() {
            Some(refusal) => {
                let status = StatusCode::from_u16(refusal.status).ok().filter(|status| status.as_u16() >= 400);
                envelope(status.unwrap_or(StatusCode::BAD_REQUEST), &refusal.code, &refusal.message, None)
            }
            // What it names may be a client's, and of any length.
            None => envelope(status, kind, &message(&self, MAX_MESSAGE), None),
        };
        response.extensions_mut().insert(Code(kind));
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

fn of_file(error: &FileError) -> (&'static str, StatusCode) {
    use StatusCode as Status;
    match error {
        FileError::Path(PathError::Invalid(_) | PathError::TooLong(_)) => {
            ("InvalidParameter.Value", Status::BAD_REQUEST)
        }
        FileError::Path(PathError::ReadOnly(_)) => ("InvalidFile.ReadOnly", Status::FORBIDDEN),
        FileError::Path(PathError::Outside(_)) | FileError::NotFound(_) => ("InvalidFile.NotFound", Status::NOT_FOUND),
        FileError::Kind { .. } => ("InvalidFile.Kind", Status::CONFLICT),
        FileError::Refused(_) => ("InvalidFile.Refused", Status::FORBIDDEN),
        FileError::Exists(_) => ("InvalidFile.Exists", Status::CONFLICT),
        FileError::Full(_) | FileError::Limit(_) => ("InsufficientStorage", Status::INSUFFICIENT_STORAGE),
        FileError::Offset { .. } => ("InvalidUpload.Offset", Status::CONFLICT),
        FileError::Archive(ArchiveError::Changed { .. } | ArchiveError::Exchanged) => {
            ("InvalidFile.Changed", Status::CONFLICT)
        }
        FileError::Archive(_) => ("InvalidFile.Archive", Status::BAD_REQUEST),
        FileError::System { .. } => ("InternalError", Status::INTERNAL_SERVER_ERROR),
    }
}

fn of_context(error: &ContextError) -> (&'static str, StatusCode) {
    use StatusCode as Status;
    match error {
        ContextError::NotFound(_) => ("InvalidContext.NotFound", Status::BAD_REQUEST),
        ContextError::NameTaken(_) => ("InvalidContext.NameTaken", Status::CONFLICT),
        ContextError::Clearing(_) => ("InvalidContext.Clearing", Status::CONFLICT),
        ContextError::InvalidField { .. } | ContextError::InvalidPath { .. } | ContextError::Policy(_) => {
            ("InvalidParameter.Value", Status::BAD_REQUEST)
        }
        ContextError::NoFile { .. } | ContextError::LeadsOut { .. } => {
            ("InvalidContextFile.NotFound", Status::NOT_FOUND)
        }
        ContextError::WrongKind { .. } => ("InvalidContextFile.Kind", Status::CONFLICT),
        ContextError::TooMany { .. } => ("LimitExceeded.Contexts", Status::TOO_MANY_REQUESTS),
        ContextError::TooManyTransfers { .. } => ("LimitExceeded.Transfers", Status::TOO_MANY_REQUESTS),
        ContextError::OverBudget(_) => ("LimitExceeded.Buffers", Status::TOO_MANY_REQUESTS),
        ContextError::Quota { .. } | ContextError::ArchivesTooLarge { .. } | ContextError::UploadTooLarge => {
            ("LimitExceeded.ContextSize", Status::PAYLOAD_TOO_LARGE)
        }
        ContextError::DiskFull | ContextError::SessionFull(_) => ("InsufficientStorage", Status::INSUFFICIENT_STORAGE),
        ContextError::Released => ("InvalidMcpSession.NotFound", Status::BAD_REQUEST),
        ContextError::NoFolder => ("NotSupported.Local", Status::NOT_IMPLEMENTED),
        ContextError::InUse => ("ServiceUnavailable.Contexts", Status::SERVICE_UNAVAILABLE),
        ContextError::System { .. } | ContextError::LeftOut { .. } => ("InternalError", Status::INTERNAL_SERVER_ERROR),
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}
