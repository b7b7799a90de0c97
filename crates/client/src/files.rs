//! A session's files.

use std::ops::{Bound, RangeBounds};

use agb_core::operations::files::{
    self, DirectoryEntry, Edit, FileChanges, FileInfo, FileLink, PackedFolder, WatchStep, WriteMode,
};
use agb_core::procedure::Procedure;

use crate::error::Error;
use crate::file_reader::FileReader;
use crate::file_watch::FileWatch;
use crate::file_writer::FileWriter;
use crate::folder_reader::FolderReader;
use crate::session::Session;

/// The files of a session, read and written through its tools.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    session: &'a Session,
}

impl<'a> Files<'a> {
    pub(crate) const fn new(session: &'a Session) -> Self {
        Self { session }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// What the service, its tool or the network says.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.perform(|files| files.read(path)).await
    }

    /// Writes a text. A part that fails ends it, and what was written stays.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn write(&self, path: &str, content: impl Into<String>, mode: WriteMode) -> Result<(), Error> {
        let content = content.into();
        self.perform(|files| files.write(path, content, mode)).await
    }

    /// What there is to know of a file or directory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn info(&self, path: &str) -> Result<FileInfo, Error> {
        self.perform(|files| files.info(path)).await
    }

    /// What is in a directory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn list(&self, path: &str) -> Result<Vec<DirectoryEntry>, Error> {
        self.perform(|files| files.list(path)).await
    }

    /// Paths below a directory that match the pattern and none of `exclude`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn search(&self, path: &str, pattern: &str, exclude: &[String]) -> Result<Vec<String>, Error> {
        self.perform(|files| files.search(path, pattern, exclude)).await
    }

    /// The texts of files, by path. One that cannot be read is a text `Error - …`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_many(&self, paths: Vec<String>) -> Result<Vec<(String, String)>, Error> {
        self.perform(|files| files.read_many(paths)).await
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn create_directory(&self, path: &str) -> Result<(), Error> {
        self.perform(|files| files.create_directory(path)).await
    }

    /// Deletes a file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        self.perform(|files| files.delete(path)).await
    }

    /// Moves or renames a file or directory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn rename(&self, source: &str, destination: &str) -> Result<(), Error> {
        self.perform(|files| files.rename(source, destination)).await
    }

    /// Replaces texts in a file, in order; with `dry_run` only looks whether it could.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn edit(&self, path: &str, edits: &[Edit], dry_run: bool) -> Result<(), Error> {
        self.perform(|files| files.edit(path, edits, dry_run)).await
    }

    /// What has changed below a directory since the last look of anybody in this session.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn changes(&self, path: &str) -> Result<FileChanges, Error> {
        self.perform(|files| files.changes(path)).await
    }

    /// One look of a watch: the first one starts the comparison, and the caller waits between two.
    ///
    /// # Errors
    /// Only what kept the look from being made at all; the rest is a [`WatchStep`].
    pub async fn watch(&self, path: &str, is_first: bool) -> Result<WatchStep, Error> {
        self.perform(|files| files.watch(path, is_first)).await
    }

    /// Reads bytes of a file as a stream, of any size in bounded memory; `end` is behind the last one. A cut is repaired
    /// without a trace, and a file that changes meanwhile is an error.
    ///
    /// ```no_run
    /// # async fn example(session: agb_client::Session) -> Result<(), agb_client::Error> {
    /// let mut reader = session.files().read_stream("/tmp/large.bin", ..);
    /// while let Some(bytes) = reader.next().await? {
    ///     println!("{} bytes", bytes.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn read_stream(&self, path: &str, range: impl RangeBounds<u64>) -> FileReader {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        FileReader::new(self.session.clone(), path, start, end)
    }

    /// Writes a file as a stream, of any size in bounded memory. It takes its place as a whole when the stream is
    /// [finished](FileWriter::finish), or not at all.
    #[must_use]
    pub fn write_stream(&self, path: &str, mode: WriteMode) -> FileWriter {
        FileWriter::new(self.session.clone(), path, mode)
    }

    /// Reads a folder as a tar archive, of any size in bounded memory. The service packs it into a file of the session
    /// first, which takes as much of its disk, so that a cut is repaired without a trace.
    ///
    /// # Errors
    /// What the service or the network says; [`Error::NotSupported`] for a service that does not pack folders.
    pub async fn read_folder(&self, path: &str) -> Result<FolderReader, Error> {
        FolderReader::open(self.session.clone(), path).await
    }

    /// Takes a tar archive. When the stream is [finished](FileWriter::finish), its files take their places in the folder, all
    /// or none; what the folder has beside them stays.
    ///
    /// # Errors
    /// [`Error::NotSupported`] for a service that does not unpack archives.
    pub fn write_folder(&self, path: &str) -> Result<FileWriter, Error> {
        FileWriter::into_folder(self.session.clone(), path)
    }

    /// Watches a file or folder: the service tells of changes as they happen, from the answer of this call on.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::NotSupported`] for a service that does not tell of changes.
    pub async fn follow(&self, path: &str, recursive: bool) -> Result<FileWatch, Error> {
        FileWatch::open(self.session.clone(), path, recursive).await
    }

    pub(crate) async fn read_chunk(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        self.perform(|files| files.read_chunk(path, offset, length)).await
    }

    pub(crate) async fn discard(
        &self,
        link: &FileLink,
        path: &str,
        upload: &str,
        is_archive: bool,
    ) -> Result<(), Error> {
        self.perform(|files| match is_archive {
            true => files.discard_archive(link, path, upload),
            false => files.discard(link, path, upload),
        })
        .await
    }

    pub(crate) async fn pack(&self, link: &FileLink, path: &str, upload: &str) -> Result<PackedFolder, Error> {
        self.perform(|files| files.pack(link, path, upload)).await
    }

    async fn perform<P: Procedure>(&self, make: impl FnOnce(files::Files<'_>) -> P) -> Result<P::Output, Error> {
        Ok(self.session.perform(|toolbox| make(files::Files(*toolbox))).await?.value)
    }
}
