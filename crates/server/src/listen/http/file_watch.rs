//! The extension `fileWatch`: what happens to a session's files, told as soon as it happens.
//!
//! | request (with `X-Access-Token`) | answer |
//! | --- | --- |
//! | `POST <linkUrl>/files/watch?path=P&recursive=true&watch=ID` | the watch has begun; said again, nothing changes |
//! | `GET <linkUrl>/files/watch?watch=ID&after=N&waitS=S` | `data: {after, events, ended}`: what has happened behind the news `N`, as soon as there is something, or nothing after `S` seconds |
//! | `DELETE <linkUrl>/files/watch?watch=ID` | the watch has ended |
//!
//! `ID` is 1 to 64 letters, digits or `-`, chosen by the client. The first question has `after=0`; each next one has the
//! `after` of the answer before and confirms it: the same question again gets the same answer. An event is
//! `{eventType, path, pathType}` with `create`, `modify` or `delete`, or `overflow`: events were lost, look at the files anew.
//! A question that waits is an open connection of the session, and keeps the session in use.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::Extension;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use super::answer::Answer;
use super::entry::Entry;
use super::error::ApiError;
use super::file_call::in_workspace;
use super::written::written;
use crate::tools;
use crate::workspace::watch::{Change, WatchError, Watched};

/// What a watch's URL says.
#[derive(Debug, Deserialize)]
pub(super) struct WatchQuery {
    watch: String,
    path: Option<String>,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    after: u64,
    #[serde(default, rename = "waitS")]
    wait_s: u64,
}

/// The `data` of an answer with news.
#[derive(Debug, Serialize)]
struct NewsJson<'a> {
    after: u64,
    #[serde(serialize_with = "write_events")]
    events: &'a [Change],
    ended: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventJson<'a> {
    event_type: &'a str,
    path: &'a str,
    path_type: &'a str,
}

fn write_events<S: Serializer>(changes: &[Change], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(changes.iter().map(|change| EventJson {
        event_type: change.kind,
        path: &change.path,
        path_type: if change.is_dir { "directory" } else { "file" },
    }))
}

type WatchUrl = Result<Query<WatchQuery>, QueryRejection>;

/// The longest time that a question waits: what proxies and browsers bear.
const MAX_WAIT: u64 = 60;

/// `POST /link/{session}/files/watch`
pub(super) async fn begin(
    Extension(Entry { session, .. }): Extension<Entry>,
    url: WatchUrl,
) -> Result<Answer, ApiError> {
    let query = read(url)?;
    let given = query.path.ok_or(ApiError::Missing("path"))?;
    session.touch();
    let limits = &session.config().limits;
    let (limit, max_folders) = (limits.max_watches, limits.max_watched_folders);
    let (path, id, recursive) = (PathBuf::from(&given), query.watch, query.recursive);
    let (runtime, memory) = (tokio::runtime::Handle::current(), session.budget().nothing());
    in_workspace(session, given, move |workspace, at| {
        let _entered = runtime.enter();
        let at = at.writable().map_err(io::Error::other)?;
        let watched = Watched { at, given: path, recursive, user: workspace.slot().user(), max_folders, memory };
        workspace.watches().begin(&id, watched, limit)
    })
    .await?;
    Ok(Answer::new(json!({})))
}

/// `GET /link/{session}/files/watch`
pub(super) async fn news(
    Extension(Entry { session, grant }): Extension<Entry>,
    url: WatchUrl,
) -> Result<Response, ApiError> {
    let query = read(url)?;
    if query.wait_s > MAX_WAIT {
        return Err(ApiError::invalid("waitS", format!("it must be at most {MAX_WAIT} seconds")));
    }
    session.touch();
    let workspace = session.existing_workspace().ok_or(WatchError::NotFound)?;
    let watch = workspace.watches().find(&query.watch)?;
    drop(workspace); // the session's end does not wait for this
    let _permit = session.connect(&grant)?;
    let told = watch.told(query.after, Duration::from_secs(query.wait_s)).await?;
    let charge = session.budget().nothing();
    let bytes = told.most_json();
    let write = move || {
        let ended = told.ended.as_deref();
        written(&NewsJson { after: told.after, events: &told.changes, ended }, charge)
    };
    tools::apart(session.budget(), bytes, write).await.ok_or(ApiError::Defect)?
}

/// `DELETE /link/{session}/files/watch`
pub(super) async fn end(Extension(Entry { session, .. }): Extension<Entry>, url: WatchUrl) -> Result<Answer, ApiError> {
    let query = read(url)?;
    if let Some(workspace) = session.existing_workspace() {
        workspace.watches().end(&query.watch);
    }
    Ok(Answer::default())
}

fn read(url: WatchUrl) -> Result<WatchQuery, ApiError> {
    let Query(query) = url.map_err(|rejection| ApiError::invalid("watch", rejection.body_text()))?;
    let is_plain = (1..=64).contains(&query.watch.len())
        && query.watch.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain { Ok(query) } else { Err(ApiError::invalid("watch", "it must be 1 to 64 letters, digits or -")) }
}
