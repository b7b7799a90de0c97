//! Workspaces with an interpreter that is ready, for sessions that come: a program in one starts at once.
//!
//! ```text
//! session, at its first use ── take ──► a bucket (language, interpreter, environment): workspaces
//!                                          ▲ makes, closes
//! pool task: looks at each bucket after a take, and now and then ─┴─ a task for each workspace that is made or closed
//! ```
//!
//! A language that was used lately has a few warm workspaces, as many as were taken in the last seconds; one that nobody has
//! used for a while has none. Python of the default image has some from the start. All together take no more than
//! [`Warm::memory`](crate::Warm::memory), nor than an eighth of what is free. Nobody ever waits for a workspace to be made
//! ready: where the bucket is empty, a session gets a cold one.
//!
//! What is made ready stands back from what users run: it begins a moment after the last take, and has a quarter of a
//! program's part of busy processors (where there are control groups for them), so that it is ready some time all the same.
//!
//! A workspace is taken once and never given back, so nothing of a session is ever found by another.

mod demand;
mod memory;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use agb_kernel::{Kernel, StartError};
use agb_protocol::Language;
use agb_sandbox::Level;
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::demand::Demand;
use self::memory::Free;
pub(crate) use self::memory::free_memory;
use crate::images::Image;
use crate::lock::lock;
use crate::observe::Metrics;
use crate::settings::{Config, Warm};
use crate::workspace::factory::WorkspaceFactory;
use crate::workspace::{KernelKey, Workspace};

/// How long after a take the next workspace is made: the processors are for the program that has just begun.
const PAUSE: Duration = Duration::from_millis(10);

/// How often the run task looks when nothing happens: for interpreters that have died, and for what has become too much.
const LOOK: Duration = Duration::from_secs(1);

/// When to try again what has failed: an interpreter that does not start now does not in a second.
const RETRY: Duration = Duration::from_secs(30);

/// WorkspaceFactory that are made ready at once: one that is slow, Java's, keeps no other waiting.
const MAKING: usize = 2;

/// WorkspaceFactory with an interpreter that is ready.
#[derive(Debug)]
pub(crate) struct Pool {
    factory: WorkspaceFactory,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Wakes the run task.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    buckets: HashMap<KernelKey, PoolBucket>,
    last_take: Option<Instant>,
    free: Free,
    /// What is warm although nobody has used it, and when it was looked up: its image may be prepared anew.
    pinned: Option<(Instant, Option<KernelKey>)>,
    /// WorkspaceFactory on their way in or out.
    tasks: JoinSet<()>,
    closed: bool,
}

/// WorkspaceFactory that are alike.
#[derive(Debug, Default)]
struct PoolBucket {
    /// The oldest first.
    ready: VecDeque<Arc<Workspace>>,
    is_making: bool,
    /// Of the workspace that is being made, once it has one.
    making: Option<Kernel>,
    demand: Option<Demand>,
    /// Nothing is made before.
    retry_at: Option<Instant>,
}

/// How many factory there should be of one kind.
#[derive(Debug)]
struct Wanted {
    key: KernelKey,
    /// It was used lately, or is to be there in any case.
    in_use: bool,
    /// Fewer: some are made.
    least: usize,
    /// More: some are closed.
    most: usize,
}

impl PoolBucket {
    fn note(&mut self, now: Instant) {
        match &mut self.demand {
            Some(demand) => demand.again(now),
            None => self.demand = Some(Demand::first(now)),
        }
    }

    fn level(&self, now: Instant) -> f64 {
        self.demand.as_ref().map_or(0.0, |demand| demand.level(now))
    }

    fn count(&self) -> usize {
        self.ready.len() + usize::from(self.is_making)
    }

    /// Takes a workspace out whose interpreter lives. The pool task closes the others.
    fn take(&mut self, language: Language) -> Option<(Arc<Workspace>, Kernel)> {
        let warm = self
            .ready
            .iter()
            .enumerate()
            .find_map(|(index, workspace)| Some((index, warm_kernel(workspace, language)?)));
        let (index, kernel) = warm?;
        Some((self.ready.remove(index)?, kernel))
    }
}

impl State {
    /// What is wanted and may be had, what is wanted most first.
    fn wanted(&mut self, now: Instant, pinned: Option<&KernelKey>, warm: &Warm) -> Vec<Wanted> {
        let size = |key: &KernelKey| memory::size_of(key.language);
        let own = self.buckets.iter().map(|(key, bucket)| size(key) * bucket.ready.len() as u64).sum();
        let budget = self.free.budget(now, &warm.meminfo, own, warm.memory);
        // A quarter more may stay: what was made is not closed for a fluctuation.
        let (mut making, mut keeping) = (budget, budget + budget / 4);
        let mut order: Vec<_> = self.buckets.iter().collect();
        order.sort_by(|(_, one), (_, other)| other.level(now).total_cmp(&one.level(now)));
        let mut wanted = Vec::new();
        for (key, bucket) in order {
            let at_start = if pinned == Some(key) { warm.at_start.min(warm.most) } else { 0 };
            let lately = bucket.demand.as_ref().map_or(0, |demand| demand.wanted(now, warm.keep, warm.most));
            let number = lately.max(at_start);
            let within = |budget: &mut u64| {
                let fitting = usize::try_from(*budget / size(key)).unwrap_or(usize::MAX).min(number);
                *budget -= size(key) * fitting as u64;
                fitting
            };
            let (least, most) = (within(&mut making), within(&mut keeping));
            wanted.push(Wanted { key: key.clone(), in_use: number > 0, least, most });
        }
        wanted
    }

