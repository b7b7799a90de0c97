//! Lists the sessions of all servers as one list.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Extensions, HeaderMap, Method, Request, Uri, header};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;

use super::super::Shared;
use super::super::error::ApiError;
use super::super::list_page::{ListItem, ListPage};
use super::Context;
use super::send::{prepare, send};
use crate::cluster::{Cluster, Peer, Probe};

/// How long a server has for its part of a list: a hundred times what it takes, and still a moment for whoever waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// A page has at most 100 sessions, of some hundred bytes each.
const MOST: usize = 1 << 20;

/// Servers that are asked at once whether they live: each is a connection.
const MOST_PROBES: usize = 32;

/// What a server answers to another one's question for its part.
#[derive(Deserialize)]
struct Part {
    data: Vec<ListItem>,
    #[serde(rename = "nextToken")]
    next: Option<String>,
    count: usize,
}

/// A page of all servers' sessions. `own` is this server's part, from the same place on and as long.
///
/// # Errors
/// When a server does not answer: a client that cleans up must not take a part for all.
pub(in super::super) async fn gather(
    shared: &Arc<Shared>,
    cluster: &Arc<Cluster>,
    (uri, headers): (&Uri, &HeaderMap),
    own: ListPage,
    length: usize,
) -> Result<ListPage, ApiError> {
    let context = Context { shared: Arc::clone(shared), cluster: Arc::clone(cluster) };
    let mut peers = cluster.peers();
    peers.extend(vanished_that_live(cluster).await?);
    let parts = try_join_all(peers.iter().map(|peer| part(&context, peer, uri, headers))).await?;
    let mut all = own;
    for part in parts {
        all.count = all.count.saturating_add(part.count);
        all.has_more |= part.next.is_some();
        all.items.extend(part.data);
    }
    all.items.sort_by_key(|item| item.place());
    all.has_more |= all.items.len() > length;
    all.items.truncate(length);
    Ok(all)
}

/// Servers that the registry has lost and that have sessions all the same.
async fn vanished_that_live(cluster: &Cluster) -> Result<Vec<Peer>, ApiError> {
    let asked = cluster.vanished().into_iter().map(async |peer| {
        let probe = cluster.ask_alive(&peer.addr, peer.inc).await;
        (peer, probe)
    });
    let mut asked = stream::iter(asked).buffered(MOST_PROBES);
    let mut living = Vec::new();
    while let Some((peer, probe)) = asked.next().await {
        match probe {
            Probe::Alive => living.push(peer),
            Probe::Another | Probe::Refused => {} // the sessions ended with their server
            Probe::Silence => {
                let problem = "its record is gone from the registry, and it does not say whether it lives".to_owned();
                return Err(ApiError::ListIncomplete { node: peer.name, problem });
            }
        }
    }
    Ok(living)
}

async fn part(context: &Context, peer: &Peer, uri: &Uri, headers: &HeaderMap) -> Result<Part, ApiError> {
    let mut problem = String::new();
    for _ in 0..2 {
        match tokio::time::timeout(PATIENCE, ask(context, peer, uri, headers)).await {
            Ok(Ok(part)) => return Ok(part),
            Ok(Err(error)) => problem = error,
            Err(_) => problem = format!("it has not answered within {} s", PATIENCE.as_secs()),
        }
    }
    Err(ApiError::ListIncomplete { node: peer.name.clone(), problem })
}

async fn ask(context: &Context, peer: &Peer, uri: &Uri, headers: &HeaderMap) -> Result<Part, String> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers.clone();
    request.headers_mut().remove(header::CONTENT_LENGTH); // what the client's request has stays here
    let (mut parts, body) = request.into_parts();
    parts.extensions = Extensions::new();
    prepare(context, &mut parts, None);
    let request = Request::from_parts(parts, body);
    let answer = send(context, (peer.inc, &peer.addr), request).await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MOST).collect().await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("it answers HTTP {}", status.as_u16()));
    }
    serde_json::from_slice(&body.to_bytes()).map_err(|error| format!("its answer cannot be read: {error}"))
}
