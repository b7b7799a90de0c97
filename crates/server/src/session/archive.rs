//! Archives of a mount: one `.zip` in the context instead of files, and archives that are extracted when they come.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cap_std::fs::{Dir, OpenOptions, Permissions, PermissionsExt};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::mounts::{Refusal, Side};
use crate::contexts::{ContextError, Upload};
use crate::random;
use crate::workspace::{ActAs, Workspace};

/// Writes an archive into a context.
///
/// What goes in is counted against the context's quota, and not only what comes of it: a program can leave files of
/// nothing but zeros that take no room anywhere, and days to compress. Nor could they be extracted again.
pub(super) struct ArchiveWriter {
    zip: ZipWriter<zip::write::StreamWriter<UploadWriter>>,
    most: u64,
    left: u64,
}

/// An upload as what an archive is written to. What the context refuses is kept, since an I/O error cannot carry it.
pub(super) struct UploadWriter {
    upload: Upload,
    refused: Option<ContextError>,
}

/// The longest target of a symbolic link, as Linux has it.
const MAX_TARGET: u64 = 4096;
/// What an archive's list of files may take for each file: an entry has 46 bytes, a name and times.
///
/// 256: names of 150 bytes.
const LISTED: u64 = 256;
/// And at least, whatever the number of files: where the list is has to be found in the last 64 KiB.
const LEAST_LIST: u64 = 1 << 20;
/// Bytes that are copied at once.
const PIECE: usize = 256 * 1024;
/// The file type bits of a symbolic link in an archive.
const LINK: u32 = 0o120_000;
const TYPE: u32 = 0o170_000;

impl Write for UploadWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.upload.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                let message = error.to_string();
                self.refused = Some(error);
                Err(io::Error::other(message))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ArchiveWriter {
    /// `most`: how many bytes may go in.
    pub(super) fn new(upload: Upload, most: u64) -> Self {
        Self { zip: ZipWriter::new_stream(UploadWriter { upload, refused: None }), most, left: most }
    }

    /// Adds a file.
    pub(super) fn add(&mut self, path: &Path, file: impl Read, executable: bool) -> Result<(), ContextError> {
        let mode = if executable { 0o755 } else { 0o644 };
        self.zip.start_file(name(path), options(mode)).map_err(|error| broken(&error))?;
        let added =
            io::copy(&mut file.take(self.left.saturating_add(1)), &mut self.zip).map_err(|error| broken(&error))?;
        let left = self.left.checked_sub(added);
        self.left =
            left.ok_or(ContextError::Quota { limit: self.most, unit: "bytes to archive", flag: "--context-size" })?;
        Ok(())
    }

    /// Adds a symbolic link.
    pub(super) fn add_link(&mut self, path: &Path, target: &Path) -> Result<(), ContextError> {
        self.zip.add_symlink(name(path), target.to_string_lossy(), options(0o777)).map_err(|error| broken(&error))
    }

    /// Adds a folder that has nothing in it.
    pub(super) fn add_folder(&mut self, path: &Path) -> Result<(), ContextError> {
        self.zip.add_directory(name(path), options(0o755)).map_err(|error| broken(&error))
    }

    /// Puts the archive in its place.
    pub(super) fn finish(self) -> Result<(), ContextError> {
        let writer = self.zip.finish().map_err(|error| broken(&error))?.into_inner();
        match writer.refused {
            Some(error) => Err(error),
            None => writer.upload.commit(false).map(drop),
        }
    }
}

/// An archive's file, of which only so much is read: its list of files is kept in memory.
pub(super) struct Bounded {
    file: File,
    left: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other("its list of files is too long"));
        }
        let read = self.file.read(&mut buffer[..most])?;
        self.left.set(self.left.get().saturating_sub(read as u64));
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Reads a file as an archive of at most so many files; `None`: it is another kind of file, or its list of files is longer
/// than theirs would be.
pub(super) fn open(file: File, most: u64) -> Result<Option<ZipArchive<Bounded>>, ContextError> {
    let left = Rc::new(Cell::new(most.saturating_mul(LISTED).max(LEAST_LIST)));
    match ZipArchive::new(Bounded { file, left: Rc::clone(&left) }) {
        Ok(archive) if archive.len() as u64 > most => {
            Err(ContextError::Quota { limit: most, unit: "files from an archive", flag: "--context-files" })
        }
        Ok(archive) => {
            left.set(u64::MAX);
            Ok(Some(archive))
        }
        Err(_) => Ok(None),
    }
}

