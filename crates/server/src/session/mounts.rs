//! The contexts of a session: what is mounted where, and the copying between a context and the session's own files.
//!
//! A mount is a directory of the session's. The context's files are copied into it (download) and back (upload), so that a
//! program never has its hands on the context itself: only whole regular files, folders and links get there, within the
//! context's quota. Copying reads and writes the session's side in the name of its programs' user.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};

use super::archive::{self, ArchiveWriter};
use super::left_out::LeftOut;
use super::path_set::PathSet;
use super::side::{Refusal, Side};
use crate::contexts::{Context, ContextError, ContextPath, Entry, Extract, MAX_POLICY, RecycleRule, SyncPolicy};
use crate::folder_stack::FolderStack;
use crate::lock::lock;
use crate::random;
use crate::shorten::shown;
use crate::workspace::{ActAs, Located};

/// A context at a path of a session.
#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) context: Arc<Context>,
    /// As the client wrote it.
    pub(crate) path: String,
    pub(crate) policy: SyncPolicy,
    /// The context's folder that is mounted.
    folder: ContextPath,
    /// Files that both sides have had, relative to the mount: only these are deleted when the session has them no more.
    known: Mutex<PathSet>,
}

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
/// Bytes of a download that are copied without a look whether the session goes on.
///
/// 64 MiB: a tenth of a second.
const UNINTERRUPTED: u64 = 64 << 20;

impl Mount {
    /// Checks the path of a mount.
    pub(crate) fn new(context: Arc<Context>, path: String, policy: &str) -> Result<Self, ContextError> {
        let at = ContextPath::of_file(&path)?;
        let invalid = |problem| ContextError::InvalidPath { path: shown(&path), problem };
        if !path.starts_with('/') || path.contains('\\') {
            return Err(invalid("a mount needs an absolute path"));
        }
        let inside = Path::new("/").join(at.as_path());
        if ["/home/user", "/tmp", "/var/tmp", "/var/log"]
            .iter()
            .any(|own| Path::new(own).starts_with(&inside) && Path::new(own) != inside)
            || SYSTEM.iter().any(|system| inside.starts_with(system))
        {
            return Err(invalid("it is a place of the system's; mount below /home, /mnt, /data or the like"));
        }
        let policy = SyncPolicy::parse(policy, &at)?;
        let folder = policy.mapping.clone().unwrap_or(at);
        Ok(Self { context, path, policy, folder, known: Mutex::default() })
    }

    /// Where programs find it.
    pub(crate) fn inside(&self) -> PathBuf {
        Path::new("/").join(self.path.trim_matches('/'))
    }

    /// What is recycled by age below it, as the context is to know it. A context knows the rules of all paths that it has
    /// been mounted at, until it is mounted there without: these are as many as one policy has.
    pub(crate) fn keep_recycle_rule(&self) -> Result<(), ContextError> {
        let (rule, root) = (self.policy.recycle_rule(&self.folder), self.folder.shown());
        let mut is_full = false;
        self.context.update(|meta| {
            let others = meta.recycle.iter().filter(|other| other.root != root);
            is_full = rule.is_some() && others.map(RecycleRule::memory_size).sum::<usize>() > MAX_POLICY;
            if !is_full {
                meta.recycle.retain(|other| other.root != root);
                meta.recycle.extend(rule);
            }
        })?;
        if is_full {
            let problem = "recyclePolicy: the context has too many from other paths: mount it there without one";
            return Err(ContextError::Policy(problem.to_owned()));
        }
        self.context.touch()
    }

    /// Copies the context's files to the session; what is there already and the same stays. Files of the session that
    /// the context has not are left alone.
    pub(crate) fn download(&self, side: Side<'_>) -> Result<(), ContextError> {
        let archive = self.policy.archive.then(|| self.archive());
        let from = Source { context: &self.context, folder: &self.folder, archive: archive.as_deref() };
        download(from, &self.path, side, &self.policy, |path| {
            lock(&self.known).insert(path);
        })
    }

    /// The archive that the mount's files are uploaded as, where they are, relative to the mount.
    fn archive(&self) -> PathBuf {
        let name = self.folder.as_path().file_name().unwrap_or_default().to_string_lossy();
        PathBuf::from(format!("{name}.zip"))
    }

