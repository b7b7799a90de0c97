//! Who comes into a session: the token is checked before anything of a call but its head is read.
//!
//! One layer stands before all of `/link`. It checks the token and what the call needs, and ends the call, and the answer
//! that is on its way, when the access does, and when the session has gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use agb_protocol::AccessScope;
use axum::body::{Body, Bytes};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::charged::charge;
use super::error::ApiError;
use crate::auth::access::{AccessGrant, Denied};
use crate::auth::tokens::Verdict;
use crate::cluster::Incarnation;
use crate::listen::websocket::LAST_WORDS;
use crate::session::{Session, Stage, gone};

/// Before a token among the sub-protocols that are offered.
const TOKEN_PROTOCOL: &str = "agb.token.";

/// A session, and what the caller may do in it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) session: Arc<Session>,
    pub(super) grant: AccessGrant,
}

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// An access of this scope, or the session's own token.
    Scope(AccessScope),
    /// The session's own token.
    Owner,
}

impl Needs {
    fn check(self, grant: &AccessGrant) -> Result<(), ApiError> {
        match self {
            Self::Scope(AccessScope::Read) => Ok(()),
            Self::Scope(AccessScope::Run) => Ok(grant.may_run()?),
            Self::Owner => {
                if grant.is_owner() {
                    Ok(())
                } else {
                    Err(ApiError::NotOwner)
                }
            }
        }
    }
}

/// The layer before `/link`: leaves the [`Entry`] with the request.
pub(super) async fn admit(
    State((shared, needs)): State<(Arc<Shared>, Needs)>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let entry = path.map_err(|_| ApiError::NoRoute("such path".to_owned())).and_then(|path| {
        let id = path.iter().find(|(name, _)| *name == "session").map(|(_, id)| id.to_owned()).unwrap_or_default();
        let entry = enter(&shared, &id, request.headers())?;
        needs.check(&entry.grant)?;
        Ok(entry)
    });
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => return error.into_response(),
    };
    let is_owner = entry.grant.is_owner();
    let mut over = Box::pin(over(entry.grant.clone(), &entry.session));
    let budget = Arc::clone(entry.session.budget());
    request.extensions_mut().insert(entry);
    let response = tokio::select! {
        biased;
        why = &mut over => return why.into_response(),
        response = next.run(request) => response,
    };
    let response = match charge(response, &budget) {
        Ok(response) => response,
        Err(error) => return error.into_response(),
    };
    if is_owner && response.body().size_hint().exact().is_some_and(|size| size <= SOON_GONE) {
        return response;
    }
    response.map(|body| Body::new(UntilOver { body: body.boxed_unsync(), over, is_over: false }))
}

/// An answer of the session's owner that is not longer is out, or in the system's buffers, before anything ends. 64 KiB.
const SOON_GONE: u64 = 64 << 10;

/// Comes when a call may not go on: its access has ended, or its session has gone and everything was said.
fn over(mut grant: AccessGrant, session: &Session) -> impl Future<Output = ApiError> + Send + use<> {
    let (id, mut stage, gone_at) = (session.id().to_owned(), session.watch_stage(), session.gone_at());
    async move {
        let released = async {
            gone(&mut stage).await;
            // Nobody asks for this while the client takes nothing: the time counts from the session's end.
            let at = gone_at.get().copied().unwrap_or_else(Instant::now);
            sleep_until(at + LAST_WORDS).await;
        };
        tokio::select! {
            () = grant.expired() => Denied::Expired.into(),
            () = released => ApiError::NoSession(id),
        }
    }
}

/// Finds the session and checks the token. Who has never had a token for the session does not learn whether it exists.
pub(super) fn enter(shared: &Shared, id: &str, headers: &HeaderMap) -> Result<Entry, ApiError> {
    let token = token_of(shared, headers)?;
    let session = match shared.find(id) {
        Ok(session) => session,
        Err(gone) => return Err(without_session(shared, id, token, gone)),
    };
    let grant = match session.check_token(token) {
        Verdict::Good => AccessGrant::of_owner(),
        Verdict::Expired => return Err(Denied::OwnExpired.into()),
        Verdict::Unknown => shared.accesses.check(id, token)?,
    };
    session.call(&grant).map_err(|wait| ApiError::TooOften { wait })?;
    if session.stage() != Stage::Running {
        return Err(ApiError::SessionEnding(id.to_owned()));
    }
    Ok(Entry { session, grant })
}

/// The token that a call came with.
pub(super) fn token_of<'a>(shared: &Shared, headers: &'a HeaderMap) -> Result<&'a str, ApiError> {
    match headers.get("x-access-token") {
        Some(token) => token.to_str().map_err(|_| Denied::Unknown.into()),
        None if shared.config.plain_wire => Err(ApiError::NoToken),
        None => offered(headers).find_map(|protocol| protocol.strip_prefix(TOKEN_PROTOCOL)).ok_or(ApiError::NoToken),
    }
}

/// Whose token was given out hears that there is no such session (any more); a made-up one what it hears of all sessions.
///
/// Where the server of the session was lost, or the id is not one that a server of this cluster makes, nobody can tell the
/// two apart any more, and there is nothing left to protect: every holder of the id hears it.
fn without_session(shared: &Shared, id: &str, token: &str, gone: ApiError) -> ApiError {
    let is_nobodys = shared.cluster.is_some() && Incarnation::of_session(id).is_none();
    if is_nobodys || matches!(gone, ApiError::SessionLost { .. }) {
        return gone;
    }
    let is_made_up =
        shared.accesses.check(id, token).err() == Some(Denied::Unknown) && !shared.sessions.had_token(id, token);
    if is_made_up { Denied::Unknown.into() } else { gone }
}

/// The sub-protocols that a WebSocket's client offers.
pub(super) fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim)
}

/// An answer that ends with its caller's access and with its session, however much of it is ready.
struct UntilOver {
    body: UnsyncBoxBody<Bytes, axum::Error>,
    over: Pin<Box<dyn Future<Output = ApiError> + Send>>,
    is_over: bool,
}

impl HttpBody for UntilOver {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_over = self.is_over || self.over.as_mut().poll(context).is_ready();
        if self.is_over {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
