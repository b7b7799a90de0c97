//! Files in a session: its file tools, and what their texts mean.
//!
//! | procedure | tools |
//! | --- | --- |
//! | [`Files::read`] | `get_file_info`, then `read_file` part by part |
//! | [`Files::write`] | `write_file`, part by part |
//! | [`Files::read_many`] | `read_multiple_files` |
//! | [`Files::info`], [`Files::list`], [`Files::search`] | `get_file_info`, `list_directory`, `search_files` |
//! | [`Files::create_directory`], [`Files::delete`], [`Files::rename`], [`Files::edit`] | the tool of that name |
//! | [`Files::changes`], [`Files::watch`] | `get_file_change` |
//!
//! Beyond the tools, where the service has the extensions: [`ReadPart`] and [`WritePart`] carry bytes, [`FileWatch`] tells
//! what happens.

use serde_json::Value;

use super::Toolbox;
use crate::procedure::Single;

mod changes;
mod file_watch;
mod info;
mod listing;
mod packed_folder;
mod read;
mod read_part;
mod transfer;
mod write;
mod write_part;

pub use changes::{FileChange, FileChanges, WatchPoll, WatchStep};
pub use file_watch::{FileWatch, NextNews, WatchNews};
pub use info::FileInfo;
pub use listing::DirectoryEntry;
pub use packed_folder::PackedFolder;
pub use read::ReadFile;
pub(crate) use read::{binary_content, text_content};
pub use read_part::ReadPart;
pub use transfer::{Exchange, FileLink, PART_SIZE, Part, Transfer, TransferStep};
pub use write::{WriteFile, WriteMode};
pub use write_part::WritePart;

/// Bytes of a file that one call reads or writes: what the published clients take, so every service does.
pub const CHUNK_SIZE: u64 = 51_200;

/// One replacement of [`Files::edit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced, wherever it occurs.
    pub old_text: String,
    /// By what.
    pub new_text: String,
}

/// Makes the procedures for the files of a session.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a>(pub Toolbox<'a>);

impl Files<'_> {
    /// The bytes of a file.
    #[must_use]
    pub fn read(&self, path: &str) -> ReadFile {
        ReadFile::new(&self.0, path)
    }

    /// Writes a text.
    #[must_use]
    pub fn write(&self, path: &str, content: String, mode: WriteMode) -> WriteFile {
        WriteFile::new(&self.0, path, content, mode)
    }

    /// What there is to know of a file or directory.
    #[must_use]
    pub fn info(&self, path: &str) -> Single<FileInfo> {
        let asked = path.to_owned();
        self.0.tool("get_file_info").once([("path", path.into())], move |text| FileInfo::read(&text, &asked))
    }

    /// What is in a directory, in the service's order.
    #[must_use]
    pub fn list(&self, path: &str) -> Single<Vec<DirectoryEntry>> {
        self.0.tool("list_directory").once([("path", path.into())], |text| listing::entries(&text))
    }

    /// Paths below a directory whose name has the pattern.
    #[must_use]
    pub fn search(&self, path: &str, pattern: &str, exclude: &[String]) -> Single<Vec<String>> {
        let exclude = if exclude.is_empty() { Value::Null } else { exclude.into() };
        let arguments = [("path", path.into()), ("pattern", pattern.into()), ("excludePatterns", exclude)];
        self.0.tool("search_files").once(arguments, |text| listing::matches(&text))
    }

    /// The texts of files, by path, in the order asked. One that cannot be read is a text `Error - …`.
    #[must_use]
    pub fn read_many(&self, paths: Vec<String>) -> Single<Vec<(String, String)>> {
        let arguments = [("paths", paths.as_slice().into())];
        self.0.tool("read_multiple_files").once(arguments, move |text| listing::files(&text, &paths))
    }

    /// Makes a directory.
    #[must_use]
    pub fn create_directory(&self, path: &str) -> Single<()> {
        self.0.tool("create_directory").once([("path", path.into())], |_| ())
    }

    /// Deletes a file.
    #[must_use]
    pub fn delete(&self, path: &str) -> Single<()> {
        self.0.tool("delete_file").once([("path", path.into())], |_| ())
    }

    /// Moves or renames a file or directory.
    #[must_use]
    pub fn rename(&self, source: &str, destination: &str) -> Single<()> {
        self.0.tool("move_file").once([("source", source.into()), ("destination", destination.into())], |_| ())
    }

    /// Replaces texts in a file, one edit after the other; with `dry_run` only looks whether it could.
    #[must_use]
    pub fn edit(&self, path: &str, edits: &[Edit], dry_run: bool) -> Single<()> {
        let edit = |edit: &Edit| {
            super::object([("oldText", edit.old_text.as_str().into()), ("newText", edit.new_text.as_str().into())])
        };
        let edits: Vec<Value> = edits.iter().map(edit).collect();
        let arguments = [("path", path.into()), ("edits", edits.into()), ("dryRun", dry_run.into())];
        self.0.tool("edit_file").once(arguments, |_| ())
    }

    /// What has changed below a directory since the last look of anybody in this session.
    #[must_use]
    pub fn changes(&self, path: &str) -> Single<FileChanges> {
        self.0.tool("get_file_change").once([("path", path.into())], FileChanges::read)
    }

    /// One part of a file, of [`CHUNK_SIZE`] bytes at most, by the documented tool: for services without [`FileLink`].
    #[must_use]
    pub fn read_chunk(&self, path: &str, offset: u64, length: u64) -> Single<Vec<u8>> {
        read::chunk(&self.0, path, offset, length)
    }

    /// Gives up an upload whose parts were written by [`WritePart`].
    #[must_use]
    pub fn discard(&self, link: &FileLink, path: &str, upload: &str) -> Single<()> {
        Single::done(write_part::discard(link, path, upload, false), || ())
    }

    /// The same for an archive: one that was to go into a folder, or one that a folder was packed into.
    #[must_use]
    pub fn discard_archive(&self, link: &FileLink, path: &str, upload: &str) -> Single<()> {
        Single::done(write_part::discard(link, path, upload, true), || ())
    }

    /// Has the service pack a folder into an archive, for a service with [`PackedFolder::EXTENSION`].
    #[must_use]
    pub fn pack(&self, link: &FileLink, path: &str, upload: &str) -> Single<PackedFolder> {
        PackedFolder::pack(link, path, upload)
    }

    /// One look of a watch; see [`WatchPoll`].
    #[must_use]
    pub fn watch(&self, path: &str, is_first: bool) -> WatchPoll {
        WatchPoll::new(self.changes(path), is_first)
    }
}
