//! What the calls for files and folders have in common: what the URL says, and work in the name of the session's user.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;

use super::entry::Entry;
use super::error::ApiError;
use super::file_error::FileError;
use crate::session::Session;
use crate::workspace::watch::WatchError;
use crate::workspace::{ActAs, LastLink, Located, PathError, Workspace};

/// Archives on their way lie beside this path of the session: it is on the same disk and counts as the session's, and what
/// was left there goes with it.
pub(super) const SPOOL: &str = "/tmp/archive";

/// What a file's URL says.
#[derive(Debug, Deserialize)]
pub(super) struct FileQuery {
    pub(super) path: String,
    pub(super) upload: Option<String>,
    pub(super) mode: Option<String>,
    archive: Option<String>,
}

impl FileQuery {
    /// Whether the body is an archive, whose files go into the folder.
    pub(super) fn is_archive(&self) -> Result<bool, ApiError> {
        match self.archive.as_deref() {
            None => Ok(false),
            Some("tar") => Ok(true),
            Some(_) => Err(ApiError::invalid("archive", "it must be tar")),
        }
    }

    /// What the upload lies beside until it is complete.
    pub(super) fn place(&self) -> Result<String, ApiError> {
        Ok(if self.is_archive()? { SPOOL.to_owned() } else { self.path.clone() })
    }
}

pub(super) type FileUrl = Result<Query<FileQuery>, QueryRejection>;

/// The session and what the URL says.
pub(super) fn open(Entry { session, .. }: Entry, url: FileUrl) -> Result<(Arc<Session>, FileQuery), ApiError> {
    let Ok(Query(query)) = url else { return Err(ApiError::Missing("path")) };
    Ok((session, query))
}

/// The session's workspace, which has room for one file more, and what programs call the file.
pub(super) async fn workspace_for_one(
    session: Arc<Session>,
    path: String,
) -> Result<(Arc<Workspace>, PathBuf), ApiError> {
    let look = tokio::task::spawn_blocking(move || {
        let workspace = session.workspace().map_err(|failure| ApiError::Refused(failure.name, failure.value))?;
        workspace.take_disk(0, 1).map_err(FileError::from)?;
        let inside = workspace.folder().locate(&path).map_err(FileError::from)?.inside;
        Ok((workspace, inside))
    });
    look.await.unwrap_or(Err(ApiError::Defect))
}

/// Does something with a file in the name of the session's user, off the runtime's threads.
pub(super) async fn in_session<T: Send + 'static>(
    session: Arc<Session>,
    path: String,
    work: impl FnOnce(Located) -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    in_workspace(session, path, |_, at| work(at)).await
}

/// The same, with the session's workspace. It takes a file tool's turn: a session has as many threads of the server's at once.
pub(super) async fn in_workspace<T: Send + 'static>(
    session: Arc<Session>,
    path: String,
    work: impl FnOnce(&Arc<Workspace>, Located) -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let of = Arc::clone(&session);
    let turn = of.file_tool().await;
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn; // until the work is done, whether anybody still waits for it or not
        let workspace = session.workspace().map_err(|failure| ApiError::Refused(failure.name, failure.value))?;
        let failed = |error| ApiError::from(FileError::new(&path, error));
        let _acting = ActAs::user(workspace.slot().user()).map_err(failed)?;
        let at = workspace.folder().reach(&path, LastLink::Followed).map_err(FileError::from)?;
        work(&workspace, at).map_err(|error| {
            let inner = error.get_ref();
            if let Some(path) = inner.and_then(|inner| inner.downcast_ref::<PathError>()) {
                return FileError::Path(path.clone()).into();
            }
            match inner.and_then(|inner| inner.downcast_ref::<WatchError>()) {
                Some(watch) => watch.clone().into(),
                None => failed(error),
            }
        })
    });
    done.await.unwrap_or(Err(ApiError::Defect))
}

/// The upload that the URL names.
pub(super) fn upload_id(query: &FileQuery) -> Result<Option<String>, ApiError> {
    let is_plain = |id: &String| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match &query.upload {
        None => Ok(None),
        Some(id) if is_plain(id) => Ok(Some(id.clone())),
        Some(_) => Err(ApiError::invalid("upload", "it must be 1 to 64 letters, digits or -")),
    }
}
