//! Archives of a mount: one `.zip` in the context instead of files, and archives that are extracted when they come.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use cap_std::fs::{Dir, OpenOptions, Permissions, PermissionsExt};
use zip::read::{Config, ZipFileEntry};
use zip::unstable::read::ZipIterable;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipReadOptions, ZipWriter};

use super::left_out::LeftOut;
use super::side::{Refusal, Side};
use crate::contexts::{ContextError, Upload};
use crate::random;
use crate::workspace::ActAs;

/// Writes an archive into a context.
///
/// What goes in is counted against the context's quota, and not only what comes of it: a program can leave files of
/// nothing but zeros that take no room anywhere, and days to compress. Nor could they be extracted again.
pub(super) struct ArchiveWriter {
    zip: ZipWriter<zip::write::StreamWriter<UploadWriter>>,
    most: u64,
    left: u64,
    /// How many entries there may be, and may still be: more could not be extracted again.
    most_entries: u64,
    entries_left: u64,
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
    /// `most`: how many bytes may go in, and how many files.
    pub(super) fn new(upload: Upload, most: u64, most_entries: u64) -> Self {
        let zip = ZipWriter::new_stream(UploadWriter { upload, refused: None });
        Self { zip, most, left: most, most_entries, entries_left: most_entries }
    }

    fn take_entry(&mut self) -> Result<(), ContextError> {
        let left = self.entries_left.checked_sub(1);
        let (limit, unit) = (self.most_entries, "files to archive");
        self.entries_left = left.ok_or(ContextError::Quota { limit, unit, flag: "--context-files" })?;
        Ok(())
    }

    /// Adds a file.
    pub(super) fn add(&mut self, path: &Path, file: impl Read, executable: bool) -> Result<(), ContextError> {
        self.take_entry()?;
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
        self.take_entry()?;
        self.zip.add_symlink(name(path), target.to_string_lossy(), options(0o777)).map_err(|error| broken(&error))
    }

