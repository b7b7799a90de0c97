//! Reads the entries of a tar archive that a stranger wrote: nothing that it says is believed.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use tar::{EntryType, Header, PaxExtensions};

use super::error::ArchiveError;
use super::{MAX_DEPTH, MAX_PATH};
use crate::shorten::shown;

/// Bytes of one block of an archive.
const BLOCK: u64 = 512;

/// The most that an entry's extensions may have: two paths, and records that others write beside them.
const MAX_EXTENSION: u64 = 64 * 1024;

/// The entries of an archive, one after the other.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    file: &'a File,
    length: u64,
    at: u64,
    /// What has come.
    found: Unpacked,
    /// The folder that the last one was, or was in.
    folder: PathBuf,
    /// What may come; `None`: anything may.
    most: Option<Unpacked>,
}

/// What an archive has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    pub(crate) entries: u64,
    /// Folders that may be made for them, whether the archive names them or only what is in them: as many as each path has
    /// that the one before it does not lie in.
    pub(crate) folders: u64,
    pub(crate) bytes: u64,
}

/// One entry, whose names lead nowhere but below the archive's folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative, without `..`; empty for the folder itself.
    pub(super) path: PathBuf,
    pub(super) kind: EntryKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Folder {
        /// `None` where the archive says none.
        mode: Option<u32>,
    },
    /// Its bytes are in the archive from `at` on.
    File { at: u64, size: u64, mode: u32, modified: u64 },
    /// What a symbolic link says.
    Symlink(PathBuf),
    /// Another name for an entry before it.
    HardLink(PathBuf),
}

impl EntryKind {
    pub(super) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder { .. })
    }
}

impl Entry {
    /// The folder that it is, or is in.
    pub(super) fn folder(&self) -> &Path {
        if self.kind.is_folder() { &self.path } else { self.path.parent().unwrap_or(Path::new("")) }
    }
}

