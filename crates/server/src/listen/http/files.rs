//! The extension `files`: a session's files as plain HTTP bodies, in bounded memory at any size.
//!
//! | request (with `X-Access-Token`) | answer |
//! | --- | --- |
//! | `GET <linkUrl>/files?path=P`, also with `Range`, `If-Range`, `If-Match`, `If-None-Match` | the bytes, `ETag`, `Accept-Ranges`; 206, 304, 412 or 416 as HTTP has them |
//! | `PUT <linkUrl>/files?path=P` | the body replaces the file as a whole or not at all; `ETag`, and `data: {size}` |
//! | `PUT <linkUrl>/files?path=P&upload=ID`, header `Upload-Offset: N` | goes on with an upload that was cut; with `Upload-Complete: ?0` the file does not take its place yet |
//! | `GET <linkUrl>/files/progress?path=P&upload=ID` | `data: {offset, completed}`: where to go on from, or how the upload ended |
//! | `DELETE <linkUrl>/files?path=P&upload=ID` | gives up an upload: what has arrived of it is removed |
//!
//! A folder is a tar archive, whole and uncompressed (the extension `folders`):
//!
//! | request | answer |
//! | --- | --- |
//! | `GET <linkUrl>/files?path=FOLDER`, without `Range` | the archive as it is packed, `application/x-tar`; it breaks off where a file cannot be read |
//! | `PUT <linkUrl>/files?path=FOLDER`, header `Content-Type: application/x-tar` or `archive=tar` in the query | the archive's files take their places in the folder, all or none; `data: {entries, size}` |
//! | `POST <linkUrl>/files/archive?path=FOLDER&upload=ID` | packs the folder into a file of the session; `data: {path, size, entries, leftOut}`: read it with ranges, and remove it by `DELETE` with `archive=tar` |
//!
//! An upload of an archive can be resumed like that of a file, with `archive=tar` in each of its requests. Sockets, pipes and
//! devices are left out of an archive and refused in one, as are names and links that lead out of it.
//!
//! With `mode=append` an upload goes behind what the file has, with `mode=create_new` a file that is there is an error.
//! `ID` is 1 to 64 letters, digits or `-`, chosen by the client. Paths are those that programs see, as for the file tools.
//! Errors: 400 `InvalidFile.Archive`, 404 `InvalidFile.NotFound`, 409 `InvalidFile.Kind` (a directory, a pipe), 409 `InvalidUpload.Offset` (its message says where
//! to go on), 403 `InvalidFile.ReadOnly`, 507 `InsufficientStorage`
//! (of the machine, or of the session: `--disk`, `--files`).
//!
//! ```text
//! PUT /link/session-1/files?path=/tmp/a.bin&upload=7f3a HTTP/1.1
//! X-Access-Token: …
//! Upload-Offset: 1048576
//! ```

use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use cap_std::fs::{Metadata, OpenOptions};
use serde_json::json;

use super::Shared;
use super::answer::Answer;
use super::entry::Entry;
use super::error::ApiError;
use super::file_body::{self, HELD, Patience};
use super::file_call::{FileUrl, SPOOL, in_session, in_workspace, open, upload_id, workspace_for_one};
use super::file_error::FileError;
use super::folders;
use crate::folders::Packer;
use crate::session::Session;
use crate::workspace::{Commit, Completed, NewFile, identity};

/// `GET /link/{session}/files`
pub(super) async fn read(
    Extension(entry): Extension<Entry>,
    url: FileUrl,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (session, query) = open(entry, url)?;
    let held = (session.begin(0)?, session.budget().charge(HELD)?);
    let path = query.path;
    // A folder has no ranges: whoever asks for one of a file is told that it is none.
    let may_be_folder = !headers.contains_key(header::RANGE);
    let opened = in_workspace(session, path, move |workspace, at| {
        if may_be_folder && at.is_dir() {
            return Packer::open(&at, workspace.slot().user()).map(Opened::Folder);
        }
        Ok(Opened::File(at.open(OpenOptions::new().read(true))?.0.into_std()))
    });
    match opened.await? {
        Opened::File(file) => file_body::send_during(file, &headers, held),
        Opened::Folder(packer) => Ok(folders::send(packer, held)),
    }
}

enum Opened {
    File(std::fs::File),
    Folder(Packer),
}

