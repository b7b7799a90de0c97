//! The two sides of a copy between a session's folder and a context.

use std::cell::Cell;
use std::io;

use tokio::sync::watch;

use super::Stage;
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
    pub(crate) download: &'a Download,
}

/// How long a download may go on: while the session does, and until so much has come out of its archives. What comes out
/// is counted by itself, because an archive can name the same bytes, and the same file, as often as it likes.
#[derive(Debug)]
pub(crate) struct Download {
    stage: watch::Receiver<Stage>,
    most: (u64, u64),
    bytes_left: Cell<u64>,
    files_left: Cell<u64>,
}

impl Download {
    /// Of a session of this stage, with at most so many bytes and files out of archives.
    pub(crate) fn new(stage: watch::Receiver<Stage>, bytes: u64, files: u64) -> Self {
        Self { stage, most: (bytes, files), bytes_left: Cell::new(bytes), files_left: Cell::new(files) }
    }

    /// A release does not wait for the rest.
    pub(super) fn check(&self) -> Result<(), ContextError> {
        match *self.stage.borrow() {
            Stage::Running => Ok(()),
            Stage::Deleting | Stage::Gone => Err(ContextError::Released),
        }
    }

    /// So much comes out of an archive.
    pub(super) fn take(&self, bytes: u64, files: u64) -> Result<(), ContextError> {
        self.check()?;
        let (most_bytes, most_files) = self.most;
        take(&self.bytes_left, bytes, (most_bytes, "bytes", "--disk"))?;
        take(&self.files_left, files, (most_files, "files", "--files"))
    }
}

fn take(
    left: &Cell<u64>,
    taken: u64,
    (limit, unit, flag): (u64, &'static str, &'static str),
) -> Result<(), ContextError> {
    let rest = left.get().checked_sub(taken);
    left.set(rest.unwrap_or(0));
    rest.map(drop).ok_or(ContextError::ArchivesTooLarge { limit, unit, flag })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_ends_with_its_session_and_at_its_limits() {
        let (stage, session) = watch::channel(Stage::Running);
        let download = Download::new(session, 10, 2);
        assert_eq!(download.take(6, 1).map_err(|error| error.to_string()), Ok(()));
        for _ in 0..2 {
            assert!(matches!(download.take(5, 0), Err(ContextError::ArchivesTooLarge { limit: 10, .. })));
        }
        assert!(matches!(download.take(0, 2), Err(ContextError::ArchivesTooLarge { limit: 2, .. })));
        stage.send_replace(Stage::Deleting);
        assert!(matches!(download.check(), Err(ContextError::Released)));
    }
}
