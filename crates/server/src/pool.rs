//! Rooms with an interpreter that is ready, for sessions that come: a program in one starts at once.
//!
//! ```text
//! session, at its first use ── take ──► a shelf (language, interpreter, environment): rooms
//!                                          ▲ makes, closes
//! keeper, one task: looks at each shelf after a take, and now and then ─┴─ a task for each room on its way in or out
//! ```
//!
//! A language that was used lately has a few warm rooms, as many as were taken in the last seconds; one that nobody has
//! used for a while has none. Python of the default image has some from the start. All together take no more than
//! [`Warm::memory`](crate::Warm::memory), nor than an eighth of what is free. Nobody ever waits for a room to be made
//! ready: where the shelf is empty, a session gets a cold one.
//!
//! What is made ready stands back from what users run: it begins a moment after the last take, and has a quarter of a
//! program's part of busy processors (where there are control groups for them), so that it is ready some time all the same.
//!
//! A room is taken once and never given back, so nothing of a session is ever found by another.

mod demand;
mod memory;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
use crate::config::{Config, Warm};
use crate::image::Image;
use crate::metrics::Metrics;
use crate::room::{Conditions, Room};
use crate::rooms::Rooms;

/// How long after a take the next room is made: the processors are for the program that has just begun.
const PAUSE: Duration = Duration::from_millis(10);

/// How often the keeper looks when nothing happens: for interpreters that have died, and for what has become too much.
const LOOK: Duration = Duration::from_secs(1);

/// When to try again what has failed: an interpreter that does not start now does not in a second.
const RETRY: Duration = Duration::from_secs(30);

/// Rooms that are made ready at once: one that is slow, Java's, keeps no other waiting.
const MAKING: usize = 2;

/// Rooms with an interpreter that is ready.
#[derive(Debug)]
pub(crate) struct Pool {
    rooms: Rooms,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Wakes the keeper.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    shelves: HashMap<Conditions, Shelf>,
    last_take: Option<Instant>,
    free: Free,
    /// What is warm although nobody has used it, and when it was looked up: its image may be prepared anew.
    pinned: Option<(Instant, Option<Conditions>)>,
    /// Rooms on their way in or out.
    tasks: JoinSet<()>,
    closed: bool,
}

/// Rooms that are alike.
#[derive(Debug, Default)]
struct Shelf {
    /// The oldest first.
    ready: VecDeque<Arc<Room>>,
    is_making: bool,
    /// Of the room that is being made, once it has one.
    making: Option<Kernel>,
    demand: Option<Demand>,
    /// Nothing is made before.
    retry_at: Option<Instant>,
}

/// How many rooms there should be of one kind.
#[derive(Debug)]
struct Wanted {
    conditions: Conditions,
    /// It was used lately, or is to be there in any case.
    in_use: bool,
    /// Fewer: some are made.
    least: usize,
    /// More: some are closed.
    most: usize,
}

impl Shelf {
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

    /// Takes a room out whose interpreter lives. The keeper closes the others.
    fn take(&mut self, language: Language) -> Option<(Arc<Room>, Kernel)> {
        let warm = self.ready.iter().enumerate().find_map(|(index, room)| Some((index, warm_kernel(room, language)?)));
        let (index, kernel) = warm?;
        Some((self.ready.remove(index)?, kernel))
    }
}

impl State {
    /// What is wanted and may be had, what is wanted most first.
    fn wanted(&mut self, now: Instant, pinned: Option<&Conditions>, warm: &Warm) -> Vec<Wanted> {
        let size = |conditions: &Conditions| memory::size_of(conditions.language);
        let own = self.shelves.iter().map(|(conditions, shelf)| size(conditions) * shelf.ready.len() as u64).sum();
        let budget = self.free.budget(now, &warm.meminfo, own, warm.memory);
        // A quarter more may stay: what was made is not closed for a fluctuation.
        let (mut making, mut keeping) = (budget, budget + budget / 4);
        let mut order: Vec<_> = self.shelves.iter().collect();
        order.sort_by(|(_, one), (_, other)| other.level(now).total_cmp(&one.level(now)));
        let mut wanted = Vec::new();
        for (conditions, shelf) in order {
            let at_start = if pinned == Some(conditions) { warm.at_start.min(warm.most) } else { 0 };
            let lately = shelf.demand.as_ref().map_or(0, |demand| demand.wanted(now, warm.keep, warm.most));
            let number = lately.max(at_start);
            let within = |budget: &mut u64| {
                let fitting = usize::try_from(*budget / size(conditions)).unwrap_or(usize::MAX).min(number);
                *budget -= size(conditions) * fitting as u64;
                fitting
            };
            let (least, most) = (within(&mut making), within(&mut keeping));
            wanted.push(Wanted { conditions: conditions.clone(), in_use: number > 0, least, most });
        }
        wanted
    }