/// Extracts an archive below a folder of the session's, in the name of its user.
pub(super) fn extract(mut archive: ZipArchive<Bounded>, dir: &Dir, to: &Path, side: Side<'_>) -> Result<(), Refusal> {
    let _acting = ActAs::user(side.user).map_err(Refusal::Session)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| unreadable(&error))?;
        // A name that leads out is left out: no program makes such a one by accident.
        let Some(below) = entry.enclosed_name() else { continue };
        let path = to.join(&below);
        side.room.take_disk(0, below.components().count() as u64).map_err(ContextError::from)?;
        if entry.is_dir() {
            dir.create_dir_all(&path).map_err(Refusal::Session)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            dir.create_dir_all(parent).map_err(Refusal::Session)?;
        }
        let mode = entry.unix_mode().unwrap_or(0o644);
        let new = path.with_file_name(format!(".agb-{}.new", random::hex::<8>()));
        let placed = if mode & TYPE == LINK {
            link(&mut entry, dir, &new).map_err(Refusal::Session)
        } else {
            write(&mut entry, dir, &new, mode & 0o100 != 0, side.room)
        };
        if let Err(refusal) = placed.and_then(|()| dir.rename(&new, dir, &path).map_err(Refusal::Session)) {
            let _ = dir.remove_file(&new); // the first error is the one to report
            return Err(refusal);
        }
    }
    Ok(())
}

fn link(entry: &mut impl Read, dir: &Dir, new: &Path) -> io::Result<()> {
    let mut target = String::new();
    entry.take(MAX_TARGET).read_to_string(&mut target)?;
    dir.symlink_contents(target, new)
}

fn write(entry: &mut impl Read, dir: &Dir, new: &Path, executable: bool, room: &Workspace) -> Result<(), Refusal> {
    let session = Refusal::Session;
    let file = dir.open_with(new, OpenOptions::new().write(true).create_new(true)).map_err(session)?;
    file.set_permissions(Permissions::from_mode(if executable { 0o755 } else { 0o644 })).map_err(session)?;
    let mut file = file.into_std();
    let mut piece = vec![0; PIECE];
    // What an archive says of its sizes is not believed.
    loop {
        let read = match entry.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(session(error)),
        };
        room.take_disk(read as u64, 0).map_err(ContextError::from)?;
        file.write_all(&piece[..read]).map_err(session)?;
    }
}

/// The archive's name of a path: always with `/`.
fn name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn options(mode: u32) -> SimpleFileOptions {
    // Large files need a header that is written before their size is known.
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true).unix_permissions(mode)
}

fn broken(error: &dyn std::error::Error) -> ContextError {
    ContextError::System { action: "writing the archive", problem: error.to_string() }
}

fn unreadable(error: &dyn std::error::Error) -> Refusal {
    ContextError::System { action: "extracting the archive", problem: error.to_string() }.into()
}

/// Where an archive is extracted to, if its name is one's: the folder that it is in, or one of its name.
pub(super) fn destination(path: &Path, into_current: bool) -> Option<PathBuf> {
    let is_archive = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
    let parent = path.parent().unwrap_or(Path::new(""));
    let folder = if into_current { parent.to_path_buf() } else { parent.join(path.file_stem()?) };
    is_archive.then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: usize, name_length: usize) -> File {
        let mut writer = ZipWriter::new(tempfile::tempfile().expect("a file"));
        for at in 0..files {
            writer.start_file(format!("{at:0name_length$}"), options(0o644)).expect("it is written");
        }
        writer.finish().expect("it is written")
    }

    #[test]
    fn an_archives_list_of_files_is_bounded_before_it_is_kept() {
        let opened = open(archive(5, 10), 5).expect("it is small").expect("it is an archive");
        assert_eq!(opened.len(), 5);
        assert!(matches!(open(archive(6, 10), 5), Err(ContextError::Quota { limit: 5, .. })));
        // More than a megabyte of names: five files of people's have less.
        assert!(open(archive(30, 60_000), 5).is_ok_and(|opened| opened.is_none()));
        let mut text = tempfile::tempfile().expect("a file");
        text.write_all(&vec![b'x'; 2 << 20]).expect("there is room");
        assert!(open(text, 5).is_ok_and(|opened| opened.is_none()));
    }
}
