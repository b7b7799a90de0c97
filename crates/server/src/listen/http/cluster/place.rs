//! Creates a session where there is room.
//!
//! The server that a client has called chooses, makes the session's id, and asks the server that it chose for a session of
//! that id. So a question whose answer was lost is asked again without a second session, and a session of which nobody can
//! say whether it was made is released by its id.

use std::time::Duration;

use agb_protocol::fields::{Field, Fields};
use agb_sandbox::Level;
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};

use super::super::Shared;
use super::super::answer::Code;
use super::super::error::ApiError;
use super::super::params::{Params, ParsedParams};
use super::super::proxy::remove_hop_by_hop;
use super::send::{given_up, marked, prepare, refusal, send, set_hop};
use super::{Context, is_passed_on};
use crate::cluster::choose::{Capacity, Choice, choose};
use crate::cluster::{Incarnation, NoAnswer, NodeState, Peer, Standing};
use crate::random;
use crate::session::sessions::CreateError;

/// The id of the session that a server asks another one for.
const PLACE: HeaderName = HeaderName::from_static("x-agb-place");

/// Servers that are asked at most: each may have filled up within the seconds since it last said how full it is.
const MOST_TRIES: usize = 3;
/// An answer that describes a session has a few KiB, its tools included.
const MOST_ANSWER: usize = 4 << 20;

/// What came of asking one server.
enum Asked {
    Answered(Response),
    /// It takes none now: full, ending, or not reached.
    Refused(Response),
    /// Nobody can say whether there is a session.
    Lost(ApiError),
}

/// `POST /mcp/createSession` without a session's id: at this server or another one, or at `only` that one, which has what
/// the session mounts.
pub(super) async fn create(
    context: &Context,
    (parts, body, params): (Parts, Bytes, Params),
    only: Option<Peer>,
    next: Next,
) -> Result<Response, ApiError> {
    let asked = params.text("imageId")?;
    let image = context.shared.config.images.find(asked.as_deref());
    let image = image.map_or_else(|_| asked.unwrap_or_default(), |image| image.name().to_owned());
    let is_free = only.is_none();
    let mut here = (is_free && takes_sessions(context)).then(|| capacity_here(context));
    let mut others = only.map_or_else(|| candidates(context, &image), |peer| vec![peer]);
    let mut params = Some(params);
    let (mut refused, mut tried) = (None, Vec::new());
    for _ in 0..MOST_TRIES {
        let capacities: Vec<Capacity> = others.iter().map(capacity_of).collect();
        let placement = context.cluster.settings().placement;
        let below = |count: usize| random::below(u32::try_from(count).unwrap_or(u32::MAX)) as usize;
        let (place, asked) = match choose(here, &capacities, placement, below) {
            None => break,
            Some(Choice::Here) => {
                here = None;
                let Some(params) = params.take() else { continue };
                ("here", ask_here(parts.clone(), params, next.clone()).await)
            }
            Some(Choice::Other(index)) => {
                let peer = others.swap_remove(index);
                let asked = ask_other(context, &peer, &parts, &body).await;
                tried.push(peer.inc);
                if may_have_gone(context, &peer, &asked) {
                    context.cluster.refresh().await;
                    others = if is_free { candidates(context, &image) } else { others };
                    others.retain(|peer| !tried.contains(&peer.inc));
                }
                ("other", asked)
            }
        };
        let (outcome, answer) = match asked {
            Asked::Answered(answer) => ("answered", Some(Ok(answer))),
            Asked::Lost(error) => ("lost", Some(Err(error))),
            Asked::Refused(answer) => {
                refused = Some(answer);
                ("refused", None)
            }
        };
        context.shared.metrics.placed(place, outcome);
        if let Some(answer) = answer {
            return answer;
        }
    }
    Ok(match (refused, context.cluster.standing()) {
        (Some(answer), _) if answer.status() == StatusCode::TOO_MANY_REQUESTS => full(context).into_response(),
        (Some(answer), _) => answer,
        (None, Standing::Good | Standing::Draining) => full(context).into_response(),
        (None, _) => ApiError::RegistryAway.into_response(),
    })
}

/// Whether the registry is to be asked anew which servers there are, since this one did not take the session: at its
/// address another process may have been started, or none may be left. A full server is what it was, and a registry that
/// is away is not waited for.
fn may_have_gone(context: &Context, peer: &Peer, asked: &Asked) -> bool {
    let status = match asked {
        Asked::Answered(_) => return false,
        Asked::Refused(answer) => Some(answer.status()),
        Asked::Lost(_) => None,
    };
    context.cluster.has_refused(peer.inc);
    let can_ask = matches!(context.cluster.standing(), Standing::Good | Standing::Draining);
    can_ask && status == Some(StatusCode::SERVICE_UNAVAILABLE)
}

/// The id that another server asks for, if one does.
///
/// # Errors
/// When it names another server, or this one takes no session now.
pub(in super::super) fn asked_id(shared: &Shared, headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(cluster) = shared.cluster.as_ref().filter(|_| is_passed_on(headers)) else { return Ok(None) };
    if cluster.standing() == Standing::Doubtful {
        return Err(ApiError::RegistryAway);
    }
    let Some(id) = headers.get(PLACE) else { return Ok(None) };
    let id = id.to_str().ok().filter(|id| Incarnation::of_session(id) == Some(cluster.incarnation()));
    // The question was for a process that has ended: it has made nothing, and this one has not been chosen.
    let id = id.ok_or(CreateError::Closed)?;
    Ok(Some(id.to_owned()))
}

