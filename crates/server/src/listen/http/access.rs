//! `POST /link/{session}/browserAccess`: lets a page into a session without the API key.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agb_protocol::{AccessScope, DEFAULT_TARGET};
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::json;

use super::Shared;
use super::answer::Answer;
use super::entry::Entry;
use super::error::ApiError;
use super::params::Params;
use super::sessions;
use crate::auth::access::Denied;
use crate::time_text;

/// Takes `scope` (`run`, the default, or `read`), `lastsS` and `renew`, the token of an earlier one. Only the session's
/// own token opens this: a page cannot prolong its own stay.
pub(super) async fn give(
    State(shared): State<Arc<Shared>>,
    Extension(Entry { session, .. }): Extension<Entry>,
    headers: HeaderMap,
    params: Params,
) -> Result<Answer, ApiError> {
    let scope = match params.text("scope")? {
        None => AccessScope::default(),
        Some(name) => {
            AccessScope::parse(&name).ok_or_else(|| ApiError::invalid("scope", "it must be \"run\" or \"read\""))?
        }
    };
    let lasts = lasts(&shared, params.number("lastsS")?)?;
    let address = sessions::address(&shared, &headers)?;
    let (token, scope) = match params.text("renew")? {
        None => (
            shared.accesses.give(session.id(), scope, lasts, shared.config.limits.max_accesses)?.expose().to_owned(),
            scope,
        ),
        Some(token) => {
            let scope = shared.accesses.renew(session.id(), &token, lasts).map_err(|denied| match denied {
                Denied::Unknown => ApiError::invalid("renew", "it is not an access of this server; ask for a new one"),
                denied => denied.into(),
            })?;
            (token, scope)
        }
    };
    session.touch();
    let extensions = session.extensions().iter().filter(|name| **name != AccessScope::EXTENSION).collect::<Vec<_>>();
    Ok(Answer::new(json!({
        "sessionId": session.id(),
        "wsUrl": address.ws(&format!("/ws/{}", session.id())),
        "linkUrl": address.http(&sessions::link_path(&session)),
        "token": token,
        "expiresAt": time_text::to_the_second(SystemTime::now() + lasts),
        "scope": scope.as_str(),
        "extensions": extensions,
        "target": DEFAULT_TARGET,
    })))
}

fn lasts(shared: &Shared, asked: Option<u64>) -> Result<Duration, ApiError> {
    let limits = &shared.config.limits;
    let Some(seconds) = asked else { return Ok(limits.access_time) };
    match Duration::from_secs(seconds) {
        lasts if !lasts.is_zero() && lasts <= limits.max_access_time => Ok(lasts),
        _ => {
            let most = limits.max_access_time.as_secs();
            Err(ApiError::invalid("lastsS", format!("it must be from 1 to {most} seconds")))
        }
    }
}
