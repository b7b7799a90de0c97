//! Folders of a session as tar archives; see [`files`](super::files) for the requests.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::json;

use super::answer::Answer;
use super::entry::Entry;
use super::error::ApiError;
use super::file_body::HELD;
use super::file_call::{FileUrl, SPOOL, in_session, in_workspace, open, upload_id, workspace_for_one};
use super::file_error::FileError;
use crate::folders::{ArchiveError, Packer, Unpacked, unpack};
use crate::session::Session;
use crate::workspace::{ActAs, LastLink, Located, NewFile, Workspace};

/// The type of a tar archive.
const TAR: &str = "application/x-tar";

/// Whether a body is an archive to unpack.
pub(super) fn is_tar(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(TAR)))
}

/// Answers with a folder, packed while it is sent. A folder that cannot be packed to its end breaks the connection off, so
/// that nobody takes the half for the whole.
pub(super) fn send(packer: Packer, held: impl Send + 'static) -> Response {
    let pieces = stream::try_unfold((packer, held), |(mut packer, held)| async move {
        let packed = tokio::task::spawn_blocking(move || {
            let piece = packer.next_piece();
            (packer, piece)
        });
        let (packer, piece) = packed.await.map_err(std::io::Error::other)?;
        let piece = piece.map_err(|error| {
            tracing::warn!(%error, "the download of a folder broke off");
            std::io::Error::other(error)
        })?;
        let next = (!piece.is_empty()).then(|| (Bytes::from(piece), (packer, held)));
        Ok::<_, std::io::Error>(next)
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TAR));
    // Whatever a program has written, a browser stores it and does not show it.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    response
}

/// `POST /link/{session}/files/archive`
pub(super) async fn pack(Extension(entry): Extension<Entry>, url: FileUrl) -> Result<Answer, ApiError> {
    let (session, query) = open(entry, url)?;
    let _held = (session.begin(0)?, session.budget().charge(HELD)?);
    let id = upload_id(&query)?.ok_or(ApiError::Missing("upload"))?;
    let (workspace, _) = workspace_for_one(Arc::clone(&session), query.path.clone()).await?;
    let packing =
        in_workspace(Arc::clone(&session), query.path, |workspace, at| Packer::open(&at, workspace.slot().user()));
    let mut packer = packing.await?;
    let beside = in_session(Arc::clone(&session), SPOOL.to_owned(), move |at| {
        let at = NewFile::upload_of(&at, &id);
        Ok((NewFile::begin(&at)?, at))
    });
    let (mut new, Located { inside: path, .. }) = beside.await?;
    loop {
        // A session has as many of the server's threads at once as it has turns.
        let turn = session.file_tool().await;
        let own = Arc::clone(&workspace);
        let packed = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let written =
                packer.next_piece().and_then(|piece| write(&own, &mut new, &piece).map(|()| piece.is_empty()));
            (packer, new, written)
        });
        let (back, file, written) = packed.await.map_err(|_| ApiError::Defect)?;
        (packer, new) = (back, file);
        if written.map_err(FileError::from)? {
            break;
        }
    }
    let path = path.to_string_lossy().into_owned();
    let size = new.size();
    in_session(session, SPOOL.to_owned(), move |_| new.commit()).await?;
    let (entries, left_out) = (packer.entries(), packer.left_out());
    Ok(Answer::new(json!({ "path": path, "size": size, "entries": entries, "leftOut": left_out })))
}

fn write(workspace: &Workspace, new: &mut NewFile, piece: &[u8]) -> Result<(), ArchiveError> {
    workspace.take_disk(piece.len() as u64, 0)?;
    new.write(piece).map_err(|error| ArchiveError::File { path: SPOOL.to_owned(), error })
}

/// Unpacks an archive that has arrived as a whole into a folder, and removes it.
pub(super) async fn unpack_upload(
    session: Arc<Session>,
    workspace: Arc<Workspace>,
    path: String,
    new: NewFile,
) -> Result<Unpacked, ApiError> {
    let of = Arc::clone(&session);
    let turn = of.file_tool().await;
    let unpacking = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let act = || ActAs::user(workspace.slot().user()).map_err(|error| FileError::new(&path, error));
        let acting = act()?;
        let at = workspace.folder().reach(&path, LastLink::Followed).and_then(Located::writable);
        drop(acting);
        let archive = new.written().map_err(|error| FileError::new(SPOOL, error))?;
        let unpacked = at.map_err(FileError::from).and_then(|at| Ok(unpack(&archive, &at, &workspace)?));
        let acting = act()?;
        new.discard_written();
        drop(acting);
        drop(session); // it stays open until its files are in their places
        unpacked.map_err(ApiError::from)
    });
    unpacking.await.unwrap_or(Err(ApiError::Defect))
}
