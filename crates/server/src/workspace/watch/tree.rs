//! The folders of a watch: which of them the system tells about, as the session's user.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Bound;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cap_std::fs::{File, OpenOptions, OpenOptionsExt};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use self::come::Come;
use super::news::News;
use super::{WatchError, Watched, acting, lock};
use crate::budget::OverBudget;
use crate::folder_stack::FolderStack;
use crate::workspace::is_unfinished;

mod come;

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
    /// Nobody wants it any more.
    is_over: Arc<AtomicBool>,
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

/// How much processor time a look follows what has happened to folders one by one for. What has happened by then is an overflow, and all folders
/// are listed anew, once.
///
/// 50 ms: some thousand new folders with what is in them. A program can have a folder of thousands moved thousands of times
/// meanwhile, and each move would have all of them listed.
const FOLLOWING: Duration = Duration::from_millis(50);

/// How a walk, or a look, has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Done,
    /// It would take too long, or events were lost: all folders are to be listed anew.
    Lost,
    /// Nothing comes any more.
    Over,
}

impl Tree {
    /// Begins to watch. Blocks for as long as it takes to list the folders.
    pub(super) fn grow(watched: Watched, is_over: Arc<AtomicBool>) -> io::Result<Self> {
        let inotify = Arc::new(descriptor()?);
        let (folders, numbers) = (HashMap::new(), BTreeMap::new());
        let mut tree = Self { watched, is_dir: true, inotify, folders, numbers, is_over };
        tree.add(PathBuf::new(), None, None)?;
        Ok(tree)
    }

    pub(super) fn source(&self) -> Source {
        Source(Arc::clone(&self.inotify))
    }

    /// Reads what has happened. False: nothing comes any more. Blocks.
    pub(super) fn read(&mut self, news: &Mutex<News>) -> io::Result<bool> {
        let course = self.follow(news, processor_time() + FOLLOWING)?;
        Ok(match course {
            Course::Done => true,
            Course::Lost => self.grow_anew(news)?,
            Course::Over => false,
        })
    }

    fn follow(&mut self, news: &Mutex<News>, until: Duration) -> io::Result<Course> {
        let mut come = Come::default();
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        for _ in 0..READS {
            let events = match events(self.inotify.as_fd(), &mut buffer) {
                Ok(events) => events,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            };
            for event in events {
                let course = if processor_time() > until { Course::Lost } else { self.take(event, news, &mut come) };
                if course != Course::Done || self.is_unwanted() {
                    return Ok(if self.is_unwanted() { Course::Over } else { course });
                }
            }
        }
        Ok(self.grow_at(come, news, until))
    }

    fn is_unwanted(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn take(&mut self, event: Event, news: &Mutex<News>, come: &mut Come) -> Course {
        let Event { folder, flags, name } = event;
        let push = |kind: &'static str, relative: &Path, is_dir: bool| {
            lock(news).push(kind, self.watched.told(relative), is_dir);
        };
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return Course::Lost;
        }
        let Some(below) = self.folders.get(&folder).cloned() else { return Course::Done };
        if flags.contains(ReadFlags::IGNORED) {
            self.forget(folder);
            return Course::Done;
        }
        let Some(name) = name else {
            let is_over = flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT);
            if below.as_os_str().is_empty() {
                if is_over {
                    // Both are told at once.
                    let mut news = lock(news);
                    news.push("delete", self.watched.told(&below), self.is_dir);
                    news.end("what was watched is gone: it was deleted or moved".to_owned());
                    return Course::Over;
                }
                if flags.contains(ReadFlags::MODIFY) {
                    push("modify", &below, false);
                }
            }
            return Course::Done;
        };
        if is_unfinished(name.as_os_str()) {
            return Course::Done;
        }
        let (path, is_dir) = (below.join(name), flags.contains(ReadFlags::ISDIR));
        let kind = match () {
            () if flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) => "create",
            () if flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) => "delete",
            () if flags.contains(ReadFlags::MODIFY) && !is_dir => "modify",
            () => return Course::Done,
        };
        push(kind, &path, is_dir);
        if is_dir && self.watched.recursive {
            if kind == "create" {
                return come.add(path);
            }
            come.cut(&path);
            self.cut(&path);
        }
        Course::Done
    }

    /// Folders have come: they are watched, and what is in them already is told.
    fn grow_at(&mut self, come: Come, news: &Mutex<News>, until: Duration) -> Course {
        for path in come.highest() {
            match self.add(path, Some(news), Some(until)) {
                Ok(Course::Done) => {}
                Ok(course) => return course,
                // Gone again, or closed to the session's user.
                Err(error) if error.get_ref().is_none() => {}
                Err(error) => {
                    lock(news).end(error.to_string());
                    return Course::Over;
                }
            }
        }
        Course::Done
    }

    /// After events were lost, folders may have come and gone unseen. What the system still has to tell of the old ones goes with
    /// its descriptor.
    fn grow_anew(&mut self, news: &Mutex<News>) -> io::Result<bool> {
        (self.folders, self.numbers) = (HashMap::new(), BTreeMap::new());
        self.watched.memory.resize(0).expect("less is always to be had");
        self.inotify = Arc::new(descriptor()?);
        let grown = self.add(PathBuf::new(), None, None);
        // Not before: who hears of it looks at the files, and what happens from then on has to be seen.
        let mut news = lock(news);
        news.overflow();
        if let Err(error) = &grown {
            news.end(error.to_string());
        }
        Ok(grown.is_ok_and(|course| course == Course::Done))
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
    fn add(&mut self, first: PathBuf, news: Option<&Mutex<News>>, until: Option<Duration>) -> io::Result<Course> {
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
                    return Ok(Course::Done);
                }
                let Ok(entries) = self.watched.at.dir.read_dir(self.watched.at.path.join(&below)) else { continue };
                for entry in entries.filter_map(Result::ok).filter(|entry| !is_unfinished(&entry.file_name())) {
                    if self.is_unwanted() {
                        return Ok(Course::Over);
                    }
                    if until.is_some_and(|until| processor_time() > until) {
                        return Ok(Course::Lost);
                    }
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
            Ok(Course::Done)
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

/// How much of it this thread has had.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to that value and keeps nothing of it. Every thread has this clock; zero is as good as any time.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
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

#[cfg(test)]
mod tests;
