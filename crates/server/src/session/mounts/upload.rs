//! The way of a mount's files from the session to the context.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use cap_std::fs::{OpenOptions, OpenOptionsExt, PermissionsExt};

use super::{Mount, leave, refused};
use crate::contexts::ContextError;
use crate::folder_stack::FolderStack;
use crate::lock::lock;
use crate::session::archive::ArchiveWriter;
use crate::session::left_out::LeftOut;
use crate::session::path_set::PathSet;
use crate::session::side::{Refusal, Side};
use crate::workspace::{ActAs, Located};

/// Entries of a session's folder that an upload looks at, for each file that the context may have.
const WALKED_PER_FILE: u64 = 2;
/// Bytes of the paths of those, for each of them: what is copied into an archive, or later, is remembered.
///
/// 128: paths in `node_modules` have 60 to 100; a tree with few files may have paths of any length.
const NAMED_PER_FILE: u64 = 128;
/// Bytes that an upload copies, for each byte that the context may have: files may have any size and take no room on a disk.
///
/// 2: all that fits, and once more what the context refuses when it has arrived.
const COPIED_PER_BYTE: u64 = 2;
/// Bytes that are copied at once.
const PIECE: usize = 256 * 1024;
/// An upload under way.
pub(super) struct Upload<'a> {
    mount: &'a Mount,
    /// Whom the session's side is read as.
    user: Option<u32>,
    at: Located,
    /// Relative to the mount.
    archive_path: Option<PathBuf>,
    archive: Option<ArchiveWriter>,
    looked: Looked,
    left_to_copy: u64,
    present: PathSet,
    left: LeftOut,
    /// In the way of these is something that the session has no more.
    blocked: Vec<PathBuf>,
}

impl<'a> Upload<'a> {
    pub(super) fn begin(mount: &'a Mount, side: Side<'_>) -> Result<Self, ContextError> {
        let at = side.folder.locate(&mount.path).map_err(|error| refused(&mount.path, &error))?;
        let (bytes, files) = (mount.context.max_bytes(), mount.context.max_files());
        let archive_path = mount.policy.archive.then(|| mount.archive());
        let archive = match &archive_path {
            Some(path) => Some(ArchiveWriter::new(mount.context.upload(mount.folder.join(path)?)?, bytes, files)),
            None => None,
        };
        Ok(Self {
            mount,
            user: side.user,
            at,
            archive_path,
            archive,
            looked: Looked::at_most(files),
            left_to_copy: bytes.saturating_mul(COPIED_PER_BYTE),
            present: PathSet::default(),
            left: LeftOut::default(),
            blocked: Vec::new(),
        })
    }

    pub(super) fn run(mut self) -> Result<(), ContextError> {
        let mut waiting = FolderStack::new(PathBuf::new());
        while let Some(below) = waiting.pop() {
            self.folder(&below, &mut waiting)?;
        }
        if let Some(archive) = self.archive.take() {
            archive.finish()?;
            return self.left.result();
        }
        let before = std::mem::take(&mut *lock(&self.mount.known));
        let removed = self.remove_gone(&before);
        *lock(&self.mount.known) = std::mem::take(&mut self.present);
        removed?;
        for path in std::mem::take(&mut self.blocked) {
            match self.file(&path) {
                Ok(true) => lock(&self.mount.known).insert(&path),
                Ok(false) => {}
                Err(Refusal::Session(error)) => self.left.note(&path, &error),
                Err(Refusal::Context(error)) => leave(&mut self.left, &path, error)?,
            }
        }
        self.left.result()
    }

