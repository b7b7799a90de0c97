//! Why a file of a session cannot be used by a stream.

use std::io;

use crate::folders::ArchiveError;
use crate::shorten::shown;
use crate::workspace::PathError;
use crate::workspace::disk_meter::DiskFull;

/// Why a file of a session cannot be used by a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("{0:?} not found: compare it with the session's files")]
    NotFound(String),
    #[error("{path:?} is {is}: give the path of a file")]
    Kind { path: String, is: &'static str },
    #[error("{0:?} may not be used by the session's programs, and so not by this call")]
    Refused(String),
    #[error("{0:?} exists already: choose another name, or write it without create_new")]
    Exists(String),
    #[error("no space is left for {0:?}: free some and try again")]
    Full(String),
    #[error(transparent)]
    Limit(#[from] DiskFull),
    #[error("the upload has {actual} bytes: go on from there (Upload-Offset: {actual})")]
    Offset { actual: u64 },
    #[error(transparent)]
    Archive(ArchiveError),
    #[error("using {path:?} failed: {error}")]
    System { path: String, error: io::Error },
}

impl From<ArchiveError> for FileError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::File { path, error } => Self::new(&path, error),
            ArchiveError::Limit(limit) => Self::Limit(limit),
            error => Self::Archive(error),
        }
    }
}

impl FileError {
    pub(super) fn new(path: &str, error: io::Error) -> Self {
        let path = shown(path);
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound(path),
            io::ErrorKind::AlreadyExists => Self::Exists(path),
            io::ErrorKind::IsADirectory => Self::Kind { path, is: "a directory" },
            io::ErrorKind::NotADirectory => Self::Kind { path, is: "below a file" },
            io::ErrorKind::InvalidInput => Self::Kind { path, is: "not a regular file" },
            // A way out of the session's folders has this kind, and no number of the system's.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => PathError::Outside(path).into(),
            io::ErrorKind::PermissionDenied => Self::Refused(path),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full(path),
            io::ErrorKind::InvalidFilename => PathError::Invalid(path).into(),
            io::ErrorKind::ExecutableFileBusy => Self::Kind { path, is: "a program that runs" },
            io::ErrorKind::WouldBlock => Self::Kind { path, is: "locked by a program (by a lease)" },
            _ => match error.raw_os_error() {
                Some(libc::ELOOP) => Self::Kind { path, is: "a link that leads in a circle" },
                Some(libc::ENXIO) => Self::Kind { path, is: "a socket or a device" },
                _ => Self::System { path, error },
            },
        }
    }
}