/// What extensions say of the entry behind them.
#[derive(Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(file: &'a File) -> Result<Self, ArchiveError> {
        let meta = file.metadata().map_err(|error| ArchiveError::file(Path::new("the archive"), error))?;
        Ok(Self { file, length: meta.len(), at: 0, found: Unpacked::default(), folder: PathBuf::new(), most: None })
    }

    /// The entries of an archive that was found to have so much. A program of the session may write to it meanwhile: then
    /// there is an error as soon as it has more.
    pub(super) fn again(file: &'a File, found: Unpacked) -> Result<Self, ArchiveError> {
        Ok(Self { most: Some(found), ..Self::new(file)? })
    }

    /// What the entries that have come are.
    pub(super) fn found(&self) -> Unpacked {
        self.found
    }

    /// The next entry; `None` at the end. After an error nothing more comes of it.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extended = Extended::default();
        loop {
            let start = self.at;
            let mut header = Header::new_old();
            self.read(header.as_mut_bytes(), start)?;
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                // The end. An archive of nothing has it, too; one without it may have lost entries.
                return Ok(None);
            }
            if header.cksum().ok() != Some(checksum(&header)) {
                return Err(ArchiveError::NotTar { at: start });
            }
            let kind = header.entry_type();
            let own = header.entry_size().map_err(|_| ArchiveError::NotTar { at: start })?;
            let is_extension = matches!(
                kind,
                EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
            );
            let has_bytes = is_extension || kind.is_file() || kind.is_contiguous();
            let size = if is_extension { own } else { extended.size.unwrap_or(own) };
            let size = if has_bytes { size } else { 0 };
            let bytes_at = start + BLOCK;
            let end = size.checked_next_multiple_of(BLOCK).and_then(|size| bytes_at.checked_add(size));
            let end = end.ok_or(ArchiveError::NotTar { at: start })?;
            if bytes_at.saturating_add(size) > self.length {
                return Err(ArchiveError::Cut { at: start });
            }
            self.at = end.min(self.length);
            if is_extension {
                self.extend(&mut extended, kind, bytes_at, size)?;
                continue;
            }
            let entry = self.entry(&header, extended, bytes_at, size)?;
            self.take(&entry)?;
            return Ok(Some(entry));
        }
    }

    fn take(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let found = &mut self.found;
        found.entries += 1;
        if let EntryKind::File { size, .. } = entry.kind {
            found.bytes = found.bytes.saturating_add(size);
        }
        let folder = entry.folder();
        if folder != self.folder {
            let shared = folder.components().zip(self.folder.components()).take_while(|(one, other)| one == other);
            found.folders += (folder.components().count() - shared.count()) as u64;
            self.folder = folder.to_path_buf();
        }
        let is_more =
            |most: Unpacked| found.entries > most.entries || found.folders > most.folders || found.bytes > most.bytes;
        if self.most.is_some_and(is_more) { Err(ArchiveError::Exchanged) } else { Ok(()) }
    }

    fn entry(&self, header: &Header, extended: Extended, at: u64, size: u64) -> Result<Entry, ArchiveError> {
        let name = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let shown_name = shown(&String::from_utf8_lossy(&name));
        let path = plain(name).map_err(|problem| problem.of(&shown_name))?;
        let target = || {
            let target = extended.target.or_else(|| header.link_name_bytes().map(|bytes| bytes.into_owned()));
            let target = target.unwrap_or_default();
            let is_fine = !target.is_empty() && target.len() < MAX_PATH && !target.contains(&0);
            is_fine.then_some(target).ok_or_else(|| ArchiveError::TooLong { name: shown_name.clone() })
        };
        let mode = header.mode().ok().map(|mode| mode & 0o777);
        let unsupported = |is| Err(ArchiveError::Unsupported { name: shown_name.clone(), is });
        let kind = match header.entry_type() {
            EntryType::Directory => EntryKind::Folder { mode },
            EntryType::Symlink => {
                let target = PathBuf::from(std::ffi::OsString::from_vec(target()?));
                if !stays_below(&path, &target) {
                    return Err(ArchiveError::LinkLeadsOut {
                        name: shown_name,
                        target: shown(&target.to_string_lossy()),
                    });
                }
                EntryKind::Symlink(target)
            }
            EntryType::Link => {
                let target = target()?;
                let shown_target = shown(&String::from_utf8_lossy(&target));
                EntryKind::HardLink(
                    plain(target)
                        .map_err(|_| ArchiveError::LinkLeadsOut { name: shown_name.clone(), target: shown_target })?,
                )
            }
            EntryType::Char | EntryType::Block => return unsupported("a device"),
            EntryType::Fifo => return unsupported("a pipe"),
            EntryType::GNUSparse => return unsupported("a sparse file of GNU tar's own format"),
            // Old archives mark a folder by its name only.
            _ if header.path_bytes().ends_with(b"/") && size == 0 => EntryKind::Folder { mode },
            EntryType::Regular | EntryType::Continuous => {
                EntryKind::File { at, size, mode: mode.unwrap_or(0o644), modified: header.mtime().unwrap_or(0) }
            }
            _ => return unsupported("of a kind that is unknown"),
        };
        if path.as_os_str().is_empty() && !kind.is_folder() {
            return Err(ArchiveError::LeadsOut { name: shown_name });
        }
        Ok(Entry { path, kind })
    }

    fn extend(&self, extended: &mut Extended, kind: EntryType, at: u64, size: u64) -> Result<(), ArchiveError> {
        if size > MAX_EXTENSION {
            return Err(ArchiveError::TooLong { name: format!("the entry at byte {at}") });
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        self.read(&mut bytes, at)?;
        let trimmed = |mut bytes: Vec<u8>| {
            bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
            bytes
        };
        match kind {
            EntryType::GNULongName => extended.path = Some(trimmed(bytes)),
            EntryType::GNULongLink => extended.target = Some(trimmed(bytes)),
            // What is said of all entries is nothing that counts here.
            EntryType::XGlobalHeader => {}
            _ => {
                for record in PaxExtensions::new(&bytes) {
                    let record = record.map_err(|_| ArchiveError::NotTar { at })?;
                    let value = record.value_bytes();
                    match record.key_bytes() {
                        b"path" => extended.path = Some(value.to_vec()),
                        b"linkpath" => extended.target = Some(value.to_vec()),
                        b"size" => {
                            let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                            extended.size = Some(size.ok_or(ArchiveError::NotTar { at })?);
                        }
                        key if key.starts_with(b"GNU.sparse.") => {
                            let name = format!("the entry at byte {at}");
                            return Err(ArchiveError::Unsupported {
                                name,
                                is: "a sparse file of GNU tar's own format",
                            });
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), ArchiveError> {
        self.file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof if at == 0 => ArchiveError::NotTar { at },
            ErrorKind::UnexpectedEof => ArchiveError::Cut { at },
            _ => ArchiveError::file(Path::new("the archive"), error),
        })
    }
}

/// What is wrong with a name.
enum BadName {
    LeadsOut,
    TooLong,
}

impl BadName {
    fn of(self, name: &str) -> ArchiveError {
        let name = name.to_owned();
        match self {
            Self::LeadsOut => ArchiveError::LeadsOut { name },
            Self::TooLong => ArchiveError::TooLong { name },
        }
    }
}

/// A name as a path below the archive's folder.
fn plain(name: Vec<u8>) -> Result<PathBuf, BadName> {
    if name.len() >= MAX_PATH {
        return Err(BadName::TooLong);
    }
    if name.is_empty() || name.contains(&0) {
        return Err(BadName::LeadsOut);
    }
    let name = PathBuf::from(std::ffi::OsString::from_vec(name));
    let mut path = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => return Err(BadName::LeadsOut),
        }
    }
    if path.components().count() > MAX_DEPTH { Err(BadName::TooLong) } else { Ok(path) }
}

/// Whether a link's target stays below the archive's folder. A `..` behind a name could lead anywhere by way of another
/// link, so that it counts as leading out.
fn stays_below(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    let mut has_name = false;
    target.components().all(|component| match component {
        Component::Normal(_) => {
            has_name = true;
            true
        }
        Component::CurDir => true,
        Component::ParentDir if !has_name && depth > 0 => {
            depth -= 1;
            true
        }
        _ => false,
    })
}

/// The sum of a header's bytes, with those of the sum itself as blanks.
fn checksum(header: &Header) -> u32 {
    let bytes = header.as_bytes().iter().enumerate();
    bytes.map(|(at, byte)| if (148..156).contains(&at) { u32::from(b' ') } else { u32::from(*byte) }).sum()
}
