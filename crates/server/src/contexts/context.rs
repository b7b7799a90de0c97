//! The files of one context. Every method blocks: call it off the runtime's threads.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirEntry, File, Metadata, OpenOptions, OpenOptionsExt};
use serde::{Deserialize, Serialize};

use super::usage::{Amount, Quota, Reservation};
use super::{ContextError, ContextPath, RecycleRule};
use crate::cluster::{Incarnation, TRANSFER_CONTEXT};
use crate::folder_stack::FolderStack;
use crate::lock::lock;
use crate::random;
use crate::time_text;

/// The parts of a context's folder.
const FILES: &str = "files";
const INCOMING: &str = "incoming";
const TRASH: &str = "trash-";
const META: &str = "context.json";
/// The end of the name of a folder that is to be removed.
pub(super) const DELETED: &str = "deleted";

/// A context: files with a name, on disk.
#[derive(Debug)]
pub(crate) struct Context {
    id: String,
    folder: PathBuf,
    max: Amount,
    meta: Mutex<Meta>,
    /// Counted when it is first needed.
    quota: OnceLock<Arc<Quota>>,
    /// Held for each step that makes files appear or disappear.
    changes: Mutex<()>,
    is_clearing: AtomicBool,
    /// The session that it passes files for, if it is for that.
    session: Option<String>,
}

/// What is known of a context beside its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created: String,
    pub(crate) last_used: String,
    #[serde(default)]
    pub(crate) recycle: Vec<RecycleRule>,
}

/// A file or folder of a context.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: ContextPath,
    pub(crate) is_dir: bool,
    pub(crate) is_link: bool,
    pub(crate) size: u64,
    pub(crate) created: SystemTime,
    pub(crate) modified: SystemTime,
}

impl Context {
    /// Makes a new one in a folder that does not exist yet.
    pub(crate) fn create(folder: PathBuf, meta: Meta, max: Amount) -> Result<Arc<Self>, ContextError> {
        Self::make(folder, meta, max).map(Arc::new)
    }

    /// Makes one that files of a session pass through.
    pub(crate) fn create_transfer(folder: PathBuf, session: &str, max: Amount) -> Result<Arc<Self>, ContextError> {
        let id = format!("{TRANSFER_CONTEXT}{}", Incarnation::name_beside(session));
        let meta = Meta { name: id.clone(), id, created: now(), last_used: now(), recycle: Vec::new() };
        let context = Self::make(folder, meta, max)?;
        Ok(Arc::new(Self { session: Some(session.to_owned()), ..context }))
    }

    fn make(folder: PathBuf, meta: Meta, max: Amount) -> Result<Self, ContextError> {
        let make = |path: &Path| {
            use std::os::unix::fs::DirBuilderExt;
            fs::DirBuilder::new().mode(0o700).recursive(true).create(path)
        };
        make(&folder.join(FILES))
            .and_then(|()| make(&folder.join(INCOMING)))
            .map_err(|error| ContextError::system("making the context's folder", &error))?;
        let context = Self::new(folder, meta, max);
        context.save()?;
        Ok(context)
    }

