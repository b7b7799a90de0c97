//! What a session has on disk, from its first program to its end: counted while programs run, and once more after the last.
//!
//! Killing who goes on writing is not enough. A command may have ended before anybody looks, and the next one could write as
//! much again. So what starts while the session is above its limit can only remove files, or does not start.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::inspection::weigh_shared;
use crate::sandbox_use::Use;
use crate::stored::{Measured, Stored};
use crate::watched::Watched;
use crate::{Exceeded, Limits, locks, machine};

/// How many files a session may have that cannot be measured: mapped, without a name, and open nowhere, where the server
/// may not look at them. Each counts as this part of the session's disk, or as what was seen of it.
///
/// 64: of 2 GiB, 32 MiB each. The libraries that Java programs unpack and remove are single ones; an update of a Python
/// package that is in use leaves about twenty.
const HIDDEN: u64 = 64;

/// How often in a row a session's folders may not be counted, because somebody moves them or descriptors have run out.
const MOST_LOST: u32 = 10;

/// What a session has on disk.
#[derive(Debug, Default)]
pub(crate) struct SessionDisk {
    /// Its last sandbox's: where its files are, and how many they may be.
    places: Mutex<(Vec<PathBuf>, Limits)>,
    counted: Mutex<Counted>,
    /// The limit that it was above at the last count.
    full: Mutex<Option<Exceeded>>,
    /// A program has begun since the last look. It may have ended.
    has_begun: AtomicBool,
}

/// What there was at the last count.
#[derive(Debug)]
struct Counted {
    bytes: u64,
    files: u64,
    is_new: bool,
    /// The count killed programs, which have written until they had ended.
    is_unknown: bool,
    /// Counts in a row that could not be finished.
    lost: u32,
    measured: Measured,
    at: Instant,
    took: Duration,
}

impl Default for Counted {
    fn default() -> Self {
        let (at, took) = (Instant::now(), Duration::ZERO);
        let measured = Measured::default();
        Self { bytes: 0, files: 0, is_new: true, is_unknown: false, lost: 0, measured, at, took }
    }
}

impl SessionDisk {
    /// A program begins.
    pub(crate) fn begin(&self, sandbox: &Watched) {
        *lock(&self.places) = (sandbox.places.clone(), sandbox.limits.clone());
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// Whether a program has begun since the last call.
    pub(crate) fn take_begun(&self) -> bool {
        self.has_begun.swap(false, Ordering::Relaxed)
    }

    /// The limit that it was above at the last count.
    pub(crate) fn was_full(&self) -> Option<Exceeded> {
        *lock(&self.full)
    }

    /// The limit that it is above. Counts, but for half of the time at most.
    pub(crate) fn is_full(&self, uses: &[Use]) -> Option<Exceeded> {
        let mut counted = lock(&self.counted);
        if self.was_full().is_some() && counted.at.elapsed() > counted.took {
            self.count_into(&mut counted, uses);
        }
        drop(counted);
        self.was_full()
    }

    /// Counts what the session has on disk. Who is above a limit and still grows is killed: who is above it and removes
    /// files may go on. Answers with how long the folders took.
    pub(crate) fn count(&self, uses: &[Use]) -> Duration {
        self.count_into(&mut lock(&self.counted), uses)
    }

    fn count_into(&self, last: &mut Counted, uses: &[Use]) -> Duration {
        let (places, limits) = lock(&self.places).clone();
        let Limits { disk, files, locks, .. } = limits;
        let mappings = limits.mappings.min(machine::most_mappings());
        let begin = Instant::now();
        let before = Measured { least: (disk / HIDDEN).max(1), sizes: std::mem::take(&mut last.measured.sizes) };
        let mut stored = Stored::new(files.saturating_mul(2), mappings, before);
        weigh_shared(uses, &mut stored);
        let begin_folders = Instant::now();
        let added = places.iter().try_for_each(|place| stored.add(place));
        let folders = begin_folders.elapsed();
        uses.iter().flat_map(|it| &it.processes).for_each(|pid| stored.add_unnamed(*pid));
        let lost = if added.is_ok() { 0 } else { last.lost + 1 };

        let full = if stored.bytes > disk {
            Some(Exceeded::Disk(disk))
        } else if stored.files > files {
            Some(Exceeded::Files(files))
        } else {
            // What cannot be looked into could be anything.
            (stored.is_beyond || lost >= MOST_LOST).then_some(Exceeded::Disk(disk))
        };
        *lock(&self.full) = full;
        let held = || locks::held_by(uses.iter().flat_map(|it| &it.processes), locks.saturating_add(1));
        let other = if stored.is_unreadable {
            Some(Exceeded::Mappings(mappings))
        } else {
            (full.is_none() && held() > locks).then_some(Exceeded::Locks(locks))
        };
        let has_grown = |only_removes: bool| {
            let grows = stored.bytes > last.bytes || stored.files > last.files || stored.is_beyond || lost >= MOST_LOST;
            // Programs that were killed have written until they had ended: one that began behind them has not. One that may
            // write began before, and was not seen.
            if only_removes { grows && !last.is_unknown } else { grows || last.is_new || last.is_unknown }
        };
        let mut has_killed = false;
        // Nobody knows which of them has written it.
        for it in uses.iter().filter(|it| !it.processes.is_empty()) {
            let full = full.filter(|_| has_grown(it.sandbox.only_removes.is_some()));
            if let Some(exceeded) = full.or(other) {
                it.sandbox.kill(exceeded);
                has_killed = true;
            }
        }
        *last = Counted {
            bytes: stored.bytes,
            files: stored.files,
            is_new: false,
            is_unknown: has_killed,
            lost,
            measured: stored.measured(),
            at: Instant::now(),
            took: begin.elapsed(),
        };
        folders
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under a lock is a single step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
