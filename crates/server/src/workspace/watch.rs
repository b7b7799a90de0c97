//! Watches of files: what happens below a path, told to a client that asks for the news.
//!
//! ```text
//! inotify ── tree (which folders, as the session's user) ── task of a watch ── news (coalesced, bounded) ◄── long poll
//! ```
//!
//! A watch keeps what it has told until the next question confirms it, so that an answer that is lost loses nothing. What
//! does not fit becomes one event `overflow`.

mod news;
mod tree;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::news::News;
pub(crate) use self::news::{Change, Told};
use self::tree::Tree;
use super::{ActAs, Located};
use crate::budget::{Charge, OverBudget};
use crate::lock::lock;

/// Why files cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum WatchError {
    #[error("there is no such watch (any more): it ends when nobody asks for its news; begin it again")]
    NotFound,
    #[error("the watch has told {told} news, not {asked}: ask behind those that came last")]
    Position { told: u64, asked: u64 },
    #[error("{limit} watches are open in this session already (--max-watches): end one, or watch a folder above them")]
    TooMany { limit: usize },
    #[error("more than {limit} folders would be watched (--max-watched-folders): watch a smaller folder")]
    TooManyFolders { limit: usize },
    #[error("{0}; or watch a smaller folder")]
    OverBudget(OverBudget),
    #[error("the system cannot watch more: {0}; raise fs.inotify.max_user_instances or max_user_watches")]
    System(String),
}

/// What a watch is to look at.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) at: Located,
    /// The path as the client gave it: the events' paths begin with it.
    pub(crate) given: PathBuf,
    pub(crate) recursive: bool,
    /// The session's user, who has to be allowed to read what is watched.
    pub(crate) user: Option<u32>,
    pub(crate) max_folders: usize,
    /// What the folders take counts there.
    pub(crate) memory: Charge,
}

impl Watched {
    /// How the client hears of a path below, or of what is watched itself.
    fn told(&self, below: &Path) -> String {
        // Joining nothing would add a slash.
        let is_root = below.as_os_str().is_empty();
        let path = if is_root { self.given.clone() } else { self.given.join(below) };
        path.to_string_lossy().into_owned()
    }
}

/// The watches of a session.
#[derive(Debug)]
pub(crate) struct Watches {
    by_id: Mutex<HashMap<String, Arc<Watch>>>,
    /// One of them looks at a time: what a program makes of its files keeps one processor busy at most.
    looks: Arc<Semaphore>,
}

impl Default for Watches {
    fn default() -> Self {
        Self { by_id: Mutex::default(), looks: Arc::new(Semaphore::new(1)) }
    }
}

/// One watch. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    news: Arc<Mutex<News>>,
    /// Counts what changes in `news`.
    version: watch::Sender<u64>,
    /// Milliseconds after `begun` at which somebody asked last.
    asked: AtomicU64,
    begun: Instant,
    task: Mutex<Option<tokio::task::AbortHandle>>,
    /// Set when nobody wants it any more: a look that goes on breaks off.
    is_over: Arc<AtomicBool>,
}

/// A watch that nobody asks for its news ends after this. A client asks each 25 s, and looks for a lost connection for some
/// 13 s.
const KEPT: Duration = Duration::from_secs(60);

/// How often a watch that sees nothing looks whether somebody still has it.
const LOOK: Duration = Duration::from_secs(10);

/// What happens within this time after news is told together. Far below what a person notices, and it bounds the work that
/// a program can make for the server to 200 looks a second.
const GATHER: Duration = Duration::from_millis(5);

/// The part of the time that the looks of a session's watches may take: one fifth. Waiting for the looks of the others is part of
/// a look, so more of them do not make it more. A flood of events makes a look long, since after it all folders are listed anew.
const LOOKING: u32 = 5;

impl Watches {
    /// Begins a watch. Blocks; call it inside of the runtime. Said again with the same id, it changes nothing.
    pub(crate) fn begin(self: &Arc<Self>, id: &str, watched: Watched, limit: usize) -> Result<(), io::Error> {
        {
            let by_id = self.by_id();
            if by_id.contains_key(id) {
                return Ok(());
            }
            if by_id.len() >= limit {
                return Err(io::Error::other(WatchError::TooMany { limit }));
            }
        }
        let news = News::of(watched.told(Path::new("")));
        let is_over = Arc::default();
        let tree = Tree::grow(watched, Arc::clone(&is_over))?;
        let watch = Arc::new(Watch {
            news: Arc::new(Mutex::new(news)),
            version: watch::Sender::new(0),
            asked: AtomicU64::new(0),
            begun: Instant::now(),
            task: Mutex::default(),
            is_over,
        });
        let task = tokio::spawn(follow(tree, Arc::downgrade(&watch), Arc::downgrade(self), id.to_owned()));
        *lock(&watch.task) = Some(task.abort_handle());
        // Others may have begun meanwhile.
        let mut by_id = self.by_id();
        if !by_id.contains_key(id) {
            if by_id.len() >= limit {
                return Err(io::Error::other(WatchError::TooMany { limit }));
            }
            by_id.insert(id.to_owned(), watch);
        }
        Ok(())
    }

