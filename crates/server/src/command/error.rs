//! Why a command is not started.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::shorten::shown;
use crate::workspace::PathError;

/// Why a command is not started. Each says what happened, to what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("{0:?} not found: it does not exist; compare it with list_directory")]
    NotFound(String),
    #[error("{0:?} is not a directory: give a directory")]
    NotADirectory(String),
    #[error("entering {path:?} failed: {problem}")]
    System { path: String, problem: String },
    #[error("the commands with processes in the background would be more than {0}: end some of them")]
    Background(usize),
}

impl CommandError {
    /// The system's refusal to enter a directory.
    pub(super) fn entering(path: &Path, error: &io::Error) -> Self {
        let path = shown(&path.to_string_lossy());
        match error.kind() {
            // An escape from the session's folder has this kind, and no number of the system's.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => PathError::Outside(path).into(),
            io::ErrorKind::NotFound => Self::NotFound(path),
            io::ErrorKind::NotADirectory => Self::NotADirectory(path),
            _ => Self::System { path, problem: error.to_string() },
        }
    }
}