    /// Takes the rooms out that are dead or too many.
    fn remove_unwanted(&mut self, wanted: &[Wanted]) -> Vec<Arc<Room>> {
        let mut removed = Vec::new();
        for Wanted { conditions, most, .. } in wanted {
            let Some(shelf) = self.shelves.get_mut(conditions) else { continue };
            let is_warm = |room: &Arc<Room>| warm_kernel(room, conditions.language).is_some();
            let (warm, dead): (Vec<_>, Vec<_>) = shelf.ready.drain(..).partition(is_warm);
            shelf.ready = warm.into();
            removed.extend(dead);
            removed.extend(shelf.ready.drain(..shelf.ready.len().saturating_sub(*most)));
        }
        let in_use = |conditions: &Conditions| wanted.iter().any(|it| it.in_use && it.conditions == *conditions);
        self.shelves.retain(|conditions, shelf| shelf.count() > 0 || in_use(conditions));
        removed
    }
}

impl Pool {
    /// An empty one, which begins to fill itself. Call it inside a tokio runtime.
    pub(crate) fn new(rooms: Rooms, config: Arc<Config>, metrics: Arc<Metrics>) -> Arc<Self> {
        let changed = Arc::new(Notify::new());
        let pool = Arc::new(Self { rooms, config, metrics, state: Mutex::default(), changed: Arc::clone(&changed) });
        tokio::spawn(keep(Arc::downgrade(&pool), changed));
        pool
    }

    /// How programs are isolated.
    pub(crate) fn level(&self) -> Level {
        self.rooms.level()
    }

    /// A room with this interpreter: a warm one if there is one.
    pub(crate) fn take(&self, conditions: &Conditions) -> io::Result<(Arc<Room>, Kernel)> {
        let now = Instant::now();
        let found = {
            let mut state = self.state();
            state.last_take = Some(now);
            let shelf = state.shelves.entry(conditions.clone()).or_default();
            shelf.note(now);
            shelf.take(conditions.language)
        };
        self.changed.notify_one();
        self.metrics.kernel_taken(conditions.language, found.is_some());
        if let Some(found) = found {
            return Ok(found);
        }
        let room = Arc::new(self.rooms.make()?);
        let kernel = room.add_kernel(conditions);
        Ok((room, kernel))
    }

    /// A room for whoever wants files: with the interpreter of the image that is wanted most, if there is one, because a
    /// program often follows.
    pub(crate) fn take_any(&self, image: &Image) -> io::Result<Arc<Room>> {
        let now = Instant::now();
        let kinds = Language::ALL.iter().filter_map(|language| Conditions::of(&self.config, image, *language).ok());
        let found = {
            let mut state = self.state();
            let level = |kind: &Conditions| {
                let shelf = state.shelves.get(kind).filter(|shelf| !shelf.ready.is_empty());
                shelf.map(|shelf| shelf.level(now))
            };
            let levels: Vec<(Conditions, f64)> = kinds.filter_map(|kind| Some((kind.clone(), level(&kind)?))).collect();
            let most_wanted = levels.into_iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
            most_wanted.and_then(|(conditions, _)| {
                state.last_take = Some(now);
                let shelf = state.shelves.get_mut(&conditions)?;
                shelf.note(now);
                Some((shelf.take(conditions.language)?.0, conditions.language))
            })
        };
        let Some((room, language)) = found else { return Ok(Arc::new(self.rooms.make()?)) };
        self.changed.notify_one();
        self.metrics.kernel_taken(language, true);
        Ok(room)
    }

    /// A session starts this interpreter in the room that it has already.
    pub(crate) fn missed(&self, conditions: &Conditions) {
        self.state().shelves.entry(conditions.clone()).or_default().note(Instant::now());
        self.metrics.kernel_taken(conditions.language, false);
        self.changed.notify_one();
    }

