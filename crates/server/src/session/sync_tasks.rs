//! What is copied between a session and its contexts: the mounts, and the tasks that can be looked at.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::mounts::{self, Mount};
use super::side::Side;
use crate::contexts::{Context, ContextError, ContextPath, SyncPolicy};
use crate::lock::lock;
use crate::unix_time::unix_seconds;

/// The contexts of a session.
#[derive(Debug, Default)]
pub(crate) struct SessionContexts {
    mounts: Vec<Arc<Mount>>,
    /// What files are passed through on their way in and out; made when it is first asked for.
    transfer: Mutex<Option<Arc<Context>>>,
    tasks: Mutex<Vec<SyncTask>>,
    /// Held by the task that copies.
    pub(super) copying: tokio::sync::Mutex<()>,
}

/// Which way files are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the session to the context.
    Upload,
    /// From the context to the session.
    Download,
}

impl Direction {
    /// As it goes over the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Upload, Self::Download].into_iter().find(|direction| text.eq_ignore_ascii_case(direction.as_str()))
    }
}

/// What is to be copied.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Mount(Arc<Mount>),
    /// A path of the session, by its context for transfers.
    Transfer(Arc<Context>, String),
}

/// The last copy of one kind for one path.
#[derive(Clone, Debug)]
pub(crate) struct SyncTask {
    pub(crate) context: String,
    pub(crate) path: String,
    pub(crate) direction: Direction,
    pub(crate) started: u64,
    /// When it ended, and what went wrong then.
    pub(crate) end: Option<(u64, Result<(), ContextError>)>,
}

/// Tasks that are remembered of one session, at least those that go on.
const REMEMBERED: usize = 200;
/// Tasks of one session that may wait.
pub(super) const WAITING: usize = 32;

impl Target {
    fn context(&self) -> &str {
        match self {
            Self::Mount(mount) => mount.context.id(),
            Self::Transfer(context, _) => context.id(),
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Mount(mount) => &mount.path,
            Self::Transfer(_, path) => path,
        }
    }

    /// Copies. Blocks.
    pub(super) fn copy(&self, direction: Direction, side: Side<'_>) -> Result<(), ContextError> {
        match (self, direction) {
            (Self::Mount(mount), Direction::Download) => mount.download(side),
            (Self::Mount(mount), Direction::Upload) => mount.upload(side),
            (Self::Transfer(context, path), Direction::Download) => {
                let from = mounts::Source { context, folder: &ContextPath::parse(path)?, archive: None };
                mounts::download(from, path, side, &SyncPolicy::plain(), |_| {})
            }
            // A download from the context reads the session's own file: only an older copy may be in the way.
            (Self::Transfer(context, path), Direction::Upload) => context.walk(&ContextPath::parse(path)?, |entry| {
                if entry.is_dir { Ok(()) } else { context.remove(&entry.path) }
            }),
        }
    }
}

impl SessionContexts {
    pub(crate) fn new(mounts: Vec<Mount>) -> Self {
        Self { mounts: mounts.into_iter().map(Arc::new).collect(), ..Self::default() }
    }

    pub(crate) fn mounts(&self) -> &[Arc<Mount>] {
        &self.mounts
    }

    /// Whether programs need a sandbox that shows more than the usual places.
    pub(crate) fn need_own_workspace(&self) -> bool {
        let is_below = |path: &Path| ["/home/user", "/tmp", "/var/tmp"].iter().any(|place| path.starts_with(place));
        self.mounts.iter().any(|mount| !is_below(&mount.inside()))
    }

    /// The context for transfers, if there is one.
    pub(crate) fn transfer(&self) -> Option<Arc<Context>> {
        lock(&self.transfer).clone()
    }

    /// Keeps a context for transfers, unless there is one already. Gives the one that is kept.
    pub(crate) fn keep_transfer(&self, new: Arc<Context>) -> Arc<Context> {
        Arc::clone(lock(&self.transfer).get_or_insert(new))
    }

    /// What a client means by a context and a path. A path that no file can have is refused: tasks remember theirs.
    pub(crate) fn target(&self, context: &str, path: &str) -> Result<Option<Target>, ContextError> {
        ContextPath::check_length(path)?;
        let same = |mount: &&Arc<Mount>| mount.path.trim_end_matches('/') == path.trim_end_matches('/');
        let mut mounts = self.mounts.iter().filter(|mount| mount.context.id() == context);
        if let Some(mount) = mounts.find(same) {
            return Ok(Some(Target::Mount(Arc::clone(mount))));
        }
        let transfer = self.transfer().filter(|transfer| transfer.id() == context);
        Ok(transfer.map(|transfer| Target::Transfer(transfer, path.to_owned())))
    }

    /// The tasks there were, the oldest first.
    pub(crate) fn tasks(&self) -> Vec<SyncTask> {
        lock(&self.tasks).clone()
    }

    /// A task is there from now on; `None` where too many wait.
    pub(super) fn begin(&self, target: &Target, direction: Direction) -> Option<SyncTask> {
        let mut tasks = lock(&self.tasks);
        if tasks.iter().filter(|task| task.end.is_none()).count() >= WAITING {
            return None;
        }
        let task = SyncTask {
            context: target.context().to_owned(),
            path: target.path().to_owned(),
            direction,
            started: unix_seconds(SystemTime::now()),
            end: None,
        };
        tasks.retain(|other| !other.is_like(&task));
        if tasks.len() >= REMEMBERED
            && let Some(oldest) = tasks.iter().position(|task| task.end.is_some())
        {
            tasks.remove(oldest);
        }
        tasks.push(task.clone());
        Some(task)
    }

    pub(super) fn finish(&self, task: &SyncTask, result: Result<(), ContextError>) {
        let mut tasks = lock(&self.tasks);
        if let Some(found) = tasks.iter_mut().find(|other| other.is_like(task)) {
            found.end = Some((unix_seconds(SystemTime::now()), result));
        }
    }
}

impl SyncTask {
    fn is_like(&self, other: &Self) -> bool {
        (&self.context, &self.path, self.direction) == (&other.context, &other.path, other.direction)
    }
}