    /// Finds the one in a folder; `None` where the folder is not a context. Removes what a server that died has left.
    pub(crate) fn load(folder: PathBuf, max: Amount) -> Option<Arc<Self>> {
        let meta: Meta = serde_json::from_slice(&fs::read(folder.join(META)).ok()?).ok()?;
        for entry in fs::read_dir(folder.join(INCOMING)).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path()); // an upload that nobody finishes any more
        }
        for entry in fs::read_dir(&folder).ok()?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(TRASH) {
                remove_tree(&entry.path());
            }
        }
        Some(Arc::new(Self::new(folder, meta, max)))
    }

    fn new(folder: PathBuf, meta: Meta, max: Amount) -> Self {
        Self {
            id: meta.id.clone(),
            folder,
            max,
            meta: Mutex::new(meta),
            quota: OnceLock::new(),
            changes: Mutex::default(),
            is_clearing: AtomicBool::new(false),
            session: None,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The session that it passes files for, if it is for that.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// How many files and folders it may have.
    pub(crate) fn max_files(&self) -> u64 {
        self.max.files
    }

    /// How many bytes it may have.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max.bytes
    }

    pub(crate) fn meta(&self) -> Meta {
        lock(&self.meta).clone()
    }

    /// As it goes over the wire.
    pub(crate) fn state(&self) -> &'static str {
        if self.is_clearing.load(Ordering::Acquire) { "clearing" } else { "available" }
    }

    /// Changes what is known of it, on disk as well.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Meta)) -> Result<(), ContextError> {
        change(&mut lock(&self.meta));
        self.save()
    }

    /// Notes that it is used now.
    pub(crate) fn touch(&self) -> Result<(), ContextError> {
        self.update(|meta| meta.last_used = now())
    }

    fn save(&self) -> Result<(), ContextError> {
        let meta = lock(&self.meta);
        let new = self.folder.join(format!("{META}.new"));
        let text = serde_json::to_vec(&*meta).map_err(io::Error::other);
        text.and_then(|text| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, self.folder.join(META)))
            .map_err(|error| ContextError::system("saving the context", &error))
    }

    /// The folder that everything of it is in.
    fn root(&self) -> Result<Dir, ContextError> {
        Dir::open_ambient_dir(&self.folder, ambient_authority()).map_err(|error| match error.kind() {
            ErrorKind::NotFound => ContextError::NotFound(self.id.clone()),
            _ => ContextError::system("opening the context", &error),
        })
    }

    /// Its files, beneath which every path of a client is resolved.
    pub(super) fn files(&self) -> Result<Dir, ContextError> {
        self.root()?.open_dir(FILES).map_err(|error| ContextError::system("opening the context", &error))
    }

    fn quota(&self) -> Result<&Arc<Quota>, ContextError> {
        if let Some(quota) = self.quota.get() {
            return Ok(quota);
        }
        let _changes = lock(&self.changes);
        if self.quota.get().is_none() {
            let mut used = Amount::default();
            self.walk(&ContextPath::default(), |entry| {
                used.files += 1;
                used.bytes += entry.size;
                Ok(())
            })?;
            let _ = self.quota.set(Quota::new(self.max, used));
        }
        Ok(self.quota.get().expect("it was set above"))
    }

    /// What is at a path, if there is something.
    pub(crate) fn entry(&self, path: &ContextPath) -> Option<Entry> {
        Some(entry(on_disk(path), &self.files().ok()?.symlink_metadata(on_disk(path)).ok()?))
    }

    /// Makes a folder and those above it.
    pub(crate) fn make_folder(&self, path: &ContextPath) -> Result<(), ContextError> {
        let mut reservation = self.quota()?.reserve();
        let _changes = lock(&self.changes);
        self.make_folders(&self.files()?, on_disk(path), &mut reservation)?;
        reservation.keep();
        Ok(())
    }

    fn make_folders(&self, files: &Dir, path: &Path, reservation: &mut Reservation) -> Result<(), ContextError> {
        let mut folder = PathBuf::new();
        for name in path {
            folder.push(name);
            match files.create_dir(&folder) {
                Ok(()) => {
                    if let Err(error) = reservation.grow(Amount { bytes: 0, files: 1 }) {
                        let _ = files.remove_dir(&folder); // it is empty; another error changes nothing
                        return Err(error);
                    }
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(ContextError::of_file("storing the file", &path.display().to_string(), &error));
                }
            }
        }
        Ok(())
    }

    /// Opens a file for reading.
    pub(crate) fn open(&self, path: &ContextPath) -> Result<(fs::File, Metadata), ContextError> {
        if self.is_clearing.load(Ordering::Acquire) {
            return Err(ContextError::Clearing(self.id.clone()));
        }
        let failed = |error: io::Error| ContextError::of_file("opening the file", &path.shown(), &error);
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = self.files()?.open_with(on_disk(path), &options).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(ContextError::WrongKind { path: path.shown(), is: "a folder" });
        }
        Ok((file.into_std(), meta))
    }

    /// Where a symbolic link leads, as it was stored.
    pub(crate) fn read_link(&self, path: &ContextPath) -> Result<PathBuf, ContextError> {
        let failed = |error: io::Error| ContextError::of_file("reading the link", &path.shown(), &error);
        self.files()?.read_link_contents(on_disk(path)).map_err(failed)
    }

    /// Where a file for this path is received: what is counted for it, and, in the context's folder, a file of a random
    /// name.
    pub(super) fn receive(&self, path: &ContextPath) -> Result<(Reservation, Dir, PathBuf, File), ContextError> {
        if self.is_clearing.load(Ordering::Acquire) {
            return Err(ContextError::Clearing(self.id.clone()));
        }
        let mut reservation = self.quota()?.reserve();
        reservation.grow(Amount { bytes: 0, files: 1 })?;
        let root = self.root()?;
        if self.files()?.metadata(on_disk(path)).is_ok_and(|meta| meta.is_dir()) {
            return Err(ContextError::WrongKind { path: path.shown(), is: "a folder" });
        }
        let temporary = Path::new(INCOMING).join(random::hex::<8>());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file =
            root.open_with(&temporary, &options).map_err(|error| ContextError::system("receiving the file", &error))?;
        Ok((reservation, root, temporary, file))
    }

    /// Stores a symbolic link. Where it leads is not looked at: nothing here follows it out of the context.
    pub(crate) fn store_link(&self, path: &ContextPath, target: &Path) -> Result<(), ContextError> {
        let mut reservation = self.quota()?.reserve();
        reservation.grow(Amount { bytes: 0, files: 1 })?;
        let root = self.root()?;
        let temporary = Path::new(INCOMING).join(random::hex::<8>());
        root.symlink_contents(target, &temporary).map_err(|error| ContextError::system("storing the link", &error))?;
        let placed = self.place(&root, &temporary, path, &mut reservation);
        if placed.is_err() {
            let _ = root.remove_file(&temporary); // the first error is the one to report
        }
        placed?;
        reservation.keep();
        Ok(())
    }

    /// Moves a finished file to its place, over what was there. The place is beneath the context's files: a stored link on
    /// the way leads neither out of the context nor to what the server keeps of it beside them.
    pub(super) fn place(
        &self,
        root: &Dir,
        temporary: &Path,
        path: &ContextPath,
        reservation: &mut Reservation,
    ) -> Result<(), ContextError> {
        let failed = |error: io::Error| ContextError::of_file("storing the file", &path.shown(), &error);
        let to = on_disk(path);
        let _changes = lock(&self.changes);
        // Opened under the lock: a clearing before it has put the earlier folder aside.
        let files = self.files()?;
        self.make_folders(&files, to.parent().unwrap_or(Path::new("")), reservation)?;
        let before = files.symlink_metadata(to).ok();
        root.rename(temporary, &files, to).map_err(failed)?;
        if let Some(before) = before {
            self.quota()?.release(amount_of(&before));
        }
        Ok(())
    }

    /// Removes a file, and the folders that are empty without it.
    pub(crate) fn remove(&self, path: &ContextPath) -> Result<(), ContextError> {
        let failed = |error: io::Error| ContextError::of_file("deleting", &path.shown(), &error);
        let quota = self.quota()?;
        let files = self.files()?;
        let _changes = lock(&self.changes);
        let meta = files.symlink_metadata(on_disk(path)).map_err(failed)?;
        if meta.is_dir() {
            return Err(ContextError::WrongKind { path: path.shown(), is: "a folder" });
        }
        files.remove_file(on_disk(path)).map_err(failed)?;
        quota.release(amount_of(&meta));
        let mut parent = on_disk(path).parent();
        while let Some(folder) = parent.filter(|folder| !folder.as_os_str().is_empty()) {
            // Fails for the first that is not empty.
            if files.remove_dir(folder).is_err() {
                break;
            }
            quota.release(Amount { bytes: 0, files: 1 });
            parent = folder.parent();
        }
        Ok(())
    }

    /// Visits every file and folder below a folder, folders before what is in them. Links are not followed.
    pub(crate) fn walk(
        &self,
        start: &ContextPath,
        mut visit: impl FnMut(Entry) -> Result<(), ContextError>,
    ) -> Result<(), ContextError> {
        let files = self.files()?;
        let mut waiting = FolderStack::new(on_disk(start).to_path_buf());
        while let Some(folder) = waiting.pop() {
            let entries = match files.read_dir(&folder) {
                Ok(entries) => entries,
                // It does not exist, was removed meanwhile, or is a file.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                Err(error) => return Err(ContextError::system("listing the context", &error)),
            };
            for found in entries.flatten() {
                let Ok(meta) = found.metadata() else { continue };
                let path = child(&folder, &found);
                if meta.is_dir() {
                    waiting.push(&folder, found.file_name());
                }
                visit(entry(&path, &meta))?;
            }
        }
        Ok(())
    }

    /// Begins to clear it: nothing of its files is seen any more, and [`Context::finish_clear`] removes them. `None`
    /// where that goes on already.
    pub(crate) fn begin_clear(&self) -> Result<Option<PathBuf>, ContextError> {
        let quota = self.quota()?;
        let _changes = lock(&self.changes);
        if self.is_clearing.load(Ordering::Acquire) {
            return Ok(None);
        }
        let failed = |error: io::Error| ContextError::system("clearing the context", &error);
        let root = self.root()?;
        let mut stored = Amount::default();
        self.walk(&ContextPath::default(), |entry| {
            stored.files += 1;
            stored.bytes += entry.size;
            Ok(())
        })?;
        let trash = format!("{TRASH}{}", random::hex::<8>());
        root.rename(FILES, &root, &trash).map_err(failed)?;
        root.create_dir(FILES).map_err(failed)?;
        quota.release(stored);
        self.is_clearing.store(true, Ordering::Release);
        Ok(Some(self.folder.join(trash)))
    }

    /// Removes what [`Context::begin_clear`] has put aside.
    pub(crate) fn finish_clear(&self, trash: &Path) {
        remove_tree(trash);
        self.is_clearing.store(false, Ordering::Release);
    }

    /// Puts the context with all its files aside, to be removed: from here on nothing finds it, whatever that takes.
    pub(super) fn put_aside(&self) -> Result<PathBuf, ContextError> {
        let aside = self.folder.with_extension(DELETED);
        fs::rename(&self.folder, &aside).map_err(|error| ContextError::system("deleting the context", &error))?;
        Ok(aside)
    }
}

