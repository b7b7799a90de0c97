//! A file on its way into a context.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use cap_std::fs::{Dir, File, Metadata, Permissions, PermissionsExt};

use super::context::Context;
use super::usage::{Amount, Reservation};
use super::{ContextError, ContextPath};

/// A file on its way into a context. Dropping it without [`Upload::commit`] leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Upload {
    context: Arc<Context>,
    path: ContextPath,
    root: Dir,
    temporary: PathBuf,
    file: File,
    /// `None` once the file is in its place.
    reservation: Option<Reservation>,
}

impl Context {
    /// Begins to receive a file.
    pub(crate) fn upload(self: &Arc<Self>, path: ContextPath) -> Result<Upload, ContextError> {
        let (reservation, root, temporary, file) = self.receive(&path)?;
        Ok(Upload { context: Arc::clone(self), path, root, temporary, file, reservation: Some(reservation) })
    }
}

impl Upload {
    /// The context that it goes into.
    pub(crate) fn context_id(&self) -> &str {
        self.context.id()
    }

    /// So many bytes are to come: refused while nothing is copied, if there is no room for them.
    pub(crate) fn announce(&mut self, bytes: u64) -> Result<(), ContextError> {
        self.reservation().check(Amount { bytes, files: 0 })
    }

    fn reservation(&mut self) -> &mut Reservation {
        self.reservation.as_mut().expect("it is there until the commit, which takes the upload")
    }

    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ContextError> {
        let reservation = self.reservation();
        reservation.grow(Amount { bytes: bytes.len() as u64, files: 0 })?;
        self.file.write_all(bytes).map_err(|error| ContextError::system("receiving the file", &error))
    }

    /// Puts the file in its place, whole, over what was there.
    pub(crate) fn commit(mut self, executable: bool) -> Result<Metadata, ContextError> {
        let failed = |error: io::Error| ContextError::system("storing the file", &error);
        if executable {
            let mode = Permissions::from_mode(0o700);
            self.file.set_permissions(mode).map_err(failed)?;
        }
        let meta = self.file.metadata().map_err(failed)?;
        let mut reservation = self.reservation.take().expect("it is there until the commit, which takes the upload");
        match self.context.place(&self.root, &self.temporary, &self.path, &mut reservation) {
            Ok(()) => reservation.keep(),
            Err(error) => {
                self.reservation = Some(reservation);
                return Err(error);
            }
        }
        Ok(meta)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.reservation.is_some() {
            // What stays is removed when the context is loaded next.
            let _ = self.root.remove_file(&self.temporary);
        }
    }
}