    /// Uploads the files of one folder, and notes its folders as `waiting`.
    fn folder(&mut self, below: &Rc<Path>, waiting: &mut FolderStack) -> Result<(), ContextError> {
        let Mount { context, folder, policy, .. } = self.mount;
        let (entries, is_empty) = match list(&self.at, below, self.user) {
            Ok(entries) => (entries, false),
            // The mount's own directory was removed: nothing is there any more.
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), true),
            Err(error) => {
                self.left.note_folder(below, &error);
                return Ok(());
            }
        };
        if entries.is_empty() && !is_empty && !below.as_os_str().is_empty() && policy.includes(below) {
            if let Some(archive) = &mut self.archive {
                archive.add_folder(below)?;
            } else if let Err(error) = context.make_folder(&folder.join(below)?) {
                leave(&mut self.left, below, error)?;
            }
        }
        for (name, is_dir) in entries {
            let path = below.join(&name);
            self.looked.note(&path)?;
            if is_dir && policy.may_include_below(&path) {
                match folder.join(&path) {
                    Ok(_) => waiting.push(below, name),
                    Err(error) => self.left.note(&path, &error),
                }
            } else if !is_dir && policy.includes(&path) && self.archive_path.as_ref() != Some(&path) {
                self.entry(path)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf) -> Result<(), ContextError> {
        match self.file(&path) {
            Ok(true) => self.present.insert(&path),
            Ok(false) => {} // a pipe or a socket is not a file to keep
            Err(Refusal::Session(error)) => {
                self.left.note(&path, &error);
                self.present.insert(&path);
            }
            Err(Refusal::Context(error @ ContextError::InvalidPath { .. })) => self.left.note(&path, &error),
            // An archive that has half a file is none.
            Err(Refusal::Context(error)) if self.archive.is_some() => return Err(error),
            Err(Refusal::Context(ContextError::WrongKind { .. })) => self.blocked.push(path),
            // What the context has of it stays.
            Err(Refusal::Context(error)) => {
                leave(&mut self.left, &path, error)?;
                self.present.insert(&path);
            }
        }
        Ok(())
    }

    /// False for what is neither a file nor a link.
    fn file(&mut self, path: &Path) -> Result<bool, Refusal> {
        let Self { mount: Mount { context, folder, .. }, at, .. } = self;
        let to = folder.join(path)?;
        let from = at.path.join(path);
        let acting = ActAs::user(self.user).map_err(Refusal::Session)?;
        let meta = at.dir.symlink_metadata(&from).map_err(Refusal::Session)?;
        if meta.is_symlink() {
            let target = at.dir.read_link_contents(&from).map_err(Refusal::Session)?;
            drop(acting);
            if let Some(archive) = &mut self.archive {
                if target.to_str().is_none() {
                    let problem = io::Error::other("a link in an archive leads to a name that is UTF-8");
                    return Err(Refusal::Session(problem));
                }
                archive.add_link(path, &target)?;
                return Ok(true);
            }
            if context.read_link(&to).ok().as_ref() != Some(&target) {
                context.store_link(&to, &target)?;
            }
            return Ok(true);
        }
        if !meta.is_file() {
            return Ok(false);
        }
        let modified = meta.modified().map_or(SystemTime::UNIX_EPOCH, |time| time.into_std());
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = at.dir.open_with(&from, &options).map_err(Refusal::Session)?;
        let opened = file.metadata().map_err(Refusal::Session)?;
        drop(acting);
        if !opened.is_file() {
            return Ok(false);
        }
        if let Some(archive) = &mut self.archive {
            archive.add(path, file.into_std(), opened.permissions().mode() & 0o100 != 0)?;
            return Ok(true);
        }
        if context.entry(&to).is_some_and(|it| !it.is_link && it.size == opened.len() && it.modified == modified) {
            return Ok(true);
        }
        let mut upload = context.upload(to)?;
        // What has no room is not even read, and what a program still writes is not followed.
        let size = opened.len();
        upload.announce(size)?;
        self.left_to_copy = self.left_to_copy.checked_sub(size).ok_or(ContextError::UploadTooLarge)?;
        let mut file = file.into_std().take(size);
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => upload.write(&piece[..read])?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Refusal::Session(error)),
            }
        }
        upload.commit(opened.permissions().mode() & 0o100 != 0)?;
        Ok(true)
    }

    /// Removes from the context what both sides had `before` and the session has no more. What may be where nobody could
    /// look counts as `present`.
    fn remove_gone(&mut self, before: &PathSet) -> Result<(), ContextError> {
        let Self { mount: Mount { context, folder, policy, .. }, present, left, .. } = self;
        if !policy.deletes || present.has_all(before) {
            return Ok(());
        }
        context.walk(folder, |entry| {
            let Ok(path) = entry.path.as_path().strip_prefix(folder.as_path()) else { return Ok(()) };
            if entry.is_dir || !before.contains(path) || present.contains(path) {
                return Ok(());
            }
            if left.may_have(path) {
                present.insert(path);
                return Ok(());
            }
            match context.remove(&entry.path) {
                Ok(()) | Err(ContextError::NoFile { .. } | ContextError::WrongKind { .. }) => Ok(()),
                Err(error) => leave(left, path, error),
            }
        })
    }
}

/// How much an upload has looked at, and how much it may.
struct Looked {
    entries: u64,
    most_entries: u64,
    bytes: u64,
    most_bytes: u64,
}

impl Looked {
    fn at_most(files: u64) -> Self {
        let most_entries = files.saturating_mul(WALKED_PER_FILE);
        Self { entries: 0, most_entries, bytes: 0, most_bytes: most_entries.saturating_mul(NAMED_PER_FILE) }
    }

    fn note(&mut self, path: &Path) -> Result<(), ContextError> {
        self.entries += 1;
        self.bytes += path.as_os_str().len() as u64;
        let quota = |limit, unit| ContextError::Quota { limit, unit, flag: "--context-files" };
        if self.entries > self.most_entries {
            return Err(quota(self.most_entries, "files to look at"));
        }
        if self.bytes > self.most_bytes {
            return Err(quota(self.most_bytes, "bytes of paths to look at"));
        }
        Ok(())
    }
}

/// The names in a directory of the session's, and which are directories.
fn list(at: &Located, below: &Path, user: Option<u32>) -> io::Result<Vec<(OsString, bool)>> {
    let _acting = ActAs::user(user)?;
    at.dir
        .read_dir(at.path.join(below))?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name(), entry.file_type()?.is_dir()))
        })
        .collect()
}
