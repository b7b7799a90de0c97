//! Synchronisation of a session with its contexts: tasks that can be looked at from their first moment.
//!
//! One task at a time copies for a session; the others wait in order. A release waits for the one that goes on, uploads
//! what its policy uploads by itself, and forgets the rest.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Session;
use super::mounts::{self, Mount, Side};
use crate::contexts::{Context, ContextError, ContextPath, SyncPolicy};
use crate::run::event::{RunFailure, failure};
use crate::workspace::{ProgramOptions, Workspace};

/// The contexts of a session.
#[derive(Debug, Default)]
pub(crate) struct SessionContexts {
    mounts: Vec<Arc<Mount>>,
    /// What files are passed through on their way in and out; made when it is first asked for.
    transfer: Mutex<Option<Arc<Context>>>,
    tasks: Mutex<Vec<SyncTask>>,
    /// Held by the task that copies.
    copying: tokio::sync::Mutex<()>,
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
const WAITING: usize = 32;

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
    fn copy(&self, direction: Direction, side: Side<'_>) -> Result<(), ContextError> {
        match (self, direction) {
            (Self::Mount(mount), Direction::Download) => mount.download(side),
            (Self::Mount(mount), Direction::Upload) => mount.upload(side),
            (Self::Transfer(context, path), Direction::Download) => {
                let from = mounts::Source { context, folder: &ContextPath::parse(path)?, archive: None };
                mounts::download(from, path, side, &SyncPolicy::plain(), |_| {})
            }
            // A download from the context reads the session's own file: only an older copy may be in the way.
            (Self::Transfer(context, path), Direction::Upload) => {
                let mut copies = Vec::new();
                context.walk(&ContextPath::parse(path)?, |entry| {
                    copies.extend((!entry.is_dir).then_some(entry.path));
                    Ok(())
                })?;
                copies.iter().try_for_each(|copy| context.remove(copy))
            }
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

    /// What a client means by a context and a path.
    pub(crate) fn target(&self, context: &str, path: &str) -> Option<Target> {
        let same = |mount: &&Arc<Mount>| mount.path.trim_end_matches('/') == path.trim_end_matches('/');
        let mut mounts = self.mounts.iter().filter(|mount| mount.context.id() == context);
        if let Some(mount) = mounts.find(same) {
            return Some(Target::Mount(Arc::clone(mount)));
        }
        let transfer = self.transfer().filter(|transfer| transfer.id() == context)?;
        Some(Target::Transfer(transfer, path.to_owned()))
    }

    /// The tasks there were, the oldest first.
    pub(crate) fn tasks(&self) -> Vec<SyncTask> {
        lock(&self.tasks).clone()
    }

    /// A task is there from now on; `None` where too many wait.
    fn begin(&self, target: &Target, direction: Direction) -> Option<SyncTask> {
        let mut tasks = lock(&self.tasks);
        if tasks.iter().filter(|task| task.end.is_none()).count() >= WAITING {
            return None;
        }
        let task = SyncTask {
            context: target.context().to_owned(),
            path: target.path().to_owned(),
            direction,
            started: seconds(),
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

    fn finish(&self, task: &SyncTask, result: Result<(), ContextError>) {
        let mut tasks = lock(&self.tasks);
        if let Some(found) = tasks.iter_mut().find(|other| other.is_like(task)) {
            found.end = Some((seconds(), result));
        }
    }
}

impl SyncTask {
    fn is_like(&self, other: &Self) -> bool {
        (&self.context, &self.path, self.direction) == (&other.context, &other.path, other.direction)
    }
}

impl Session {
    /// Copies in a task of its own, which [`SessionContexts::tasks`] shows from now on.
    pub(crate) fn synchronise(self: &Arc<Self>, target: Target, direction: Direction) -> Result<(), super::Busy> {
        let activity = self.begin(0)?;
        let Some(task) = self.contexts.begin(&target, direction) else {
            return Err(super::Busy::TooMany(WAITING));
        };
        let session = Arc::clone(self);
        tokio::spawn(async move {
            let _activity = activity;
            let _turn = session.contexts.copying.lock().await;
            let result = match session.room() {
                Ok(room) => copy(&room, target, direction).await,
                Err(failure) => Err(ContextError::System { action: "using the session", problem: failure.value }),
            };
            if let Err(error) = &result {
                tracing::warn!(session = session.id(), context = task.context, path = task.path, %error, "{} failed", direction.as_str());
            }
            session.contexts.finish(&task, result);
        });
        Ok(())
    }

    /// Its mounts and what is copied between them and their contexts.
    pub(crate) fn contexts(&self) -> &SessionContexts {
        &self.contexts
    }

    /// What its programs are given beyond those of other sessions.
    pub(crate) fn options(&self) -> &ProgramOptions {
        &self.options
    }

    /// Whether a room that is ready for others will not do.
    pub(super) fn needs_own_workspace(&self) -> bool {
        self.contexts.need_own_workspace() || !self.options.is_default()
    }

    /// The same room, with the session's own options and the directories of its mounts.
    pub(super) fn furnish(&self, room: Arc<Workspace>) -> Result<Arc<Workspace>, RunFailure> {
        if !self.options.is_default() {
            room.set_options(self.options.clone());
        }
        for mount in self.contexts.mounts() {
            let made = room.folder().add_mount(&mount.inside());
            made.map_err(|error| failure("NoMount", format!("the mount {} could not be made: {error}", mount.path)))?;
        }
        Ok(room)
    }

    /// Downloads what the policies of the mounts download by themselves.
    pub(crate) fn download_mounts(self: &Arc<Self>) -> Result<(), super::Busy> {
        for mount in self.contexts.mounts.iter().filter(|mount| mount.policy.auto_download) {
            self.synchronise(Target::Mount(Arc::clone(mount)), Direction::Download)?;
        }
        Ok(())
    }

    /// Uploads what the policies of the mounts upload by themselves, before the session's files are removed.
    pub(super) async fn upload_mounts(&self, room: &Arc<Workspace>) {
        let _turn = self.contexts.copying.lock().await;
        for mount in self.contexts.mounts.iter().filter(|mount| mount.policy.auto_upload) {
            if let Err(error) = copy(room, Target::Mount(Arc::clone(mount)), Direction::Upload).await {
                let (context, path) = (mount.context.id(), &mount.path);
                tracing::error!(session = self.id(), context, path, %error, "files of a released session are lost");
            }
        }
    }
}

async fn copy(room: &Arc<Workspace>, target: Target, direction: Direction) -> Result<(), ContextError> {
    let room = Arc::clone(room);
    let copying = tokio::task::spawn_blocking(move || {
        let side = Side { folder: room.folder(), user: room.slot().user(), room: &room };
        target.copy(direction, side)
    });
    let broken = |_| ContextError::System { action: "copying", problem: "it broke off by a defect".to_owned() };
    copying.await.map_err(broken)?
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Nothing in this module panics while it holds a lock, and each change under one is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
