//! What goes wrong within a tool.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::budget::OverBudget;
use crate::run::event::{RunFailure, one_line};
use crate::session::Busy;
use crate::workspace::PathError;

/// What goes wrong within a tool. Each says what happened, to what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ToolError {
    #[error("{tool} needs {name}: give it in args")]
    Missing { tool: &'static str, name: &'static str },
    #[error("{name} of {tool} is not valid: it must be {expected}")]
    Invalid { tool: &'static str, name: &'static str, expected: String },
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("{path:?} not found: it does not exist; compare it with list_directory")]
    NotFound { path: String },
    #[error("{path:?} exists already: {hint}")]
    Exists { path: String, hint: &'static str },
    #[error("{path:?} is {is}: {hint}")]
    WrongKind { path: String, is: &'static str, hint: &'static str },
    #[error("{what} would be more than {limit}: {hint}")]
    TooMuch { what: String, limit: String, hint: &'static str },
    #[error("the text to be replaced by edit {number} is not in {path:?}: it must be the same to the character")]
    NoMatch { path: String, number: usize },
    #[error("{action} {path:?} failed: {problem}")]
    System { action: &'static str, path: String, problem: String },
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// It was executed.
    #[error(transparent)]
    NoRoom(OverBudget),
    #[error("{}", one_line(.0))]
    Run(RunFailure),
    /// A text that the caller reads as it is.
    #[error("{0}")]
    Report(String),
    #[error("the tool broke off by a defect of agb-server; its log has more")]
    Defect,
}

/// Why a call of a tool has no answer of the tool's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CallError {
    /// It was not executed.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// It was executed, and what it said has no room.
    #[error(transparent)]
    NoRoom(OverBudget),
}

impl ToolError {
    /// The system's refusal to do something with a file.
    pub(crate) fn system(action: &'static str, path: &Path, error: &io::Error) -> Self {
        let path = path.display().to_string();
        match error.kind() {
            // An escape from the session's folder has this kind, and no number of the system's.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => PathError::Outside(path).into(),
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::IsADirectory => Self::WrongKind { path, is: "a directory", hint: "give a file" },
            io::ErrorKind::NotADirectory => Self::WrongKind { path, is: "not a directory", hint: "give a directory" },
            _ => Self::System { action, path, problem: error.to_string() },
        }
    }
}
