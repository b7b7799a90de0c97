//! What goes wrong with a context.

use std::io;

use thiserror::Error;

use crate::budget::OverBudget;
use crate::workspace::disk_meter::DiskFull;

/// What goes wrong with a context. Each message says what happened, to what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ContextError {
    #[error("context {0:?} not found: it was deleted, belongs to another API key, or never existed")]
    NotFound(String),
    #[error("a context with the name {0:?} exists already: choose another name")]
    NameTaken(String),
    #[error("the context's {field} is not valid: {problem}")]
    InvalidField { field: &'static str, problem: &'static str },
    #[error("the path {path:?} is not valid in a context: {problem}")]
    InvalidPath { path: String, problem: &'static str },
    #[error("{path:?} not found in the context: list its files to compare")]
    NoFile { path: String },
    #[error("{path:?} is {is} in the context: give the path of a file")]
    WrongKind { path: String, is: &'static str },
    #[error("{path:?} is, or lies behind, a link that leads out of the context, or in a circle: it has no file there")]
    LeadsOut { path: String },
    #[error("context {0:?} is being cleared: wait until its state is available")]
    Clearing(String),
    #[error("there are {limit} contexts of this API key already: delete some, or raise --max-contexts")]
    TooMany { limit: usize },
    #[error(
        "{limit} uploads and downloads over signed URLs of this context go on already: wait for one to end, or raise \
         --context-transfers"
    )]
    TooManyTransfers { limit: usize },
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    #[error("the context would have more than {limit} {unit}: delete files, or raise {flag}")]
    Quota { limit: u64, unit: &'static str, flag: &'static str },
    #[error(
        "more than {limit} {unit} come out of the archives of one download: copy them without extracting them \
         (`extractPolicy`), or raise {flag}"
    )]
    ArchivesTooLarge { limit: u64, unit: &'static str, flag: &'static str },
    #[error(
        "one upload would copy more than twice what the context may have: the rest is left out; delete files of the \
         session, or raise --context-size"
    )]
    UploadTooLarge,
    #[error("the session was released before everything had been copied to it")]
    Released,
    #[error(transparent)]
    SessionFull(#[from] DiskFull),
    #[error("no space is left on the server's disk: free some and try again")]
    DiskFull,
    #[error("this server keeps no contexts: start it with --contexts-dir")]
    NoFolder,
    #[error("the folder of contexts is used by another server: start this one with a --contexts-dir of its own")]
    InUse,
    #[error("the policy is not valid: {0}")]
    Policy(String),
    #[error("{count} files or folders could not be copied, all others were: {named}")]
    LeftOut { count: usize, named: String },
    #[error("{action} failed: {problem}")]
    System { action: &'static str, problem: String },
}

impl ContextError {
    /// The system's refusal to do something with a context's files.
    pub(crate) fn system(action: &'static str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::System { action, problem: error.to_string() },
        }
    }

    /// The same, of one file.
    pub(crate) fn of_file(action: &'static str, path: &str, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoFile { path },
            io::ErrorKind::IsADirectory => Self::WrongKind { path, is: "a folder" },
            io::ErrorKind::NotADirectory => Self::WrongKind { path, is: "below a file" },
            // A way out of the context's folder has this kind, and no number of the system's.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => Self::LeadsOut { path },
            _ if error.raw_os_error() == Some(libc::ELOOP) => Self::LeadsOut { path },
            _ => Self::system(action, error),
        }
    }
}
