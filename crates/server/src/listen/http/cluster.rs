//! A server as one of several: calls reach any of them, and are passed on to the one that owns the session.
//!
//! | module | what it does |
//! | --- | --- |
//! | `addressed` | tells from a request which server it is for |
//! | `forward` | passes calls, event streams and files on |
//! | `send` | sends a call to another server |
//! | `tunnel` | joins what a call was upgraded to, such as a WebSocket |
//! | `place` | creates a session where there is room |
//! | `list` | lists the sessions of all servers |
//!
//! None of this is on the path of a server that is alone.

mod addressed;
mod forward;
mod list;
mod place;
mod send;
mod tunnel;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

pub(super) use self::list::gather;
pub(super) use self::place::asked_id;
use super::{ApiError, Shared};
use crate::cluster::{Cluster, Standing};
use crate::session::sessions::CreateError;

/// Says which server has passed a call on: such a call is never passed on again.
pub(super) const HOP: HeaderName = HeaderName::from_static("x-agb-hop");

/// What the layers need.
#[derive(Clone)]
struct Context {
    shared: Arc<Shared>,
    cluster: Arc<Cluster>,
}

/// Whether another server has passed this call on, or a client says so: it is answered here or not at all.
pub(super) fn is_passed_on(headers: &HeaderMap) -> bool {
    headers.contains_key(HOP)
}

/// Passes on what belongs to sessions of other servers, links excepted.
pub(super) fn forward_calls(routes: Router<Arc<Shared>>, shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let Some(cluster) = &shared.cluster else { return routes };
    let context = Context { shared: Arc::clone(shared), cluster: Arc::clone(cluster) };
    routes.layer(from_fn_with_state(context, forward::calls))
}

/// Passes on what belongs to links of other servers. It stands before everything that looks at a call as one of this
/// server's own: what answers is a program.
pub(super) fn forward_links(routes: Router<Arc<Shared>>, shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let Some(cluster) = &shared.cluster else { return routes };
    let context = Context { shared: Arc::clone(shared), cluster: Arc::clone(cluster) };
    let guarded = from_fn_with_state(Arc::clone(cluster), only_members);
    routes.layer(from_fn_with_state(context, forward::links)).layer(guarded)
}

/// The layer before all: a server whose process stood still serves nothing before it knows that it is a member still, and
/// one that was declared lost serves nothing more. Its health can be looked at all the same.
async fn only_members(State(cluster): State<Arc<Cluster>>, request: Request, next: Next) -> Response {
    if !matches!(request.uri().path(), "/healthz" | "/readyz" | "/cluster/alive") {
        cluster.wait_if_frozen().await;
        if cluster.standing() == Standing::Condemned {
            return ApiError::NotCreated(CreateError::Closed).into_response();
        }
    }
    next.run(request).await
}
