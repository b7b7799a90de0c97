//! Reading a folder as a tar archive.

use agb_core::operations::files::{FileLink, PackedFolder};
use bytes::Bytes;

use crate::error::Error;
use crate::file_reader::FileReader;
use crate::random;
use crate::session::Session;

/// A folder that is read as a tar archive; see [`Files::read_folder`](crate::Files::read_folder).
///
/// What the service has packed is removed at the end and by [`abort`](Self::abort). Of a reader that is dropped before, it
/// stays until its session ends.
#[derive(Debug)]
pub struct FolderReader {
    session: Session,
    link: FileLink,
    path: String,
    upload: String,
    packed: PackedFolder,
    reader: FileReader,
}

impl FolderReader {
    pub(crate) async fn open(session: Session, path: &str) -> Result<Self, Error> {
        let link = FileLink::of_folders(session.data()).ok_or(Error::NotSupported(
            "the service does not pack folders: pack it by a command, and read the archive",
        ))?;
        let upload = random::id();
        let packed = session.files().pack(&link, path, &upload).await?;
        let reader = FileReader::new(session.clone(), &packed.path, 0, u64::MAX);
        Ok(Self { session, link, path: path.to_owned(), upload, packed, reader })
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// What the service or the network says; nothing comes after it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let bytes = self.reader.next().await?;
        if bytes.is_none() {
            self.discard().await?;
        }
        Ok(bytes)
    }

    /// What is in the archive, and how much was left out of it.
    #[must_use]
    pub const fn packed(&self) -> &PackedFolder {
        &self.packed
    }

    /// Reads no more: what was packed is removed.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn abort(self) -> Result<(), Error> {
        self.discard().await
    }

    async fn discard(&self) -> Result<(), Error> {
        self.session.files().discard(&self.link, &self.path, &self.upload, true).await
    }
}
