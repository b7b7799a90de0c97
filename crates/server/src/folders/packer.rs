//! Packs a folder into a tar archive, piece by piece.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use tar::{EntryType, Header};

use super::error::ArchiveError;
use super::levels::Levels;
use super::{MAX_DEPTH, MAX_PATH};
use crate::shorten::shown;
use crate::workspace::{ActAs, Located, is_unfinished};

/// Bytes of one block of an archive.
const BLOCK: usize = 512;

/// A piece ends when it has so many bytes: large enough for a gigabyte a second, small enough for a thousand readers.
const PIECE: usize = 256 * 1024;

/// Packs a folder. Sockets, pipes and devices are left out, and links are kept as links.
#[derive(Debug)]
pub(crate) struct Packer {
    user: Option<u32>,
    levels: Levels,
    file: Option<OpenFile>,
    is_over: bool,
    entries: u64,
    left_out: u64,
}

/// The file whose bytes come next.
#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
    left: u64,
    padding: usize,
}

impl Packer {
    /// Packs what is below this folder, in the name of this user.
    pub(crate) fn open(at: &Located, user: Option<u32>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY);
        let levels = Levels::new(Dir::from_std_file(at.dir.open_with(&at.path, &options)?.into_std()))?;
        Ok(Self { user, levels, file: None, is_over: false, entries: 0, left_out: 0 })
    }

    /// How many entries there were so far.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// How many files were left out so far, because an archive cannot have them.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The next bytes; empty at the end. Blocks.
    pub(crate) fn next_piece(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let _acting = ActAs::user(self.user).map_err(|error| ArchiveError::file(Path::new("."), error))?;
        let mut piece = Vec::with_capacity(PIECE + 4 * BLOCK);
        while piece.len() < PIECE && !self.is_over {
            match self.file.take() {
                Some(file) => self.file = file.read_into(&mut piece)?,
                None => self.next_entry(&mut piece)?,
            }
        }
        Ok(piece)
    }

    fn next_entry(&mut self, piece: &mut Vec<u8>) -> Result<(), ArchiveError> {
        if self.levels.depth() == 0 {
            piece.resize(piece.len() + 2 * BLOCK, 0);
            self.is_over = true;
            return Ok(());
        }
        let failed = |path: &Path, error| ArchiveError::file(path, error);
        let Some(name) = self.levels.next_name().map_err(|error| failed(self.levels.path(), error))? else {
            let path = self.levels.path().to_path_buf();
            return self.levels.leave().map_err(|error| failed(&path, error));
        };
        if is_unfinished(&name) {
            return Ok(());
        }
        let path = self.levels.path().join(&name);
        match self.add(&name, path.clone(), piece) {
            // Deleted meanwhile.
            Err(ArchiveError::File { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn add(&mut self, name: &OsString, path: PathBuf, piece: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let failed = |error| ArchiveError::file(&path, error);
        let Some(dir) = self.levels.dir() else { return Ok(()) };
        let meta = dir.symlink_metadata(name).map_err(failed)?;
        if meta.is_symlink() {
            let target = dir.read_link_contents(name).map_err(failed)?;
            let modified = u64::try_from(cap_std::fs::MetadataExt::mtime(&meta)).unwrap_or(0);
            write_header(piece, EntryType::Symlink, &path, Some(&target), 0o777, 0, modified);
            self.entries += 1;
            return Ok(());
        }
        if !meta.is_dir() && !meta.is_file() {
            self.left_out += 1;
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = dir.open_with(name, &options).map_err(failed)?.into_std();
        // What was opened counts, whatever was there a moment before.
        let meta = file.metadata().map_err(failed)?;
        if path.as_os_str().len() >= MAX_PATH || (meta.is_dir() && self.levels.depth() >= MAX_DEPTH) {
            return Err(ArchiveError::TooDeep { path: shown(&path.to_string_lossy()) });
        }
        let modified = u64::try_from(meta.mtime()).unwrap_or(0);
        if meta.is_dir() {
            write_header(piece, EntryType::Directory, &path, None, meta.mode() & 0o777, 0, modified);
            let entered = self.levels.enter(name, Dir::from_std_file(file));
            entered.map_err(|error| ArchiveError::file(&path, error))?;
        } else if meta.is_file() {
            let size = meta.len();
            write_header(piece, EntryType::Regular, &path, None, meta.mode() & 0o777, size, modified);
            let padding = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0);
            self.file = Some(OpenFile { file, path, left: size, padding });
        } else {
            self.left_out += 1;
            return Ok(());
        }
        self.entries += 1;
        Ok(())
    }
}

impl OpenFile {
    /// Appends bytes of it, and gives it back if there are more.
    fn read_into(mut self, piece: &mut Vec<u8>) -> Result<Option<Self>, ArchiveError> {
        if self.left > 0 {
            let most = self.left.min(PIECE as u64);
            let read = Read::by_ref(&mut self.file).take(most).read_to_end(piece);
            let read = read.map_err(|error| ArchiveError::file(&self.path, error))? as u64;
            self.left -= read;
            if read < most {
                return Err(ArchiveError::Changed { path: shown(&self.path.to_string_lossy()) });
            }
        }
        if self.left > 0 {
            return Ok(Some(self));
        }
        piece.resize(piece.len() + self.padding, 0);
        Ok(None)
    }
}

/// An entry's header, with GNU's extensions before it for long names: they take any bytes, and everybody reads them.
fn write_header(
    piece: &mut Vec<u8>,
    kind: EntryType,
    path: &Path,
    target: Option<&Path>,
    mode: u32,
    size: u64,
    modified: u64,
) {
    let mut name = path.as_os_str().as_bytes().to_vec();
    if kind == EntryType::Directory {
        name.push(b'/');
    }
    let target = target.map(|target| target.as_os_str().as_bytes()).unwrap_or_default();
    let mut header = Header::new_gnu();
    for (long, kind, workspace) in [(&name[..], EntryType::GNULongName, 100), (target, EntryType::GNULongLink, 100)] {
        if long.len() > workspace {
            let mut header = Header::new_gnu();
            header.as_old_mut().name[..13].copy_from_slice(b"././@LongLink");
            header.set_entry_type(kind);
            header.set_size(long.len() as u64 + 1);
            header.set_cksum();
            piece.extend_from_slice(header.as_bytes());
            piece.extend_from_slice(long);
            piece.resize(piece.len() + BLOCK - long.len() % BLOCK, 0); // at least one zero ends it
        }
    }
    let fields = header.as_old_mut();
    for (field, bytes) in [(&mut fields.name, &name[..]), (&mut fields.linkname, target)] {
        let length = bytes.len().min(field.len());
        field[..length].copy_from_slice(&bytes[..length]);
    }
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(modified);
    header.set_cksum();
    piece.extend_from_slice(header.as_bytes());
}