async fn ask_here(parts: Parts, params: Params, next: Next) -> Asked {
    let answer = next.run(ParsedParams::put_into(parts, params)).await;
    let code = answer.extensions().get::<Code>().map(|Code(code)| *code);
    if matches!(code, Some("LimitExceeded.Sessions" | "ServiceUnavailable.Ending")) {
        Asked::Refused(answer)
    } else {
        Asked::Answered(answer)
    }
}

async fn ask_other(context: &Context, peer: &Peer, parts: &Parts, body: &Bytes) -> Asked {
    let id = peer.inc.session_id();
    let ask = || async {
        let mut parts = parts.clone();
        parts.extensions.clear();
        prepare(context, &mut parts, None);
        parts.headers.insert(PLACE, HeaderValue::from_str(&id).expect("it is hexadecimal"));
        let request = Request::from_parts(parts, Body::from(body.clone()));
        let answer = send(context, (peer.inc, &peer.addr), request).await?;
        let (head, body) = answer.into_parts();
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| NoAnswer::Interrupted(error.to_string());
        let body = tokio::select! {
            body = Limited::new(body, MOST_ANSWER).collect() => body.map_err(broken)?,
            reason = given_up(context, peer.inc, &peer.addr) => return Err(reason),
        };
        Ok((head, body.to_bytes()))
    };
    let mut answer = ask().await;
    if matches!(answer, Err(NoAnswer::Interrupted(_))) {
        answer = ask().await; // the same id: a session that is there is described again
    }
    match answer {
        Ok((mut head, body)) => {
            remove_hop_by_hop(&mut head.headers, None);
            let is_refusal = is_refusal(head.status, &body);
            if head.status.is_success() {
                context.cluster.placed(peer.inc);
            }
            let answer = marked(Response::from_parts(head, Body::from(body)));
            if is_refusal { Asked::Refused(answer) } else { Asked::Answered(answer) }
        }
        Err(reason @ NoAnswer::Unreachable(_)) => Asked::Refused(refusal(&peer.addr, reason).into_response()),
        Err(reason @ (NoAnswer::Interrupted(_) | NoAnswer::Silent(_))) => {
            tokio::spawn(release(context.clone(), peer.clone(), parts.headers.clone(), id));
            Asked::Lost(refusal(&peer.addr, reason))
        }
    }
}

/// Releases a session of which nobody will hear, if there is one.
async fn release(context: Context, peer: Peer, headers: HeaderMap, id: String) {
    const PAUSES: [u64; 4] = [0, 1, 3, 9];
    for pause in PAUSES {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let mut request = Request::new(Body::from(serde_json::json!({ "sessionId": id }).to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/mcp/releaseSession");
        for name in [header::AUTHORIZATION, header::HOST] {
            if let Some(value) = headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        set_hop(&context, request.headers_mut());
        // Released, or not there: either is an answer. A server that was lost has no session any more.
        match send(&context, (peer.inc, &peer.addr), request).await {
            Ok(answer) if answer.status() != StatusCode::TOO_MANY_REQUESTS => return,
            _ => {}
        }
    }
    tracing::warn!(session = id, node = peer.name, "a session that may have been created could not be released");
}

/// Whether a server says that it takes no session now. What is wrong with the call itself is everywhere wrong.
fn is_refusal(status: StatusCode, body: &[u8]) -> bool {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => true,
        StatusCode::TOO_MANY_REQUESTS => {
            let envelope = std::str::from_utf8(body).ok().and_then(Fields::parse);
            let code = envelope.as_ref().and_then(|envelope| envelope.get("code"));
            matches!(code, Some(Field::Text(code)) if code == "LimitExceeded.Sessions")
        }
        _ => false,
    }
}

fn takes_sessions(context: &Context) -> bool {
    context.cluster.standing() == Standing::Good && context.shared.sessions.is_open()
}

fn capacity_here(context: &Context) -> Capacity {
    let shared = &context.shared;
    // What is warm here matters between others only: this server is compared by its places.
    let (sessions, max) = (shared.sessions.count(), shared.config.limits.max_sessions);
    Capacity { sessions, max, avoid: false, is_warm: false }
}

/// The other servers that have the image, and isolate programs as well as this one at least: a client gets what the server
/// that it called promises.
fn candidates(context: &Context, image: &str) -> Vec<Peer> {
    let own = context.shared.sessions.level();
    let isolates = |peer: &Peer| peer.load.level.parse::<Level>().is_ok_and(|level| level <= own);
    let has_image = |peer: &Peer| peer.load.images.iter().any(|name| name == image);
    let peers = context.cluster.peers().into_iter();
    peers.filter(|peer| peer.state == NodeState::Up && has_image(peer) && isolates(peer)).collect()
}

fn capacity_of(peer: &Peer) -> Capacity {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Capacity {
        sessions: size(peer.sessions),
        max: size(peer.load.max),
        avoid: peer.avoid,
        is_warm: peer.load.warm.values().any(|count| *count > 0),
    }
}

/// What a client hears where every server that was asked is full.
fn full(context: &Context) -> ApiError {
    let others = context.cluster.peers();
    let others = others.iter().filter(|peer| peer.state == NodeState::Up).map(|peer| capacity_of(peer).max);
    let limit = others.fold(context.shared.config.limits.max_sessions, usize::saturating_add);
    CreateError::Full { limit }.into()
}
