//! Archives of a mount: one `.zip` in the context instead of files, and archives that are extracted when they come.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions, Permissions, PermissionsExt};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::mounts::Refusal;
use crate::contexts::{ContextError, Upload};
use crate::random;
use crate::workspace::ActAs;

/// Writes an archive into a context.
pub(super) struct ArchiveWriter(ZipWriter<zip::write::StreamWriter<UploadWriter>>);

/// An upload as what an archive is written to. What the context refuses is kept, since an I/O error cannot carry it.
pub(super) struct UploadWriter {
    upload: Upload,
    refused: Option<ContextError>,
}

/// The longest target of a symbolic link, as Linux has it.
const MAX_TARGET: u64 = 4096;
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
    pub(super) fn new(upload: Upload) -> Self {
        Self(ZipWriter::new_stream(UploadWriter { upload, refused: None }))
    }

    /// Adds a file.
    pub(super) fn add(&mut self, path: &Path, mut file: File, executable: bool) -> Result<(), ContextError> {
        let mode = if executable { 0o755 } else { 0o644 };
        self.0.start_file(name(path), options(mode)).map_err(|error| broken(&error))?;
        io::copy(&mut file, &mut self.0).map(drop).map_err(|error| broken(&error))
    }

    /// Adds a symbolic link.
    pub(super) fn add_link(&mut self, path: &Path, target: &Path) -> Result<(), ContextError> {
        self.0.add_symlink(name(path), target.to_string_lossy(), options(0o777)).map_err(|error| broken(&error))
    }

    /// Adds a folder that has nothing in it.
    pub(super) fn add_folder(&mut self, path: &Path) -> Result<(), ContextError> {
        self.0.add_directory(name(path), options(0o755)).map_err(|error| broken(&error))
    }

    /// Puts the archive in its place.
    pub(super) fn finish(self) -> Result<(), ContextError> {
        let writer = self.0.finish().map_err(|error| broken(&error))?.into_inner();
        match writer.refused {
            Some(error) => Err(error),
            None => writer.upload.commit(false).map(drop),
        }
    }
}

/// Reads a file as an archive; `None`: it is another kind of file.
pub(super) fn open(file: File) -> Option<ZipArchive<File>> {
    ZipArchive::new(file).ok()
}

/// What an archive may become in a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

/// Extracts an archive below a folder of the session's, in the name of its user.
pub(super) fn extract(
    mut archive: ZipArchive<File>,
    dir: &Dir,
    to: &Path,
    user: Option<u32>,
    bounds: Bounds,
) -> Result<(), Refusal> {
    if archive.len() as u64 > bounds.files {
        return Err(quota(bounds.files, "files from an archive", "--context-files"));
    }
    let _acting = ActAs::user(user).map_err(Refusal::Session)?;
    let mut left = bounds.bytes;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| unreadable(&error))?;
        // A name that leads out is left out: no program makes such a one by accident.
        let Some(below) = entry.enclosed_name() else { continue };
        let path = to.join(&below);
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
            link(&mut entry, dir, &new)
        } else {
            write(&mut entry, dir, &new, mode & 0o100 != 0, &mut left)
        };
        match placed.and_then(|fits| dir.rename(&new, dir, &path).map(|()| fits)) {
            Ok(true) => {}
            Ok(false) => {
                let _ = dir.remove_file(&path); // it is a part of a file only
                return Err(quota(bounds.bytes, "bytes for its session", "--disk"));
            }
            Err(error) => {
                let _ = dir.remove_file(&new); // the first error is the one to report
                return Err(Refusal::Session(error));
            }
        }
    }
    Ok(())
}

fn link(entry: &mut impl Read, dir: &Dir, new: &Path) -> io::Result<bool> {
    let mut target = String::new();
    entry.take(MAX_TARGET).read_to_string(&mut target)?;
    dir.symlink_contents(target, new).map(|()| true)
}

/// False: it was more than what is left.
fn write(entry: &mut impl Read, dir: &Dir, new: &Path, executable: bool, left: &mut u64) -> io::Result<bool> {
    let file = dir.open_with(new, OpenOptions::new().write(true).create_new(true))?;
    file.set_permissions(Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
    // What an archive says of its sizes is not believed.
    let written = io::copy(&mut entry.take(left.saturating_add(1)), &mut file.into_std())?;
    let fits = written <= *left;
    *left = left.saturating_sub(written);
    Ok(fits)
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

fn quota(limit: u64, unit: &'static str, flag: &'static str) -> Refusal {
    ContextError::Quota { limit, unit, flag }.into()
}

/// Where an archive is extracted to, if its name is one's: the folder that it is in, or one of its name.
pub(super) fn destination(path: &Path, into_current: bool) -> Option<PathBuf> {
    let is_archive = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
    let parent = path.parent().unwrap_or(Path::new(""));
    let folder = if into_current { parent.to_path_buf() } else { parent.join(path.file_stem()?) };
    is_archive.then_some(folder)
}