    /// How many rooms are ready, by their interpreter's language.
    pub(crate) fn census(&self) -> HashMap<Language, usize> {
        let mut census = HashMap::new();
        for (conditions, shelf) in &self.state().shelves {
            *census.entry(conditions.language).or_default() += shelf.ready.len();
        }
        census
    }

    /// Closes every room that nobody has taken, and makes none any more.
    pub(crate) async fn close(&self) {
        let (shelves, tasks) = {
            let mut state = self.state();
            state.closed = true;
            (std::mem::take(&mut state.shelves), std::mem::take(&mut state.tasks))
        };
        let (mut rooms, mut making) = (Vec::new(), Vec::new());
        for shelf in shelves.into_values() {
            rooms.extend(shelf.ready);
            making.extend(shelf.making);
        }
        join_all(making.iter().map(Kernel::shutdown)).await;
        tokio::join!(join_all(rooms.iter().map(Room::close)), tasks.join_all());
    }

    /// Removes the folder that all rooms are in.
    pub(crate) fn remove_files(&self) {
        self.rooms.remove();
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
            state.shelves.entry(pinned.clone()).or_default();
        }
        let wanted = state.wanted(now, pinned.as_ref(), &self.config.warm);
        for room in state.remove_unwanted(&wanted) {
            state.tasks.spawn(async move { room.close().await });
        }
        if let Some(until) = state.last_take.map(|last| last + PAUSE).filter(|until| *until > now) {
            return until;
        }
        let mut making = state.shelves.values().filter(|shelf| shelf.is_making).count();
        for Wanted { conditions, least, .. } in wanted {
            let Some(shelf) = state.shelves.get_mut(&conditions) else { continue };
            let is_due = shelf.retry_at.is_none_or(|at| at <= now);
            if making < MAKING && !shelf.is_making && is_due && shelf.count() < least {
                shelf.is_making = true;
                making += 1;
                state.tasks.spawn(Arc::clone(self).make(conditions));
            }
        }
        now + LOOK
    }

    /// What is warm although nobody has used it: Python of the default image.
    fn pinned(&self) -> Option<Conditions> {
        if self.config.warm.at_start.min(self.config.warm.most) == 0 {
            return None;
        }
        let image = self.config.images.find(None).ok()?;
        Conditions::of(&self.config, &image, Language::Python).ok()
    }

    async fn make(self: Arc<Self>, conditions: Conditions) {
        let made = self.try_make(&conditions).await;
        let surplus = {
            let mut state = self.state();
            match state.shelves.get_mut(&conditions) {
                Some(shelf) => {
                    shelf.is_making = false;
                    shelf.making = None;
                    shelf.retry_at = made.is_err().then(|| Instant::now() + RETRY);
                    if let Err(reason) = &made {
                        let language = conditions.language;
                        tracing::warn!(%language, reason, again_in = ?RETRY, "no interpreter could be made ready");
                    }
                    shelf.ready.extend(made);
                    None
                }
                // The pool was closed meanwhile: otherwise a shelf stays while something is made for it.
                None => made.ok(),
            }
        };
        if let Some(room) = surplus {
            room.close().await;
        }
        self.changed.notify_one();
    }

    /// On failure nothing is left.
    async fn try_make(self: &Arc<Self>, conditions: &Conditions) -> Result<Arc<Room>, String> {
        let pool = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || pool.rooms.make()).await;
        let room = Arc::new(made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?);
        // What users run comes first: this is for somebody who is not there yet.
        room.slot().stand_back(true);
        let kernel = room.add_kernel_at_leisure(conditions).await;
        let is_open = match self.state().shelves.get_mut(conditions) {
            Some(shelf) => {
                shelf.making = Some(kernel.clone());
                true
            }
            None => false,
        };
        let warmed = if is_open { kernel.warm().await } else { Err(StartError::ShutDown) };
        room.slot().stand_back(false);
        if let Err(error) = warmed {
            room.close().await;
            return Err(error.to_string());
        }
        Ok(room)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and each change under it leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warm_kernel(room: &Room, language: Language) -> Option<Kernel> {
    room.kernel(language).filter(Kernel::is_warm)
}

/// The keeper.
async fn keep(pool: Weak<Pool>, changed: Arc<Notify>) {
    // Weak while asleep, or the pool would never be dropped.
    while let Some(next) = pool.upgrade().map(|pool| pool.look()) {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = changed.notified() => {}
        }
    }
}
