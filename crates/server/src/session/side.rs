//! The two sides of a copy between a session's folder and a context.

use std::io;

use crate::contexts::ContextError;
use crate::workspace::{Folder, Workspace};

/// The session's side of a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<'a> {
    pub(crate) folder: &'a Folder,
    /// Whom the session's programs run as, where that is not the server's user.
    pub(crate) user: Option<u32>,
    /// Whose limits of disk and files a download keeps.
    pub(crate) workspace: &'a Workspace,
}

/// Whose side did not take a file.
pub(super) enum Refusal {
    Session(io::Error),
    Context(ContextError),
}

impl From<ContextError> for Refusal {
    fn from(error: ContextError) -> Self {
        Self::Context(error)
    }
}
