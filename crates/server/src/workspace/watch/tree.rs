//! The folders of a watch: which of them the system tells about, as the session's user.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Bound;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cap_std::fs::{File, OpenOptions, OpenOptionsExt};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::news::News;
use super::{WatchError, Watched, acting, lock};
use crate::budget::OverBudget;
use crate::folder_stack::FolderStack;
use crate::workspace::is_unfinished;

/// The folders of a watch.
#[derive(Debug)]
pub(super) struct Tree {
    watched: Watched,
    /// Whether what is watched is a folder.
    is_dir: bool,
    inotify: Arc<OwnedFd>,
    /// By the system's numbers: relative to what is watched, which itself is empty.
    folders: HashMap<i32, Arc<Path>>,
    /// The same by their paths: what is below a folder follows it.
    numbers: BTreeMap<Arc<Path>, i32>,
}

/// What the task waits on, while the tree is elsewhere.
#[derive(Debug)]
pub(super) struct Source(Arc<OwnedFd>);

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What a folder takes beside its path: maps are half full at worst, and each path is an allocation with two counts.
const FOLDER: usize = 4 * size_of::<(i32, Arc<Path>)>() + 32;

/// Bytes of events that are read at once: some 1,000 events.
const BUFFER: usize = 64 * 1024;
/// Reads of one look; what is left comes with the next one.
const READS: usize = 64;

impl Tree {
    /// Begins to watch. Blocks for as long as it takes to list the folders.
    pub(super) fn grow(watched: Watched) -> io::Result<Self> {
        let inotify = Arc::new(descriptor()?);
        let mut tree = Self { watched, is_dir: true, inotify, folders: HashMap::new(), numbers: BTreeMap::new() };
        tree.add(PathBuf::new(), None)?;
        Ok(tree)
    }

    pub(super) fn source(&self) -> Source {
        Source(Arc::clone(&self.inotify))
    }

    /// Reads what has happened. False: nothing comes any more. Blocks.
    pub(super) fn read(&mut self, news: &Mutex<News>) -> io::Result<bool> {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        for _ in 0..READS {
            let events = match events(self.inotify.as_fd(), &mut buffer) {
                Ok(events) => events,
                Err(Errno::AGAIN) => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            for event in events {
                if !self.take(event, news)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn take(&mut self, event: Event, news: &Mutex<News>) -> io::Result<bool> {
        let Event { folder, flags, name } = event;
        let push = |kind: &'static str, relative: &Path, is_dir: bool| {
            lock(news).push(kind, self.watched.told(relative), is_dir);
        };
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.grow_anew(news);
        }
        let Some(below) = self.folders.get(&folder).cloned() else { return Ok(true) };
        if flags.contains(ReadFlags::IGNORED) {
            self.forget(folder);
            return Ok(true);
        }
        let Some(name) = name else {
            let is_over = flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT);
            if below.as_os_str().is_empty() {
                if is_over {
                    // Both are told at once.
                    let mut news = lock(news);
                    news.push("delete", self.watched.told(&below), self.is_dir);
                    news.end("what was watched is gone: it was deleted or moved".to_owned());
                    return Ok(false);
                }
                if flags.contains(ReadFlags::MODIFY) {
                    push("modify", &below, false);
                }
            }
            return Ok(true);
        };
        if is_unfinished(name.as_os_str()) {
            return Ok(true);
        }
        let (path, is_dir) = (below.join(name), flags.contains(ReadFlags::ISDIR));
        let kind = match () {
            () if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) => "create",
            () if flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) => "delete",
            () if flags.contains(ReadFlags::MODIFY) && !is_dir => "modify",
            () => return Ok(true),
        };
        push(kind, &path, is_dir);
        if is_dir && self.watched.recursive {
            if kind == "create" {
                return self.grow_at(path, news);
            }
            self.cut(&path);
        }
        Ok(true)
    }

    /// A folder has come: it is watched, and what is in it already is told.
    fn grow_at(&mut self, path: PathBuf, news: &Mutex<News>) -> io::Result<bool> {
        match self.add(path, Some(news)) {
            Ok(()) => Ok(true),
            // Gone again, or closed to the session's user.
            Err(error) if error.get_ref().is_none() => Ok(true),
            Err(error) => {
                lock(news).end(error.to_string());
                Ok(false)
            }
        }
    }

    /// After events were lost, folders may have come and gone unseen.
    fn grow_anew(&mut self, news: &Mutex<News>) -> io::Result<bool> {
        let known: Vec<i32> = self.folders.keys().copied().collect();
        for number in known {
            self.forget(number);
            let _ = inotify::remove_watch(&*self.inotify, number); // one that is gone is as good
        }
        let grown = self.add(PathBuf::new(), None);
        // Not before: who hears of it looks at the files, and what happens from then on has to be seen.
        let mut news = lock(news);
        news.overflow();
        if let Err(error) = &grown {
            news.end(error.to_string());
        }
        Ok(grown.is_ok())
    }

    /// A folder is elsewhere now: nothing below it is told any more.
    fn cut(&mut self, path: &Path) {
        let behind = self.numbers.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        let gone: Vec<i32> = behind.take_while(|(at, _)| at.starts_with(path)).map(|(_, number)| *number).collect();
        for number in gone {
            self.forget(number);
            let _ = inotify::remove_watch(&*self.inotify, number); // one that was deleted is gone already
        }
    }

    fn forget(&mut self, number: i32) {
        if let Some(path) = self.folders.remove(&number) {
            // Another one may be known by this path since.
            if self.numbers.get(&path) == Some(&number) {
                self.numbers.remove(&path);
            }
            let rest = self.watched.memory.bytes().saturating_sub(path.as_os_str().len() + FOLDER);
            self.watched.memory.resize(rest).expect("less is always to be had");
        }
    }

    /// Watches a folder, and where that is wanted all below it. With `news` it tells what it finds.
    fn add(&mut self, first: PathBuf, news: Option<&Mutex<News>>) -> io::Result<()> {
        let user = self.watched.user;
        acting(user, || {
            let mut memory = self.watched.memory.another();
            let mut waiting = FolderStack::new(first.clone());
            while let Some(below) = waiting.pop() {
                match self.add_one(&below) {
                    Ok(()) => {}
                    // The rest is still worth watching, but for what the limits forbid.
                    Err(error) if *below == *first || error.get_ref().is_some() => return Err(error),
                    Err(_) => continue,
                }
                if !self.watched.recursive {
                    return Ok(());
                }
                let Ok(entries) = self.watched.at.dir.read_dir(self.watched.at.path.join(&below)) else { continue };
                for entry in entries.filter_map(Result::ok).filter(|entry| !is_unfinished(&entry.file_name())) {
                    let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                    if let Some(news) = news {
                        lock(news).push("create", self.watched.told(&below.join(entry.file_name())), is_dir);
                    }
                    if is_dir {
                        waiting.push(&below, entry.file_name());
                        memory.resize(waiting.memory()).map_err(over)?;
                    }
                }
            }
            Ok(())
        })
    }

    fn add_one(&mut self, below: &Path) -> io::Result<()> {
        let limit = self.watched.max_folders;
        if self.folders.len() >= limit {
            return Err(io::Error::other(WatchError::TooManyFolders { limit }));
        }
        let file = open(&self.watched, below)?;
        if below.as_os_str().is_empty() {
            self.is_dir = file.metadata()?.is_dir();
        }
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        // The open file is meant, whatever its name leads to by now.
        let name = format!("/proc/self/fd/{}", file.as_raw_fd());
        let number = inotify::add_watch(&*self.inotify, name, flags).map_err(full)?;
        self.forget(number); // it was watched under another path
        self.watched.memory.grow(below.as_os_str().len() + FOLDER).map_err(over)?;
        let path: Arc<Path> = below.into();
        self.folders.insert(number, Arc::clone(&path));
        self.numbers.insert(path, number);
        Ok(())
    }
}