/// Removes a tree of files, however deep and wide it is.
pub(crate) fn remove_tree(path: &Path) {
    if let Err(error) = agb_sandbox::remove_tree(path) {
        tracing::warn!(folder = %path.display(), %error, "files of a context could not be removed");
    }
}

/// The current time, as it goes over the wire.
pub(crate) fn now() -> String {
    time_text::to_the_second(SystemTime::now())
}

pub(super) fn on_disk(path: &ContextPath) -> &Path {
    if path.is_root() { Path::new(".") } else { path.as_path() }
}

fn child(folder: &Path, found: &DirEntry) -> PathBuf {
    if folder == Path::new(".") { found.file_name().into() } else { folder.join(found.file_name()) }
}

pub(super) fn entry(path: &Path, meta: &Metadata) -> Entry {
    let modified = meta.modified().map_or(SystemTime::UNIX_EPOCH, |time| time.into_std());
    Entry {
        path: ContextPath::of_stored(path),
        is_dir: meta.is_dir(),
        is_link: meta.is_symlink(),
        size: if meta.is_file() { meta.len() } else { 0 },
        created: meta.created().map_or(modified, |time| time.into_std()),
        modified,
    }
}

fn amount_of(meta: &Metadata) -> Amount {
    Amount { bytes: if meta.is_file() { meta.len() } else { 0 }, files: 1 }
}

#[cfg(test)]
mod tests;
