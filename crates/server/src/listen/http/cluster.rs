//! A server as one of several: calls reach any of them, and are passed on to the one that owns the session.
//!
//! | module | what it does |
//! | --- | --- |
//! | `addressed` | tells from a request which server it is for |
//! | `forward` | passes calls, event streams and files on |
//! | `tunnel` | joins what a call was upgraded to, such as a WebSocket |
//! | `place` | creates a session where there is room |
//! | `list` | lists the sessions of all servers |
//!
//! None of this is on the path of a server that is alone.

mod addressed;
mod forward;
mod list;
mod place;
mod tunnel;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::from_fn_with_state;

pub(super) use self::list::gather;
pub(super) use self::place::asked_id;
use super::Shared;
use crate::cluster::Cluster;

/// Says which server has passed a call on: such a call is never passed on again.
const HOP: HeaderName = HeaderName::from_static("x-agb-hop");

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
    routes.layer(from_fn_with_state(context, forward::links))
}
