//! Passes a call on to the server that owns its session, and the answer back, as both come.
//!
//! The client's own credentials go with it: the owner checks them as it checks those of a call that came to it directly,
//! and no server trusts another one. The owner takes the call from the caller's rate; this server only looks whether there
//! is a credential at all.
//!
//! Nothing of a session is ever answered "not found" because a server could not be asked.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::super::error::ApiError;
use super::super::params::{ParsedParams, read_call};
use super::super::proxy::{OfProgram, remove_hop_by_hop, upgrade_of};
use super::addressed::{Addressed, Kind, addressed, of_link};
use super::send::{given_up, marked, prepare, refusal, send};
use super::{Context, is_passed_on, place, tunnel};
use crate::cluster::{Incarnation, Located, NoAnswer};

/// The layer before the calls and WebSockets of sessions.
pub(super) async fn calls(State(context): State<Context>, request: Request, next: Next) -> Response {
    if is_passed_on(request.headers()) {
        return next.run(request).await;
    }
    match addressed(&context.shared, &request) {
        Addressed::Any => next.run(request).await,
        Addressed::Server { owner, kind } => match context.cluster.locate(owner).await {
            Located::Here | Located::Gone { .. } => next.run(request).await,
            Located::At { addr, .. } => pass_on(&context, (owner, &addr), kind, request).await.unwrap_or_else(refuse),
            Located::Unknown => refuse(ApiError::RegistryAway),
        },
        Addressed::ByParameters => by_parameters(&context, request, next).await.unwrap_or_else(refuse),
    }
}

/// The layer before links.
pub(super) async fn links(State(context): State<Context>, request: Request, next: Next) -> Response {
    let owner = if is_passed_on(request.headers()) { None } else { of_link(&context.shared, &request) };
    let Some(owner) = owner else { return next.run(request).await };
    match context.cluster.locate(owner).await {
        Located::Here | Located::Gone { .. } => next.run(request).await,
        Located::Unknown => refuse(ApiError::RegistryAway),
        Located::At { addr, .. } => match pass_on(&context, (owner, &addr), Kind::Port, request).await {
            Ok(mut answer) => {
                // The owner has made of it what a program's answer may be.
                answer.extensions_mut().insert(OfProgram);
                answer
            }
            Err(error) => refuse(error),
        },
    }
}

/// A call with the API key: its parameters say which session it is about.
async fn by_parameters(context: &Context, request: Request, next: Next) -> Result<Response, ApiError> {
    let (parts, body, params) = read_call(request, &context.shared).await?;
    let owner = match params.text("sessionId")? {
        Some(id) => Incarnation::of_session(&id),
        None => params.text("contextId")?.as_deref().and_then(Incarnation::of_context),
    };
    let Some(owner) = owner else {
        let creates = parts.uri.path() == "/mcp/createSession" && !params.is_set("sessionId");
        let needs_contexts = if creates { params.is_set("persistenceDataList") } else { is_about_contexts(&parts) };
        let holder = if needs_contexts { context.shared.contexts_at() } else { None };
        if creates && (holder.is_some() || !needs_contexts) {
            return place::create(context, (parts, body, params), holder, next).await;
        }
        if let Some(peer) = holder {
            let request = Request::from_parts(parts, Body::from(body));
            let answer = pass_on(context, (peer.inc, &peer.addr), Kind::Call, request).await;
            drop(params);
            return answer;
        }
        return Ok(next.run(ParsedParams::put_into(parts, params)).await);
    };
    match context.cluster.locate(owner).await {
        Located::Here | Located::Gone { .. } => {
            drop(body);
            Ok(next.run(ParsedParams::put_into(parts, params)).await)
        }
        Located::At { addr, .. } => {
            let request = Request::from_parts(parts, Body::from(body));
            // What is held of the body is counted until it has been sent and answered.
            let answer = pass_on(context, (owner, &addr), Kind::Call, request).await;
            drop(params);
            answer
        }
        Located::Unknown => Err(ApiError::RegistryAway),
    }
}

/// Whether a call is about contexts, which one server of a cluster keeps for all.
fn is_about_contexts(parts: &Parts) -> bool {
    parts.uri.path().strip_prefix("/sdk/").is_some_and(|call| call.contains("Context"))
}

/// Sends a request to its owner, and gives its answer, which may still be coming.
async fn pass_on(
    context: &Context,
    (owner, address): (Incarnation, &str),
    kind: Kind,
    mut request: Request,
) -> Result<Response, ApiError> {
    let begin = Instant::now();
    let upgrade = upgrade_of(request.headers());
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    // Among them the permit of the client's connection, which lasts as long as what it is upgraded to.
    let held = std::mem::take(&mut parts.extensions);
    prepare(context, &mut parts, upgrade.as_ref());
    let metrics = &context.shared.metrics;
    let answer = send(context, (owner, address), Request::from_parts(parts, body)).await;
    let outcome = match &answer {
        Ok(_) => "ok",
        Err(NoAnswer::Unreachable(_)) => "unreachable",
        Err(NoAnswer::Interrupted(_)) => "interrupted",
        Err(NoAnswer::Silent(_)) => "silent",
    };
    metrics.forwarded(kind.as_str(), outcome, begin.elapsed());
    let mut answer = answer.map_err(|reason| refusal(address, reason))?;
    let switching = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    let upgraded = switching.then(|| answer.headers().get(header::UPGRADE).cloned()).flatten();
    let both = client.zip(upgraded);
    remove_hop_by_hop(answer.headers_mut(), both.as_ref().map(|(_, upgraded)| upgraded));
    if let Some((client, _)) = both {
        let to_owner = hyper::upgrade::on(&mut answer);
        tunnel::join(client, to_owner, given_up(context, owner, address), metrics, held);
        return Ok(marked(answer.map(Body::new)));
    }
    let cut = Box::pin(given_up(context, owner, address));
    Ok(marked(answer.map(|body| Body::new(UntilCut { body: Body::new(body).boxed_unsync(), cut, is_cut: false }))))
}

fn refuse(error: ApiError) -> Response {
    error.into_response()
}

/// An answer that breaks off when its server is lost or silent: it must not look as if it had come to its end.
struct UntilCut {
    body: UnsyncBoxBody<Bytes, axum::Error>,
    cut: Pin<Box<dyn Future<Output = NoAnswer> + Send>>,
    is_cut: bool,
}

impl HttpBody for UntilCut {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // What has come is shown first.
        let frame = Pin::new(&mut self.body).poll_frame(task);
        if frame.is_ready() || self.is_cut {
            return frame;
        }
        let Poll::Ready(reason) = self.cut.as_mut().poll(task) else { return Poll::Pending };
        self.is_cut = true;
        Poll::Ready(Some(Err(axum::Error::new(reason))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