    /// The watch of an id.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Watch>, WatchError> {
        self.by_id().get(id).map(Arc::clone).ok_or(WatchError::NotFound)
    }

    /// Ends a watch, if there is one.
    pub(crate) fn end(&self, id: &str) {
        if let Some(watch) = self.by_id().remove(id) {
            watch.end("the watch was ended");
        }
    }

    /// Ends them all: the session is being released.
    pub(crate) fn end_all(&self) {
        for watch in std::mem::take(&mut *self.by_id()).into_values() {
            watch.end("the session was released");
        }
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<String, Arc<Watch>>> {
        // Each change under the lock is a single step.
        lock(&self.by_id)
    }
}

impl Watch {
    /// What has happened behind the news `after`: at once if there is something, else when there is, or nothing after
    /// `wait`.
    pub(crate) async fn told(&self, after: u64, wait: Duration) -> Result<Arc<Told>, WatchError> {
        let until = Instant::now() + wait;
        let mut version = self.version.subscribe();
        self.note_asked();
        loop {
            version.borrow_and_update();
            if let Some(told) = self.take(after)? {
                return Ok(told);
            }
            match timeout_at(until, version.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => {
                    self.note_asked();
                    return Ok(Arc::new(Told { after, changes: Vec::new(), ended: None }));
                }
            }
        }
    }

    fn take(&self, after: u64) -> Result<Option<Arc<Told>>, WatchError> {
        let (told, is_new) = self.news().take(after)?;
        if is_new {
            // Another question that waits has to see that these were told to somebody.
            self.version.send_modify(|version| *version += 1);
        }
        Ok(told)
    }

    /// Nothing comes any more, and whoever waits hears why.
    fn end(&self, why: &str) {
        self.is_over.store(true, Ordering::Relaxed);
        self.news().end(why.to_owned());
        self.version.send_modify(|version| *version += 1);
    }

    fn note_asked(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.asked.store(now, Ordering::Relaxed);
    }

    fn kept_until(&self) -> Instant {
        self.begun + Duration::from_millis(self.asked.load(Ordering::Relaxed)) + KEPT
    }

    fn news(&self) -> MutexGuard<'_, News> {
        lock(&self.news)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// The task of a watch: until the watch is dropped or nobody has asked for too long.
async fn follow(tree: Tree, weak: Weak<Watch>, watches: Weak<Watches>, id: String) {
    read_on(tree, &weak, &watches, &id).await;
    // Whoever asks still hears the end. Where nobody does, it must not count as a watch any longer.
    while !is_forgotten(&weak, &watches, &id) {
        sleep(LOOK).await;
    }
}

/// Reads what the system tells, for as long as it does and somebody asks.
async fn read_on(mut tree: Tree, weak: &Weak<Watch>, watches: &Weak<Watches>, id: &str) {
    loop {
        if is_forgotten(weak, watches, id) {
            return;
        }
        // SAFETY: a source names one descriptor for as long as it lives, and keeps it open for as long.
        let registered = unsafe { AsyncFd::register_with_interest(tree.source(), Interest::READABLE) };
        let ready = match registered {
            Ok(descriptor) => match timeout(LOOK, descriptor.readable()).await {
                Ok(ready) => ready.map(drop),
                Err(_) => continue,
            },
            Err(error) => Err(error.into()),
        };
        let Some(watch) = weak.upgrade() else { return };
        let began = Instant::now();
        let outcome = match ready {
            Ok(()) => {
                let news = Arc::clone(&watch.news);
                let Some(looks) = watches.upgrade().map(|watches| Arc::clone(&watches.looks)) else { return };
                let turn = looks.acquire_owned().await;
                let reading = tokio::task::spawn_blocking(move || {
                    let outcome = tree.read(&news);
                    drop(turn);
                    (tree, outcome)
                });
                let Ok((back, outcome)) = reading.await else { return }; // the runtime is ending
                tree = back;
                outcome
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(true) => watch.version.send_modify(|version| *version += 1),
            Ok(false) => return watch.end("it is over"), // the tree has said why
            Err(error) => return watch.end(&format!("the system tells nothing more: {error}")),
        }
        drop(watch);
        sleep(pause_after(began.elapsed())).await;
    }
}

/// How long nothing is looked at after a look that took so long.
fn pause_after(took: Duration) -> Duration {
    GATHER.max(took * (LOOKING - 1))
}

/// Whether nobody has a watch any more, or has asked for its news for too long.
fn is_forgotten(watch: &Weak<Watch>, watches: &Weak<Watches>, id: &str) -> bool {
    let Some(watch) = watch.upgrade() else { return true };
    let is_forgotten = watch.kept_until() <= Instant::now();
    if is_forgotten && let Some(watches) = watches.upgrade() {
        watches.end(id);
    }
    is_forgotten
}

/// Does something as the session's user.
fn acting<T>(user: Option<u32>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _acting = ActAs::user(user)?;
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_take_a_bounded_part_of_the_time() {
        assert_eq!(pause_after(Duration::ZERO), GATHER);
        assert_eq!(pause_after(Duration::from_secs(1)), Duration::from_secs(4));
    }
}