    /// Copies the session's files to the context. Where the policy says so, what the session has deleted is deleted there.
    /// What cannot be copied is left out, and told.
    pub(crate) fn upload(&self, side: Side<'_>) -> Result<(), ContextError> {
        let at = side.folder.locate(&self.path).map_err(|error| refused(&self.path, &error))?;
        let mut present = PathSet::default();
        let mut left = LeftOut::default();
        // In the way of these is something that the session has no more.
        let mut blocked = Vec::new();
        let mut waiting = FolderStack::new(PathBuf::new());
        let (mut walked, mut named) = (0, 0);
        let mut left_to_copy = self.context.max_bytes().saturating_mul(COPIED_PER_BYTE);
        let most = self.context.max_files().saturating_mul(WALKED_PER_FILE);
        let most_named = most.saturating_mul(NAMED_PER_FILE);
        let archived = self.policy.archive.then(|| self.archive());
        let mut archive = match &archived {
            Some(path) => {
                let (bytes, files) = (self.context.max_bytes(), self.context.max_files());
                Some(ArchiveWriter::new(self.context.upload(self.folder.join(path)?)?, bytes, files))
            }
            None => None,
        };
        while let Some(below) = waiting.pop() {
            let (entries, is_empty) = match list(&at, &below, side.user) {
                Ok(entries) => (entries, false),
                // The mount's own directory was removed: nothing is there any more.
                Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), true),
                Err(error) => {
                    left.note_folder(&below, &error);
                    continue;
                }
            };
            if entries.is_empty() && !is_empty && !below.as_os_str().is_empty() && self.policy.includes(&below) {
                if let Some(archive) = &mut archive {
                    archive.add_folder(&below)?;
                } else if let Err(error) = self.context.make_folder(&self.folder.join(&below)?) {
                    leave(&mut left, &below, error)?;
                }
            }
            for (name, is_dir) in entries {
                walked += 1;
                if walked > most {
                    return Err(ContextError::Quota { limit: most, unit: "files to look at", flag: "--context-files" });
                }
                let path = below.join(&name);
                named += path.as_os_str().len() as u64;
                if named > most_named {
                    let unit = "bytes of paths to look at";
                    return Err(ContextError::Quota { limit: most_named, unit, flag: "--context-files" });
                }
                if is_dir && self.policy.may_include_below(&path) {
                    match self.folder.join(&path) {
                        Ok(_) => waiting.push(&below, name),
                        Err(error) => left.note(&path, &error),
                    }
                } else if !is_dir && self.policy.includes(&path) && archived.as_ref() != Some(&path) {
                    match self.upload_file(&at, &path, side.user, archive.as_mut(), &mut left_to_copy) {
                        Ok(true) => present.insert(&path),
                        Ok(false) => {} // a pipe or a socket is not a file to keep
                        Err(Refusal::Session(error)) => {
                            left.note(&path, &error);
                            present.insert(&path);
                        }
                        Err(Refusal::Context(error @ ContextError::InvalidPath { .. })) => left.note(&path, &error),
                        // An archive that has half a file is none.
                        Err(Refusal::Context(error)) if archive.is_some() => return Err(error),
                        Err(Refusal::Context(ContextError::WrongKind { .. })) => blocked.push(path),
                        // What the context has of it stays.
                        Err(Refusal::Context(error)) => {
                            leave(&mut left, &path, error)?;
                            present.insert(&path);
                        }
                    }
                }
            }
        }
        if let Some(archive) = archive {
            archive.finish()?;
            return left.result();
        }
        let before = std::mem::take(&mut *lock(&self.known));
        let removed = self.remove_gone(&before, &mut present, &mut left);
        *lock(&self.known) = present;
        removed?;
        for path in blocked {
            match self.upload_file(&at, &path, side.user, None, &mut left_to_copy) {
                Ok(true) => lock(&self.known).insert(&path),
                Ok(false) => {}
                Err(Refusal::Session(error)) => left.note(&path, &error),
                Err(Refusal::Context(error)) => leave(&mut left, &path, error)?,
            }
        }
        left.result()
    }

    /// Removes from the context what both sides had `before` and the session has no more. What may be where nobody could
    /// look counts as `present`.
    fn remove_gone(&self, before: &PathSet, present: &mut PathSet, left: &mut LeftOut) -> Result<(), ContextError> {
        if !self.policy.deletes || present.has_all(before) {
            return Ok(());
        }
        self.context.walk(&self.folder, |entry| {
            let Ok(path) = entry.path.as_path().strip_prefix(self.folder.as_path()) else { return Ok(()) };
            if entry.is_dir || !before.contains(path) || present.contains(path) {
                return Ok(());
            }
            if left.may_have(path) {
                present.insert(path);
                return Ok(());
            }
            match self.context.remove(&entry.path) {
                Ok(()) | Err(ContextError::NoFile { .. } | ContextError::WrongKind { .. }) => Ok(()),
                Err(error) => leave(left, path, error),
            }
        })
    }

    /// False for what is neither a file nor a link.
    fn upload_file(
        &self,
        at: &Located,
        path: &Path,
        user: Option<u32>,
        archive: Option<&mut ArchiveWriter>,
        left_to_copy: &mut u64,
    ) -> Result<bool, Refusal> {
        let to = self.folder.join(path)?;
        let from = at.path.join(path);
        let acting = ActAs::user(user).map_err(Refusal::Session)?;
        let meta = at.dir.symlink_metadata(&from).map_err(Refusal::Session)?;
        if meta.is_symlink() {
            let target = at.dir.read_link_contents(&from).map_err(Refusal::Session)?;
            drop(acting);
            if let Some(archive) = archive {
                if target.to_str().is_none() {
                    let problem = io::Error::other("a link in an archive leads to a name that is UTF-8");
                    return Err(Refusal::Session(problem));
                }
                archive.add_link(path, &target)?;
                return Ok(true);
            }
            if self.context.read_link(&to).ok().as_ref() != Some(&target) {
                self.context.store_link(&to, &target)?;
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
        if let Some(archive) = archive {
            archive.add(path, file.into_std(), opened.permissions().mode() & 0o100 != 0)?;
            return Ok(true);
        }
        if self.context.entry(&to).is_some_and(|it| !it.is_link && it.size == opened.len() && it.modified == modified) {
            return Ok(true);
        }
        let mut upload = self.context.upload(to)?;
        // What has no room is not even read, and what a program still writes is not followed.
        let size = opened.len();
        upload.announce(size)?;
        *left_to_copy = left_to_copy.checked_sub(size).ok_or(ContextError::UploadTooLarge)?;
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
}

/// What is downloaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) context: &'a Context,
    pub(crate) folder: &'a ContextPath,
    /// The archive that an upload has made, relative to the folder: it is always extracted in its place.
    pub(crate) archive: Option<&'a Path>,
}

/// Copies a folder of a context to a path of a session. Tells of each file.
pub(crate) fn download(
    Source { context, folder, archive }: Source<'_>,
    path: &str,
    side: Side<'_>,
    policy: &SyncPolicy,
    mut copied: impl FnMut(&Path),
) -> Result<(), ContextError> {
    let located = side.folder.locate(path).and_then(Located::writable);
    let at = located.map_err(|error| refused(path, &error))?;
    let mut left = LeftOut::default();
    context.walk(folder, |entry| {
        let Ok(below) = entry.path.as_path().strip_prefix(folder.as_path()) else { return Ok(()) };
        if !policy.includes(below) {
            return Ok(());
        }
        let done = download_entry(Source { context, folder, archive }, &entry, below, &at, side, policy, &mut left);
        match done {
            Ok(true) => copied(below),
            Ok(false) => {}
            Err(Refusal::Session(error)) => left.note(below, &error),
            Err(Refusal::Context(error)) => leave(&mut left, below, error)?,
        }
        Ok(())
    })?;
    left.result()
}

/// False: it is not a file, or not all of it has arrived.
fn download_entry(
    Source { context, archive, .. }: Source<'_>,
    entry: &Entry,
    below: &Path,
    at: &Located,
    side: Side<'_>,
    policy: &SyncPolicy,
    left: &mut LeftOut,
) -> Result<bool, Refusal> {
    side.download.check()?;
    let to = at.path.join(below);
    if entry.is_dir {
        return make_folder(&at.dir, &to, side).map(|()| false);
    }
    let how = if archive == Some(below) {
        Some(Extract { delete_source: true, into_current: true })
    } else {
        policy.extract.filter(|_| !entry.is_link)
    };
    if let Some(how) = how
        && let Some(folder) = archive::destination(below, how.into_current)
        && let Some(opened) = archive::open(context.open(&entry.path)?.0, context.max_files())?
    {
        let before = left.count();
        archive::extract(opened, &at.dir, &at.path, &folder, side, left)?;
        if how.delete_source {
            // What replaces it is uploaded, and then it goes, unless a part of it has not arrived.
            return Ok(left.count() == before);
        }
    }
    download_file(context, entry, &at.dir, &to, side).map(|()| true)
}

fn download_file(context: &Context, entry: &Entry, dir: &Dir, to: &Path, side: Side<'_>) -> Result<(), Refusal> {
    let user = side.user;
    let session = Refusal::Session;
    if let Some(parent) = to.parent() {
        make_folder(dir, parent, side)?;
    }
    let new = to.with_file_name(format!(".agb-{}.new", random::hex::<8>()));
    if entry.is_link {
        let target = context.read_link(&entry.path)?;
        side.workspace.take_disk(0, 1).map_err(ContextError::from)?;
        let _acting = ActAs::user(user).map_err(session)?;
        let placed = dir.symlink_contents(&target, &new).and_then(|()| dir.rename(&new, dir, to));
        return placed.map_err(session);
    }
    // Opened with the server's rights, written with the session's.
    let (mut source, meta) = context.open(&entry.path)?;
    let executable = meta.permissions().mode() & 0o100 != 0;
    let _acting = ActAs::user(user).map_err(session)?;
    let before = dir.symlink_metadata(to).ok().filter(|before| before.is_file() && before.len() == meta.len());
    if before.and_then(|before| before.modified().ok()).is_some_and(|time| time.into_std() == entry.modified) {
        return Ok(());
    }
    side.workspace.take_disk(meta.len(), 1).map_err(ContextError::from)?;
    let mut copy = || {
        let file = dir.open_with(&new, OpenOptions::new().write(true).create_new(true)).map_err(session)?;
        file.set_permissions(Permissions::from_mode(if executable { 0o755 } else { 0o644 })).map_err(session)?;
        let mut file = file.into_std();
        // By the kernel, and between the pieces there is time to hear of the session's end.
        while io::copy(&mut Read::by_ref(&mut source).take(UNINTERRUPTED), &mut file).map_err(session)? > 0 {
            side.download.check()?;
        }
        // The same time on both sides tells an upload that nothing has changed.
        file.set_modified(entry.modified).map_err(session)?;
        dir.rename(&new, dir, to).map_err(session)
    };
    copy().inspect_err(|_| {
        let _ = dir.remove_file(&new); // the first error is the one to report
    })
}

/// Makes a folder of the session's where there is none, and those above it.
fn make_folder(dir: &Dir, path: &Path, side: Side<'_>) -> Result<(), Refusal> {
    let _acting = ActAs::user(side.user).map_err(Refusal::Session)?;
    if dir.metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    side.workspace.take_disk(0, path.components().count() as u64).map_err(ContextError::from)?;
    dir.create_dir_all(path).map_err(Refusal::Session)
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

/// A file is left out, unless the context takes nothing more at all.
fn leave(left: &mut LeftOut, path: &Path, error: ContextError) -> Result<(), ContextError> {
    match error {
        ContextError::NotFound(_) | ContextError::Clearing(_) | ContextError::DiskFull | ContextError::Released => {
            Err(error)
        }
        error => {
            left.note(path, &error);
            Ok(())
        }
    }
}

fn refused(path: &str, error: &crate::workspace::PathError) -> ContextError {
    ContextError::System { action: "using a path of the session", problem: format!("{path}: {error}") }
}

/// What a sandbox consists of.
const SYSTEM: [&str; 13] =
    ["/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/dev", "/sys", "/run", "/nix"];