    /// Takes the factory out that are dead or too many.
    fn remove_unwanted(&mut self, wanted: &[Wanted]) -> Vec<Arc<Workspace>> {
        let mut removed = Vec::new();
        for Wanted { key, most, .. } in wanted {
            let Some(bucket) = self.buckets.get_mut(key) else { continue };
            let is_warm = |workspace: &Arc<Workspace>| warm_kernel(workspace, key.language).is_some();
            let (warm, dead): (Vec<_>, Vec<_>) = bucket.ready.drain(..).partition(is_warm);
            bucket.ready = warm.into();
            removed.extend(dead);
            removed.extend(bucket.ready.drain(..bucket.ready.len().saturating_sub(*most)));
        }
        let in_use = |key: &KernelKey| wanted.iter().any(|it| it.in_use && it.key == *key);
        self.buckets.retain(|key, bucket| bucket.count() > 0 || in_use(key));
        removed
    }
}

impl Pool {
    /// An empty one, which begins to fill itself. Call it inside a tokio runtime.
    pub(crate) fn new(factory: WorkspaceFactory, config: Arc<Config>, metrics: Arc<Metrics>) -> Arc<Self> {
        let changed = Arc::new(Notify::new());
        let pool = Arc::new(Self { factory, config, metrics, state: Mutex::default(), changed: Arc::clone(&changed) });
        tokio::spawn(keep(Arc::downgrade(&pool), changed));
        pool
    }

    /// The server's own folder.
    pub(crate) fn folder(&self) -> &Path {
        self.factory.folder()
    }

    /// How programs are isolated.
    pub(crate) fn level(&self) -> Level {
        self.factory.level()
    }

    /// A workspace with this interpreter: a warm one if there is one.
    pub(crate) fn take(&self, key: &KernelKey) -> io::Result<(Arc<Workspace>, Kernel)> {
        let now = Instant::now();
        let found = {
            let mut state = self.state();
            state.last_take = Some(now);
            let bucket = state.buckets.entry(key.clone()).or_default();
            bucket.note(now);
            bucket.take(key.language)
        };
        self.changed.notify_one();
        self.metrics.kernel_taken(key.language, found.is_some());
        if let Some(found) = found {
            return Ok(found);
        }
        let workspace = Arc::new(self.factory.make()?);
        let kernel = workspace.add_kernel(key);
        Ok((workspace, kernel))
    }

    /// A workspace for whoever wants files: with the interpreter of the image that is wanted most, if there is one, because a
    /// program often follows.
    pub(crate) fn take_any(&self, image: &Image) -> io::Result<Arc<Workspace>> {
        let now = Instant::now();
        let kinds = Language::ALL.iter().filter_map(|language| KernelKey::of(&self.config, image, *language).ok());
        let found = {
            let mut state = self.state();
            let level = |kind: &KernelKey| {
                let bucket = state.buckets.get(kind).filter(|bucket| !bucket.ready.is_empty());
                bucket.map(|bucket| bucket.level(now))
            };
            let levels: Vec<(KernelKey, f64)> = kinds.filter_map(|kind| Some((kind.clone(), level(&kind)?))).collect();
            let most_wanted = levels.into_iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
            most_wanted.and_then(|(key, _)| {
                state.last_take = Some(now);
                let bucket = state.buckets.get_mut(&key)?;
                bucket.note(now);
                Some((bucket.take(key.language)?.0, key.language))
            })
        };
        let Some((workspace, language)) = found else { return Ok(Arc::new(self.factory.make()?)) };
        self.changed.notify_one();
        self.metrics.kernel_taken(language, true);
        Ok(workspace)
    }

    /// A workspace with nothing in it yet, for a session whose programs see more than others do.
    pub(crate) fn take_empty(&self) -> io::Result<Arc<Workspace>> {
        Ok(Arc::new(self.factory.make()?))
    }

    /// A session starts this interpreter in the workspace that it has already.
    pub(crate) fn missed(&self, key: &KernelKey) {
        self.state().buckets.entry(key.clone()).or_default().note(Instant::now());
        self.metrics.kernel_taken(key.language, false);
        self.changed.notify_one();
    }

