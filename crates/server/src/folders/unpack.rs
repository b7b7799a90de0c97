//! Unpacks an archive into a folder of a session: as a whole or not at all.

use std::fs::{File, FileTimes};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};

use super::error::ArchiveError;
use super::reader::{Entries, Entry, EntryKind, Unpacked};
use crate::random;
use crate::shorten::shown;
use crate::workspace::{ActAs, Located, Workspace};

/// Bytes that are copied at once.
const PIECE: usize = 256 * 1024;

/// What a file of a byte, or an empty folder, takes on disk: a block of the usual file systems.
const LEAST: u64 = 4096;

/// An archive, and what its list was found to have when room was taken for it.
type Checked<'a> = (&'a File, Unpacked);

/// Unpacks an archive. Blocks.
///
/// Its list is checked first; it lies where programs of the session reach it, so each later look believes nothing either, and
/// takes no more than was found then. Then its files are written where nobody sees them, and when all of them are there, each takes
/// its place. What the folder has beside them stays. Its folders get the permissions that the archive says, the one that it
/// is unpacked into keeps its own.
pub(crate) fn unpack(archive: &File, at: &Located, workspace: &Workspace) -> Result<Unpacked, ArchiveError> {
    let found = check(archive)?;
    let (bytes, files) = room(found, at.path.components().count() as u64);
    workspace.take_disk(bytes, files)?;
    let failed = |error| ArchiveError::file(&at.inside, error);
    // The guard for its removal is the outermost: it needs the server's own rights.
    let staging = workspace.folder().new_staging().map_err(failed)?;
    let _acting = ActAs::user(workspace.slot().user()).map_err(failed)?;
    extract((archive, found), &staging.dir)?;
    at.dir.create_dir_all(&at.path).map_err(failed)?;
    let target = at.dir.open_dir(&at.path).map_err(failed)?;
    find_conflicts((archive, found), &target)?;
    place((archive, found), &staging.dir, &target)?;
    set_permissions((archive, found), &target)?;
    Ok(found)
}

fn check(archive: &File) -> Result<Unpacked, ArchiveError> {
    let mut entries = Entries::new(archive)?;
    while entries.next()?.is_some() {}
    Ok(entries.found())
}

/// The bytes and files that an archive may take in a folder which lies so deep: its folders are made where nobody sees them,
/// and once more in their place. Each file and folder takes a block more than its bytes at most.
fn room(found: Unpacked, depth: u64) -> (u64, u64) {
    let files = found.folders.saturating_mul(2).saturating_add(found.entries).saturating_add(depth);
    (found.bytes.saturating_add(files.saturating_mul(LEAST)), files)
}

fn extract((archive, found): Checked<'_>, staging: &Dir) -> Result<(), ArchiveError> {
    let mut entries = Entries::again(archive, found)?;
    // The folder that is known to be one, and not a link.
    let mut known = PathBuf::new();
    while let Some(entry) = entries.next()? {
        let folder = entry.folder();
        if folder != known {
            make_folders(staging, folder)?;
            known = folder.to_path_buf();
        }
        let Entry { path, kind } = entry;
        let failed = |error| ArchiveError::file(&path, error);
        let new = path.with_file_name(format!(".agb-{}.new", random::hex::<8>()));
        match kind {
            EntryKind::Folder { .. } => continue,
            EntryKind::File { at, size, mode, modified } => {
                write(archive, at, size, staging, &new, mode, modified).map_err(failed)?;
            }
            EntryKind::Symlink(target) => staging.symlink_contents(target, &new).map_err(failed)?,
            EntryKind::HardLink(target) => staging.hard_link(&target, staging, &new).map_err(failed)?,
        }
        staging.rename(&new, staging, &path).map_err(failed)?;
    }
    Ok(())
}

/// Makes a folder and those above it. None of them may be a link: what is below it would be somewhere else.
fn make_folders(dir: &Dir, folder: &Path) -> Result<(), ArchiveError> {
    let mut path = PathBuf::new();
    for part in folder {
        path.push(part);
        match dir.symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(meta) if meta.is_symlink() => {
                return Err(ArchiveError::BelowLink { name: shown(&folder.to_string_lossy()) });
            }
            Ok(_) => return Err(ArchiveError::file(&path, ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                dir.create_dir(&path).map_err(|error| ArchiveError::file(&path, error))?;
            }
            Err(error) => return Err(ArchiveError::file(&path, error)),
        }
    }
    Ok(())
}