/// `PUT /link/{session}/files`
pub(super) async fn write(
    State(shared): State<Arc<Shared>>,
    Extension(entry): Extension<Entry>,
    url: FileUrl,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let (session, query) = open(entry, url)?;
    let _held = (session.begin(0)?, session.budget().charge(HELD)?);
    let (offset, complete) = upload_headers(&headers)?;
    let upload = upload_id(&query)?;
    let commit = commit_of(query.mode.as_deref())?;
    let is_archive = query.is_archive()? || folders::is_tar(&headers);
    if is_archive && commit != Commit::Overwrite {
        return Err(ApiError::invalid("mode", "an archive goes with overwrite only"));
    }
    let path = query.path.clone();
    let place = if is_archive { SPOOL.to_owned() } else { path.clone() };
    let (workspace, inside) = workspace_for_one(Arc::clone(&session), path.clone()).await?;
    if is_archive {
        // Before anything is sent in vain.
        in_session(Arc::clone(&session), path.clone(), |at| at.writable().map(drop).map_err(io::Error::other)).await?;
    }
    // Said again, because its answer was lost, an upload does not append a second time.
    if let Some(done) = upload.as_deref().and_then(|id| workspace.uploads().find(&inside, id))
        && (commit != Commit::Overwrite || is_archive)
    {
        return Ok(completed(&done));
    }
    let new = begin_upload(&session, place, upload.clone(), offset, commit).await?;
    let patience = Patience { silence: shared.config.limits.read_timeout, pace: None };
    let (named, own) = (path.clone(), Arc::clone(&workspace));
    let new = file_body::receive(request.into_body(), new, patience, move |new: &mut NewFile, pieces: &[Bytes]| {
        own.take_disk(pieces.iter().map(Bytes::len).sum::<usize>() as u64, 0).map_err(FileError::from)?;
        new.write_pieces(pieces).map_err(|error| FileError::new(&named, error).into())
    })
    .await?;
    let size = new.size();
    if !complete {
        return Ok(Answer::new(json!({ "offset": size })).into_response());
    }
    if is_archive {
        let done = folders::unpack_upload(session, Arc::clone(&workspace), path.clone(), new).await?;
        if let Some(id) = upload {
            workspace.uploads().complete(inside, id, Completed { size: done.bytes, etag: String::new() });
        }
        return Ok(Answer::new(json!({ "entries": done.entries, "size": done.bytes })).into_response());
    }
    if commit == Commit::Append {
        // For a moment both have the bytes.
        workspace.take_disk(size, 0).map_err(FileError::from)?;
    }
    let outcome = in_session(session, path, move |_| new.commit_as(commit)).await;
    let Some(id) = upload else { return Ok(completed(&placed(&outcome?))) };
    let found = workspace.uploads().find(&inside, &id);
    match (outcome, found) {
        (Ok(meta), _) => {
            let done = placed(&meta);
            workspace.uploads().complete(inside, id, done.clone());
            Ok(completed(&done))
        }
        // Another connection, which the client had given up, was the faster one.
        (Err(_), Some(done)) => Ok(completed(&done)),
        (Err(error), None) => Err(error),
    }
}

fn commit_of(mode: Option<&str>) -> Result<Commit, ApiError> {
    let Some(name) = mode else { return Ok(Commit::Overwrite) };
    Commit::parse(name).ok_or_else(|| ApiError::invalid("mode", "it must be overwrite, append or create_new"))
}

/// The new file, or what has arrived of it by the upload of this name.
async fn begin_upload(
    session: &Arc<Session>,
    place: String,
    upload: Option<String>,
    offset: u64,
    commit: Commit,
) -> Result<NewFile, ApiError> {
    let new = in_session(Arc::clone(session), place, move |at| {
        let at = at.writable().map_err(io::Error::other)?;
        if commit == Commit::CreateNew && at.dir.symlink_metadata(&at.path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into()); // before anything is sent in vain
        }
        match upload {
            None => NewFile::begin(&at).map(Ok),
            Some(id) => NewFile::resume(&at, &id, offset),
        }
    });
    new.await?.map_err(|wrong| FileError::Offset { actual: wrong.actual }.into())
}

fn placed(meta: &Metadata) -> Completed {
    Completed { size: meta.len(), etag: file_body::entity_tag(identity(meta)) }
}

fn completed(done: &Completed) -> Response {
    let mut response = Answer::new(json!({ "size": done.size })).into_response();
    if !done.etag.is_empty()
        && let Ok(tag) = HeaderValue::from_str(&done.etag)
    {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// `GET /link/{session}/files/progress`
pub(super) async fn progress(Extension(entry): Extension<Entry>, url: FileUrl) -> Result<Answer, ApiError> {
    let (session, query) = open(entry, url)?;
    let upload = upload_id(&query)?.ok_or(ApiError::Missing("upload"))?;
    let (id, path) = (upload.clone(), query.path.clone());
    let (offset, done) = in_workspace(session, query.place()?, move |workspace, at| {
        let offset = NewFile::progress(&at, &id)?;
        // An archive arrives elsewhere than what it is for.
        let of = workspace.folder().locate(&path).map_err(io::Error::other)?;
        Ok((offset, workspace.uploads().find(&of.inside, &id)))
    })
    .await?;
    let mut data = json!({ "offset": offset });
    if let Some(done) = done.filter(|_| offset == 0) {
        data["completed"] = json!({ "size": done.size, "etag": done.etag });
    }
    Ok(Answer::new(data))
}

/// `DELETE /link/{session}/files`: gives up an upload. Files themselves are deleted by the tool of that name.
pub(super) async fn discard(Extension(entry): Extension<Entry>, url: FileUrl) -> Result<Answer, ApiError> {
    let (session, query) = open(entry, url)?;
    let upload = upload_id(&query)?.ok_or(ApiError::Missing("upload"))?;
    in_session(session, query.place()?, move |at| NewFile::discard(&at.writable().map_err(io::Error::other)?, &upload))
        .await?;
    Ok(Answer::default())
}

/// Where the body goes on from, and whether the file is complete with it.
fn upload_headers(headers: &HeaderMap) -> Result<(u64, bool), ApiError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("not text").trim());
    let offset = match text("upload-offset") {
        None => 0,
        Some(text) => text.parse().map_err(|_| ApiError::invalid("Upload-Offset", "it must be a number of bytes"))?,
    };
    match text("upload-complete") {
        None | Some("?1") => Ok((offset, true)),
        Some("?0") => Ok((offset, false)),
        Some(_) => Err(ApiError::invalid("Upload-Complete", "it must be ?1 or ?0")),
    }
}
