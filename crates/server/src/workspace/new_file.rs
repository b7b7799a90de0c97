//! A file that takes its place as a whole or not at all.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::{
    Dir, File, FileExt, Metadata, MetadataExt, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt,
};
use rustix::fs::{FallocateFlags, fallocate};

use super::Located;
use crate::random;

/// A file on its way to a place of the session's. Dropping it without [`NewFile::commit`] leaves what was there; what came
/// of it stays only if it can be [resumed](NewFile::resume).
///
/// It is made and committed in the name of the session's user; writing is to the open file.
#[derive(Debug)]
pub(crate) struct NewFile {
    dir: Arc<Dir>,
    new: PathBuf,
    real: PathBuf,
    file: File,
    /// Where the next bytes go. Each connection that carries the same upload has its own: one that was given up and still
    /// writes what it had writes the same bytes to the same place.
    at: u64,
    mode: Option<u32>,
    /// It is removed when it is given up.
    is_temporary: bool,
}

/// What becomes of a file that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Commit {
    /// It is replaced.
    #[default]
    Overwrite,
    /// The new bytes go behind what it has; where that fails, it is as long as before.
    Append,
    /// It stays, and the commit fails.
    CreateNew,
}

impl Commit {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "overwrite" => Some(Self::Overwrite),
            "append" => Some(Self::Append),
            "create_new" => Some(Self::CreateNew),
            _ => None,
        }
    }
}

/// Where a resumed file goes on from was not where it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongOffset {
    /// How many bytes there are.
    pub(crate) actual: u64,
}