fn write(archive: &File, mut at: u64, size: u64, dir: &Dir, new: &Path, mode: u32, modified: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).custom_flags(libc::O_NOFOLLOW);
    let file = dir.open_with(new, &options)?;
    let end = at + size;
    let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
    let mut to = 0;
    while at < end {
        let length = piece.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        archive.read_exact_at(&mut piece[..length], at)?;
        cap_std::fs::FileExt::write_all_at(&file, &piece[..length], to)?;
        (at, to) = (at + length as u64, to + length as u64);
    }
    // Whoever packed it could read and write it, whatever was said of others.
    file.set_permissions(Permissions::from_mode(mode | 0o600))?;
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(modified));
    let file = file.into_std();
    // A time that the file system does not have is no reason to refuse a file.
    let _ = time.map(|time| file.set_times(FileTimes::new().set_modified(time)));
    Ok(())
}

/// Whether a file would take the place of a folder, or the other way round.
fn find_conflicts((archive, found): Checked<'_>, target: &Dir) -> Result<(), ArchiveError> {
    let mut entries = Entries::again(archive, found)?;
    while let Some(Entry { path, kind }) = entries.next()? {
        let found = match kind {
            EntryKind::Folder { .. } if path.as_os_str().is_empty() => continue,
            EntryKind::Folder { .. } => {
                target.metadata(&path).map(|meta| (!meta.is_dir()).then_some(ErrorKind::NotADirectory))
            }
            _ => target.symlink_metadata(&path).map(|meta| meta.is_dir().then_some(ErrorKind::IsADirectory)),
        };
        match found {
            Ok(None) => {}
            Ok(Some(kind)) => return Err(ArchiveError::file(&path, kind.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(ArchiveError::file(&path, error)),
        }
    }
    Ok(())
}

/// Moves everything to its place. This needs no space, so that it does not fail half-way for want of any.
fn place((archive, found): Checked<'_>, staging: &Dir, target: &Dir) -> Result<(), ArchiveError> {
    let mut entries = Entries::again(archive, found)?;
    while let Some(entry) = entries.next()? {
        let failed = |error| ArchiveError::file(&entry.path, error);
        let folder = entry.folder();
        if !folder.as_os_str().is_empty() {
            target.create_dir_all(folder).map_err(failed)?;
        }
        if entry.kind.is_folder() {
            continue;
        }
        let path = &entry.path;
        match staging.rename(path, target, path) {
            // An archive may name a file twice: the last one counts, and it is in its place.
            Err(error) if error.kind() == ErrorKind::NotFound && target.symlink_metadata(path).is_ok() => {}
            moved => moved.map_err(failed)?,
        }
    }
    Ok(())
}

/// Gives the folders their permissions, when everything is in them. One that is somebody else's keeps its own, and so does
/// what a link leads to.
fn set_permissions((archive, found): Checked<'_>, target: &Dir) -> Result<(), ArchiveError> {
    let mut entries = Entries::again(archive, found)?;
    while let Some(Entry { path, kind }) = entries.next()? {
        let EntryKind::Folder { mode: Some(mode) } = kind else { continue };
        let is_own = target.symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
        if path.as_os_str().is_empty() || !is_own {
            continue;
        }
        // Whoever packed it could use it, whatever was said of others.
        match target.set_permissions(&path, Permissions::from_mode(mode | 0o700)) {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => return Err(ArchiveError::file(&path, error)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of an archive with these files.
    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, *content).expect("it is written to memory");
        }
        archive.into_inner().expect("it is written to memory")
    }

    #[test]
    fn no_more_is_unpacked_than_was_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let staging = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).expect("it is there");
        let packed = tempfile::tempfile().expect("a file");
        packed.write_all_at(&archive(&[("a", b"1234"), ("b", b"56")]), 0).expect("there is room");
        let found = check(&packed).expect("it is fine");
        assert_eq!(found, Unpacked { entries: 2, folders: 0, bytes: 6 });
        // A program writes to it between two looks: one more file, or larger ones.
        let most: &[u8] = &[b'x'; 5000];
        for other in [
            &[("a", b"1".as_slice()), ("b", b""), ("c", b"")][..],
            &[("a", most)],
            &[("a", b"1234"), ("b", most)],
            &[("a", b"1"), ("x/y/z/b", b"2")],
        ] {
            packed.write_all_at(&archive(other), 0).expect("there is room");
            for look in [
                extract((&packed, found), &staging),
                find_conflicts((&packed, found), &staging),
                place((&packed, found), &staging, &staging),
                set_permissions((&packed, found), &staging),
            ] {
                let refused = look.expect_err("it is more than was found");
                assert!(matches!(refused, ArchiveError::Exchanged), "{refused}");
            }
        }
        let size = |name: &str| folder.path().join(name).metadata().map_or(0, |meta| meta.len());
        assert!(size("a") + size("b") <= 6);
        packed.write_all_at(&archive(&[("a", b"12"), ("b", b"3456")]), 0).expect("there is room");
        extract((&packed, found), &staging).expect("as much as was found");
    }
}