/// Opens what is to be watched, in the name of the session's user and beneath its place.
fn open(watched: &Watched, below: &Path) -> io::Result<File> {
    let at = &watched.at;
    let is_root = below.as_os_str().is_empty();
    let path = if is_root { at.path.clone() } else { at.path.join(below) };
    let mut options = OpenOptions::new();
    // Only what was named may be a link; what is found below is what it is.
    let link = if is_root { 0 } else { libc::O_NOFOLLOW };
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | link);
    let file = at.dir.open_with(path, &options)?;
    let meta = file.metadata()?;
    if !(meta.is_dir() || is_root && meta.is_file()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

/// What has happened in one folder.
struct Event {
    folder: i32,
    flags: ReadFlags,
    name: Option<PathBuf>,
}

/// One read of events.
fn events(inotify: BorrowedFd<'_>, buffer: &mut [MaybeUninit<u8>]) -> Result<Vec<Event>, Errno> {
    let mut reader = inotify::Reader::new(inotify, buffer);
    let mut events = Vec::new();
    loop {
        match reader.next() {
            Ok(event) => events.push(Event {
                folder: event.wd(),
                flags: event.events(),
                name: event.file_name().map(|name| PathBuf::from(OsStr::from_bytes(name.to_bytes()))),
            }),
            Err(error) if events.is_empty() => return Err(error),
            Err(_) => return Ok(events),
        }
        if reader.is_buffer_empty() {
            return Ok(events);
        }
    }
}

fn over(error: OverBudget) -> io::Error {
    io::Error::other(WatchError::OverBudget(error))
}

fn descriptor() -> io::Result<OwnedFd> {
    inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(full)
}

/// The system's limits of watches have errors that say nothing of them.
fn full(error: Errno) -> io::Error {
    match error {
        Errno::MFILE | Errno::NFILE | Errno::NOSPC | Errno::NOMEM => {
            io::Error::other(WatchError::System(io::Error::from(error).to_string()))
        }
        error => error.into(),
    }
}