impl NewFile {
    /// Begins one in the place of what is there, which must be a regular file that its user may write, or nothing.
    pub(crate) fn begin(at: &Located) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        Self::open(at, |real| beside(real, &format!("{}.new", random::hex::<8>())), &mut options, true)
    }

    /// Goes on with one that an earlier connection has begun under this id, which is plain text.
    pub(crate) fn resume(at: &Located, id: &str, offset: u64) -> io::Result<Result<Self, WrongOffset>> {
        let mut options = OpenOptions::new();
        // One that is to go on must be there: what was committed meanwhile is not begun anew.
        options.read(true).write(true).create(offset == 0);
        let mut this = match Self::open(at, |real| upload_name(real, id), &mut options, false) {
            Err(error) if error.kind() == ErrorKind::NotFound && offset > 0 => {
                return Ok(Err(WrongOffset { actual: Self::progress(at, id)? }));
            }
            opened => opened?,
        };
        let actual = this.file.metadata()?.len();
        this.at = offset;
        Ok(if actual == offset { Ok(this) } else { Err(WrongOffset { actual }) })
    }

    /// Where an upload of this file is until it is complete.
    pub(crate) fn upload_of(at: &Located, id: &str) -> Located {
        let mut upload = at.clone();
        (upload.path, upload.inside) = (upload_name(&at.path, id), upload_name(&at.inside, id));
        upload
    }

    /// Removes what has come of one that was begun under this id.
    pub(crate) fn discard(at: &Located, id: &str) -> io::Result<()> {
        match at.dir.remove_file(upload_name(&real(at)?, id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// How far one has come that was begun under this id.
    pub(crate) fn progress(at: &Located, id: &str) -> io::Result<u64> {
        match at.dir.symlink_metadata(upload_name(&real(at)?, id)) {
            Ok(meta) => Ok(meta.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn open(
        at: &Located,
        name: impl FnOnce(&Path) -> PathBuf,
        options: &mut OpenOptions,
        is_temporary: bool,
    ) -> io::Result<Self> {
        let real = real(at)?;
        let mode = match at.dir.symlink_metadata(&real) {
            // New bytes do not have the rights of the old ones' user or group for others.
            Ok(meta) if meta.is_file() => Some(meta.permissions().mode() & 0o1777),
            Ok(meta) if meta.is_dir() => return Err(ErrorKind::IsADirectory.into()),
            Ok(_) => return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if mode.is_some() {
            // Whether it may be written is for its own permissions to say, not only for its directory's.
            at.open(OpenOptions::new().write(true))?;
        }
        let new = name(&real);
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW);
        let file = at.dir.open_with(&new, options)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(Self { dir: Arc::clone(&at.dir), new, real, file, at: 0, mode, is_temporary })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_pieces(&[bytes])
    }

    /// Writes one behind the other.
    pub(crate) fn write_pieces(&mut self, pieces: &[impl AsRef<[u8]>]) -> io::Result<()> {
        if self.mode.is_some() {
            // File systems put off where bytes go, and ext4 decides it for all of them when the file replaces another one:
            // then `commit` waits for that. One that cannot decide it here writes all the same. Once for all pieces: it takes
            // half as long as writing one of them.
            let length: usize = pieces.iter().map(|piece| piece.as_ref().len()).sum();
            let _ = fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.at, length as u64);
        }
        for piece in pieces.iter().map(AsRef::as_ref) {
            self.file.write_all_at(piece, self.at)?;
            self.at += piece.len() as u64;
        }
        Ok(())
    }

    /// What was written, open for reading.
    pub(crate) fn written(&self) -> io::Result<std::fs::File> {
        Ok(self.file.try_clone()?.into_std())
    }

    /// It was only needed on the way: removes it.
    pub(crate) fn discard_written(mut self) {
        self.is_temporary = true; // and so it goes when it is dropped
    }

    /// How many bytes have been sent of it. A program that writes to it meanwhile changes nothing of that.
    pub(crate) fn size(&self) -> u64 {
        self.at
    }

    /// Puts it in its place.
    pub(crate) fn commit(mut self) -> io::Result<Metadata> {
        if let Some(mode) = self.mode {
            self.file.set_permissions(Permissions::from_mode(mode))?;
        }
        self.dir.rename(&self.new, &self.dir, &self.real)?;
        self.is_temporary = false;
        self.file.metadata()
    }

    /// The same, with another treatment of a file that is there.
    pub(crate) fn commit_as(mut self, commit: Commit) -> io::Result<Metadata> {
        match commit {
            Commit::Overwrite => self.commit(),
            Commit::CreateNew => {
                // Unlike a rename, a link fails where there is something.
                self.dir.hard_link(&self.new, &self.dir, &self.real)?;
                self.dir.remove_file(&self.new)?;
                self.is_temporary = false;
                self.file.metadata()
            }
            Commit::Append if self.dir.symlink_metadata(&self.real).is_err() => self.commit(),
            Commit::Append => {
                let mut options = OpenOptions::new();
                options.append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW);
                let mut target = self.dir.open_with(&self.real, &options)?;
                let before = target.metadata()?.len();
                self.file.rewind()?;
                // Only what was sent: a program could make it longer, or write on.
                if let Err(error) = io::copy(&mut (&self.file).take(self.at), &mut target) {
                    target.set_len(before)?;
                    return Err(error);
                }
                self.dir.remove_file(&self.new)?;
                self.is_temporary = false;
                target.metadata()
            }
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = self.dir.remove_file(&self.new); // it goes with its session at the latest
        }
    }
}

/// What a path stands for: of a link, what it leads to is replaced, not the link.
fn real(at: &Located) -> io::Result<PathBuf> {
    match at.dir.symlink_metadata(&at.path) {
        Ok(meta) if meta.is_symlink() => match at.dir.canonicalize(&at.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // A link that leads nowhere yet leads there.
                let target = at.dir.read_link(&at.path)?;
                Ok(at.path.parent().unwrap_or(Path::new("")).join(target))
            }
            result => result,
        },
        _ => Ok(at.path.clone()),
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    path.with_file_name(format!("{UNFINISHED}{end}"))
}

/// How the names of files begin that this server has not finished.
const UNFINISHED: &str = ".agb-";

/// Whether a file is one that this server has not finished: it comes and goes by itself, and is nobody's.
pub(crate) fn is_unfinished(name: &OsStr) -> bool {
    name.as_bytes().starts_with(UNFINISHED.as_bytes())
}

fn upload_name(real: &Path, id: &str) -> PathBuf {
    beside(real, &format!("upload-{id}"))
}

/// What tells one state of a file from another: its number, size and time.
pub(crate) fn identity(meta: &Metadata) -> (u64, u64, std::time::SystemTime) {
    let modified = meta.modified().map_or(std::time::SystemTime::UNIX_EPOCH, |time| time.into_std());
    (MetadataExt::ino(meta), meta.len(), modified)
}