    /// How many factory are ready, by their interpreter's language.
    pub(crate) fn census(&self) -> HashMap<Language, usize> {
        let mut census = HashMap::new();
        for (key, bucket) in &self.state().buckets {
            *census.entry(key.language).or_default() += bucket.ready.len();
        }
        census
    }

    /// Closes every workspace that nobody has taken, and makes none any more.
    pub(crate) async fn close(&self) {
        let (buckets, tasks) = {
            let mut state = self.state();
            state.closed = true;
            (std::mem::take(&mut state.buckets), std::mem::take(&mut state.tasks))
        };
        let (mut factory, mut making) = (Vec::new(), Vec::new());
        for bucket in buckets.into_values() {
            factory.extend(bucket.ready);
            making.extend(bucket.making);
        }
        join_all(making.iter().map(Kernel::shutdown)).await;
        tokio::join!(join_all(factory.iter().map(Workspace::close)), tasks.join_all());
    }

    /// Removes the folder that all factory are in.
    pub(crate) fn remove_files(&self) {
        self.factory.remove();
    }

    /// Closes what is too much or dead, and begins to make what is missing. Says when to look again.
    fn look(self: &Arc<Self>) -> Instant {
        let now = Instant::now();
        let mut state = self.state();
        if state.closed {
            return now + LOOK;
        }
        let pinned = match &state.pinned {
            Some((at, pinned)) if now.saturating_duration_since(*at) < LOOK => pinned.clone(),
            _ => state.pinned.insert((now, self.pinned())).1.clone(),
        };
        while state.tasks.try_join_next().is_some() {}
        if let Some(pinned) = &pinned {
            state.buckets.entry(pinned.clone()).or_default();
        }
        let wanted = state.wanted(now, pinned.as_ref(), &self.config.warm);
        for workspace in state.remove_unwanted(&wanted) {
            state.tasks.spawn(async move { workspace.close().await });
        }
        if let Some(until) = state.last_take.map(|last| last + PAUSE).filter(|until| *until > now) {
            return until;
        }
        let mut making = state.buckets.values().filter(|bucket| bucket.is_making).count();
        for Wanted { key, least, .. } in wanted {
            let Some(bucket) = state.buckets.get_mut(&key) else { continue };
            let is_due = bucket.retry_at.is_none_or(|at| at <= now);
            if making < MAKING && !bucket.is_making && is_due && bucket.count() < least {
                bucket.is_making = true;
                making += 1;
                state.tasks.spawn(Arc::clone(self).make(key));
            }
        }
        now + LOOK
    }

    /// What is warm although nobody has used it: Python of the default image.
    fn pinned(&self) -> Option<KernelKey> {
        if self.config.warm.at_start.min(self.config.warm.most) == 0 {
            return None;
        }
        let image = self.config.images.find(None).ok()?;
        KernelKey::of(&self.config, &image, Language::Python).ok()
    }

    async fn make(self: Arc<Self>, key: KernelKey) {
        let made = self.try_make(&key).await;
        let surplus = {
            let mut state = self.state();
            match state.buckets.get_mut(&key) {
                Some(bucket) => {
                    bucket.is_making = false;
                    bucket.making = None;
                    bucket.retry_at = made.is_err().then(|| Instant::now() + RETRY);
                    if let Err(reason) = &made {
                        let language = key.language;
                        tracing::warn!(%language, reason, again_in = ?RETRY, "no interpreter could be made ready");
                    }
                    bucket.ready.extend(made);
                    None
                }
                // The pool was closed meanwhile: otherwise a bucket stays while something is made for it.
                None => made.ok(),
            }
        };
        if let Some(workspace) = surplus {
            workspace.close().await;
        }
        self.changed.notify_one();
    }

    /// On failure nothing is left.
    async fn try_make(self: &Arc<Self>, key: &KernelKey) -> Result<Arc<Workspace>, String> {
        let pool = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || pool.factory.make()).await;
        let workspace = Arc::new(made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?);
        // What users run comes first: this is for somebody who is not there yet.
        workspace.slot().stand_back(true);
        let kernel = workspace.add_kernel_at_leisure(key).await;
        let is_open = match self.state().buckets.get_mut(key) {
            Some(bucket) => {
                bucket.making = Some(kernel.clone());
                true
            }
            None => false,
        };
        let warmed = if is_open { kernel.warm().await } else { Err(StartError::ShutDown) };
        workspace.slot().stand_back(false);
        if let Err(error) = warmed {
            workspace.close().await;
            return Err(error.to_string());
        }
        Ok(workspace)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and each change under it leaves the state whole.
        lock(&self.state)
    }
}

fn warm_kernel(workspace: &Workspace, language: Language) -> Option<Kernel> {
    workspace.kernel(language).filter(Kernel::is_warm)
}

/// The run task.
async fn keep(pool: Weak<Pool>, changed: Arc<Notify>) {
    // Weak while asleep, or the pool would never be dropped.
    while let Some(next) = pool.upgrade().map(|pool| pool.look()) {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = changed.notified() => {}
        }
    }
}
