//! Folders of a session as tar streams: packed while they are read, and unpacked as a whole or not at all.
//!
//! | module | what for |
//! | --- | --- |
//! | [`packer`] | a folder as the bytes of an archive, piece by piece |
//! | [`reader`] | the entries of an archive that a stranger wrote |
//! | [`unpack`] | an archive's files in a folder of the session |
//!
//! Both work in the name of the session's user, with paths that are resolved beneath open directories, without recursion,
//! and in memory that does not grow with what a folder or an archive has.

mod error;
mod levels;
mod packer;
mod reader;
mod unpack;

use std::fs::File;
use std::path::PathBuf;

pub(crate) use self::error::ArchiveError;
pub(crate) use self::packer::Packer;
pub(crate) use self::reader::Unpacked;
use self::reader::{Entries, Entry, EntryKind};
pub(crate) use self::unpack::unpack;

/// The deepest folder of an archive. Nobody's sources nest deeper than 30.
const MAX_DEPTH: usize = 100;

/// The longest path in an archive, and the longest target of a link, as Linux has them.
const MAX_PATH: usize = 4096;

/// What an entry of an archive says: its path, where a link leads, and where its bytes are in the archive.
pub type ArchiveEntry = (PathBuf, Option<PathBuf>, Option<(u64, u64)>);

/// Every entry of an archive, for whoever tries the reader with any bytes.
pub(crate) fn entries(archive: &File) -> Result<Vec<ArchiveEntry>, ArchiveError> {
    let (mut entries, mut all) = (Entries::new(archive)?, Vec::new());
    while let Some(Entry { path, kind }) = entries.next()? {
        all.push(match kind {
            EntryKind::Folder { .. } => (path, None, None),
            EntryKind::File { at, size, .. } => (path, None, Some((at, size))),
            EntryKind::Symlink(target) | EntryKind::HardLink(target) => (path, Some(target), None),
        });
    }
    Ok(all)
}
