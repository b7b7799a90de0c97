//! Sends a call to another server of the cluster.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

use super::super::answer::Code;
use super::super::error::ApiError;
use super::super::proxy::remove_hop_by_hop;
use super::{Context, HOP};
use crate::cluster::{Incarnation, NoAnswer};

/// Sends a request; gives up when the owner is declared lost or does not even say that it lives: until then its silence
/// may be a program's.
pub(super) async fn send(
    context: &Context,
    (owner, address): (Incarnation, &str),
    request: Request,
) -> Result<Response<hyper::body::Incoming>, NoAnswer> {
    let answer = tokio::select! {
        answer = context.cluster.peer_client().send(address, request) => answer,
        reason = given_up(context, owner, address) => Err(reason),
    };
    if let Err(NoAnswer::Unreachable(_) | NoAnswer::Interrupted(_)) = &answer {
        context.cluster.doubt(owner);
    }
    answer
}

/// Ready when an answer of that server, or the rest of one, need not be waited for any longer.
pub(super) fn given_up(
    context: &Context,
    owner: Incarnation,
    address: &str,
) -> impl Future<Output = NoAnswer> + Send + use<> {
    let (cluster, cut, address) = (Arc::clone(&context.cluster), cut(context, owner), address.to_owned());
    async move {
        tokio::select! {
            () = cut => NoAnswer::Interrupted("its server was declared lost, or this one ends".to_owned()),
            problem = cluster.until_silent(owner, &address) => NoAnswer::Silent(problem),
        }
    }
}

/// Ready when nothing more can come from that server by way of this one.
fn cut(context: &Context, owner: Incarnation) -> impl Future<Output = ()> + Send + use<> {
    let cluster = Arc::clone(&context.cluster);
    async move {
        tokio::select! {
            () = cluster.until_lost(owner) => {}
            () = cluster.peer_client().closed() => {}
        }
    }
}

/// Makes a client's headers those of a call that is passed on.
pub(super) fn prepare(context: &Context, parts: &mut Parts, upgrade: Option<&HeaderValue>) {
    let headers = &mut parts.headers;
    remove_hop_by_hop(headers, upgrade);
    headers.remove(header::EXPECT); // this server has answered it, or will
    let scheme = if context.shared.tls.is_some() { "https" } else { "http" };
    headers.entry(HeaderName::from_static("x-forwarded-proto")).or_insert(HeaderValue::from_static(scheme));
    set_hop(context, headers);
}

/// Says which server passes the call on.
pub(super) fn set_hop(context: &Context, headers: &mut HeaderMap) {
    let own = context.cluster.incarnation().to_string();
    headers.insert(HOP, HeaderValue::from_str(&own).expect("it is hexadecimal"));
}

/// What the client hears where no answer came.
pub(super) fn refusal(address: &str, reason: NoAnswer) -> ApiError {
    match reason {
        NoAnswer::Unreachable(problem) => ApiError::OwnerAway { address: address.to_owned(), problem },
        NoAnswer::Interrupted(problem) => ApiError::Interrupted { address: address.to_owned(), problem },
        NoAnswer::Silent(problem) => ApiError::OwnerSilent { address: address.to_owned(), problem },
    }
}

/// The owner counts the call by its answer's code.
pub(super) fn marked(mut answer: Response) -> Response {
    answer.extensions_mut().insert(Code("Forwarded"));
    answer
}