    /// Adds a folder that has nothing in it.
    pub(super) fn add_folder(&mut self, path: &Path) -> Result<(), ContextError> {
        self.take_entry()?;
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

/// An archive's file, of which only so much is read until it is known what is in it.
#[derive(Debug)]
pub(super) struct Bounded {
    file: File,
    left: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other("its list of files cannot be found"));
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

/// An archive whose list of files is read as it goes, and never kept: nothing that it says of itself is believed.
pub(super) type Archive = ZipIterable<Bounded>;

/// Reads a file as an archive of at most so many files; `None`: it is another kind of file, or nothing that could be such a
/// list is near its end.
pub(super) fn open(file: File, most: u64) -> Result<Option<Archive>, ContextError> {
    let left = Rc::new(Cell::new(most.saturating_mul(LISTED).max(LEAST_LIST)));
    match Archive::try_new(Bounded { file, left: Rc::clone(&left) }, Config::default()) {
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

/// Extracts an archive to a folder below a mount of the session's, in the name of its user.
pub(super) fn extract(
    mut archive: Archive,
    dir: &Dir,
    mount: &Path,
    folder: &Path,
    side: Side<'_>,
    left: &mut LeftOut,
) -> Result<(), Refusal> {
    let _acting = ActAs::user(side.user).map_err(Refusal::Session)?;
    let entries = archive.files().map_err(|error| unreadable(&error))?;
    // Entries share the file's position with the list, which goes on where it was.
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|error| unreadable(&error))?;
        let named = PathBuf::from(String::from_utf8_lossy(entry.name_raw()).into_owned());
        let shown = folder.join(&named);
        side.download.take(0, 1)?;
        let Some(below) = entry.name().ok().and_then(|name| enclosed(&name)) else {
            // No program makes such a one by accident, and none misses it.
            tracing::warn!(name = %shown.to_string_lossy().escape_debug(), "a name in an archive leads out of its folder");
            continue;
        };
        side.workspace.take_disk(0, below.components().count() as u64).map_err(ContextError::from)?;
        match extract_entry(entry, entries.reader_mut(), dir, &mount.join(folder).join(below), side) {
            Ok(()) => {}
            Err(Refusal::Session(error)) => left.note(&shown, &error),
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(())
}

fn extract_entry(
    entry: ZipFileEntry<'_>,
    reader: &mut Bounded,
    dir: &Dir,
    path: &Path,
    side: Side<'_>,
) -> Result<(), Refusal> {
    let session = Refusal::Session;
    if entry.is_dir() {
        return dir.create_dir_all(path).map_err(session);
    }
    let mode = entry.unix_mode().unwrap_or(0o644);
    let mut bytes =
        entry.with_reader(reader, ZipReadOptions::new()).map_err(|error| session(io::Error::other(error)))?;
    if let Some(parent) = path.parent() {
        dir.create_dir_all(parent).map_err(session)?;
    }
    let new = path.with_file_name(format!(".agb-{}.new", random::hex::<8>()));
    let placed = if mode & TYPE == LINK {
        link(&mut bytes, dir, &new).map_err(session)
    } else {
        write(&mut bytes, dir, &new, mode & 0o100 != 0, side)
    };
    placed.and_then(|()| dir.rename(&new, dir, path).map_err(session)).inspect_err(|_| {
        let _ = dir.remove_file(&new); // the first error is the one to report
    })
}

/// The path that an archive's name means below a folder, if it does. Archives of Windows' have `\`.
fn enclosed(name: &str) -> Option<PathBuf> {
    let is_plain = |part: &&str| !matches!(*part, "" | ".");
    let path: PathBuf = name.split(['/', '\\']).filter(is_plain).collect();
    let leads_out = path.components().any(|part| !matches!(part, Component::Normal(_)));
    (!leads_out && !name.contains('\0') && !path.as_os_str().is_empty()).then_some(path)
}

fn link(entry: &mut impl Read, dir: &Dir, new: &Path) -> io::Result<()> {
    let mut target = String::new();
    entry.take(MAX_TARGET).read_to_string(&mut target)?;
    dir.symlink_contents(target, new)
}

fn write(entry: &mut impl Read, dir: &Dir, new: &Path, executable: bool, side: Side<'_>) -> Result<(), Refusal> {
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
        side.download.take(read as u64, 0)?;
        side.workspace.take_disk(read as u64, 0).map_err(ContextError::from)?;
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
    fn what_an_archive_says_of_itself_is_not_believed() {
        let opened = open(archive(5, 10), 5).expect("it is small").expect("it is an archive");
        assert_eq!(opened.len(), 5);
        assert!(matches!(open(archive(6, 10), 5), Err(ContextError::Quota { limit: 5, .. })));
        let mut text = tempfile::tempfile().expect("a file");
        text.write_all(&vec![b'x'; 2 << 20]).expect("there is room");
        assert!(open(text, 5).is_ok_and(|opened| opened.is_none()));
    }

    /// A gigabyte of nothing, one header, and an end that claims a list of a billion files.
    #[test]
    fn a_claimed_number_of_files_reserves_nothing() {
        const AT: u64 = 1 << 30;
        const CLAIMED: u64 = 1_000_000_000;
        let mut header = b"PK\x01\x02".to_vec();
        header.resize(46, 0);
        let mut end = b"PK\x06\x06".to_vec();
        end.extend(44_u64.to_le_bytes());
        end.extend([0; 12]);
        for number in [CLAIMED, CLAIMED, CLAIMED * 46, AT] {
            end.extend(number.to_le_bytes());
        }
        end.extend(b"PK\x06\x07\0\0\0\0");
        end.extend((AT + 46).to_le_bytes());
        end.extend(1_u32.to_le_bytes());
        end.extend(b"PK\x05\x06\0\0\0\0");
        end.extend([0xff; 12]);
        end.extend([0, 0]);
        let mut file = tempfile::tempfile().expect("a file");
        file.seek(SeekFrom::Start(AT)).expect("it is a file");
        file.write_all(&[header, end].concat()).expect("there is room");
        for most in [5, u64::MAX] {
            let file = file.try_clone().expect("it is open");
            assert!(!matches!(open(file, most), Ok(Some(_))));
        }
    }

    #[test]
    fn names_in_archives_stay_below_their_folder() {
        for (name, path) in [
            ("a/./b//c", Some("a/b/c")),
            ("a\\b", Some("a/b")),
            ("10:30.txt", Some("10:30.txt")),
            ("/etc/x", Some("etc/x")),
            ("a/", Some("a")),
            ("../x", None),
            ("a/../x", None),
            ("..\\x", None),
            ("a\0b", None),
            ("", None),
            ("./", None),
        ] {
            assert_eq!(enclosed(name), path.map(PathBuf::from), "{name:?}");
        }
    }
}
