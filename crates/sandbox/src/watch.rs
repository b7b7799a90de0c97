//! Limits that hold for a session as a whole, which the kernel does not know: a thread looks at what runs.
//!
//! It looks at a session five times a second while its programs are busy, and less often while they are not. Who is
//! above a limit is killed, with the reason kept for whoever asks ([`Child::exceeded`](crate::Child::exceeded)). What is
//! used up between two looks is the price for needing no control groups: at most what a program can fill in that time.
//!
//! What takes long, counting files and dividing shared memory up, is done by a thread of the session's own
//! ([`Inspection`]): how long is up to its programs, and the other sessions do not wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::Exceeded;
use crate::cgroup::Groups;
use crate::inspection::{Disk, Inspection};
use crate::sandbox_use::{Use, processor_time, resident};
use crate::watched::Watched;

/// How often a busy session is looked at. A program fills about 400 MiB of new memory in this time.
const SOON: Duration = Duration::from_millis(200);

/// How often a session is looked at whose programs do nothing.
const LATER: Duration = Duration::from_secs(2);

/// All that is watched, by slots: the sandboxes of a slot are one session's.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Where the groups of sessions that are over are to be removed. Not to be kept from going.
    groups: Weak<Groups>,
    sandboxes: Mutex<Vec<Weak<Watched>>>,
    /// Those that are to end, whoever else has let go of them.
    ending: Mutex<Vec<Arc<Watched>>>,
    started: OnceLock<()>,
}

impl Watch {
    pub(crate) fn new(groups: &Arc<Groups>) -> Self {
        Self {
            groups: Arc::downgrade(groups),
            sandboxes: Mutex::default(),
            ending: Mutex::default(),
            started: OnceLock::new(),
        }
    }

    /// Watches a sandbox from now on, until it is dropped.
    pub(crate) fn add(self: &Arc<Self>, sandbox: &Arc<Watched>) {
        self.sandboxes().push(Arc::downgrade(sandbox));
        self.started.get_or_init(|| {
            let watch = Arc::downgrade(self);
            let thread = std::thread::Builder::new().name("agb-watch".to_owned());
            // Without it there are the limits that the kernel keeps.
            let _ = thread.spawn(move || run(&watch));
        });
    }

    /// Ends a sandbox, and sees to it that it does.
    pub(crate) fn end(&self, sandbox: &Arc<Watched>) {
        sandbox.end();
        let mut ending = self.ending();
        if !sandbox.has_ended() && !ending.iter().any(|known| Arc::ptr_eq(known, sandbox)) {
            ending.push(Arc::clone(sandbox));
        }
    }

    /// The sandboxes of a slot that may still run.
    pub(crate) fn of_slot(&self, slot: u32) -> Vec<Arc<Watched>> {
        let mut found: Vec<_> = self.sandboxes().iter().filter_map(Weak::upgrade).collect();
        found.extend(self.ending().iter().cloned());
        found.retain(|sandbox| sandbox.slot == slot);
        found
    }

    fn press(&self) {
        let ending: Vec<_> = {
            let mut ending = self.ending();
            ending.retain(|sandbox| !sandbox.has_ended());
            ending.clone()
        };
        ending.iter().for_each(|sandbox| sandbox.press());
    }

    fn ending(&self) -> MutexGuard<'_, Vec<Arc<Watched>>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sandboxes(&self) -> MutexGuard<'_, Vec<Weak<Watched>>> {
        // Each change under the lock is a single step.
        self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self) -> HashMap<u32, Vec<Arc<Watched>>> {
        let mut sandboxes = self.sandboxes();
        sandboxes.retain(|sandbox| sandbox.strong_count() > 0);
        let mut by_slot: HashMap<u32, Vec<Arc<Watched>>> = HashMap::new();
        for sandbox in sandboxes.iter().filter_map(Weak::upgrade) {
            by_slot.entry(sandbox.slot).or_default().push(sandbox);
        }
        by_slot
    }
}

/// What the thread remembers of a session.
struct Session {
    look_at: Instant,
    interval: Duration,
    /// The processor time of its processes at the last look.
    busy: u64,
    /// And which they were.
    processes: Vec<i32>,
    /// It was busy, and its files have not been counted since.
    has_worked: bool,
    weigh_at: Instant,
    count_at: Instant,
    disk: Arc<Mutex<Disk>>,
    /// What looks into it closely.
    inspection: Option<Inspection>,
    /// The kernel had killed somebody at the last look, and nobody had asked.
    has_killed: bool,
}

fn run(watch: &Weak<Watch>) {
    let mut sessions: HashMap<u32, Session> = HashMap::new();
    while let Some(watch) = watch.upgrade() {
        let living = watch.living();
        watch.press();
        if let Some(groups) = watch.groups.upgrade() {
            groups.sweep();
        }
        drop(watch);
        sessions.retain(|slot, _| living.contains_key(slot));
        for (slot, sandboxes) in living {
            let now = Instant::now();
            let session = sessions.entry(slot).or_insert_with(|| Session {
                look_at: now,
                interval: SOON,
                busy: 0,
                processes: Vec::new(),
                has_worked: true,
                weigh_at: now,
                count_at: now,
                disk: Arc::default(),
                inspection: None,
                has_killed: false,
            });
            let stirred = sandboxes.iter().filter(|sandbox| sandbox.take_stirred()).count();
            if session.look_at <= now || stirred > 0 {
                session.look(&sandboxes, now);
            }
            sandboxes.iter().filter(|sandbox| sandbox.is_ending()).for_each(|sandbox| sandbox.press());
        }
        std::thread::sleep(SOON);
    }
}

impl Session {
    fn look(&mut self, sandboxes: &[Arc<Watched>], now: Instant) {
        let Some(first) = sandboxes.first() else { return };
        let limit = first.limits.total_memory;
        let mut uses = Vec::new();
        let mut busy = 0;
        for sandbox in sandboxes {
            // Who cannot be looked at now, is at the next look.
            let processes = sandbox.processes().unwrap_or_default();
            busy += processes.iter().map(|pid| processor_time(*pid)).sum::<u64>();
            let in_files = sandbox.in_memory_files(&processes);
            let memory = processes.iter().map(|pid| resident(*pid)).sum::<u64>().max(in_files);
            uses.push(Use { memory, processes, sandbox: Arc::clone(sandbox) });
        }
        // The kernel has killed somebody. A sandbox that ends of it asks for the reason itself, and has time for that;
        // but it may have been one of several processes, and the others go on.
        let had_killed = std::mem::replace(&mut self.has_killed, first.has_killed());
        if self.has_killed
            && had_killed
            && sandboxes.iter().all(|sandbox| !sandbox.has_ended())
            && first.is_out_of_memory()
        {
            Use::kill_largest(&uses, Exceeded::Memory(limit));
        }
        // Processes may follow each other so fast that none of them has any time.
        let mut processes: Vec<i32> = uses.iter().flat_map(|it| it.processes.iter().copied()).collect();
        processes.sort_unstable();
        let was_idle = busy == self.busy && processes == self.processes && !self.has_killed;
        (self.busy, self.processes) = (busy, processes);
        self.has_worked |= !was_idle;
        self.interval = if was_idle { (self.interval * 2).min(LATER) } else { SOON };
        self.look_at = now + self.interval;
        if let Some(done) = self.inspection.take_if(|inspection| inspection.is_over()) {
            (self.weigh_at, self.count_at) = done.next_at(self.weigh_at, self.count_at);
        }
        // What several processes have together was counted for each: now exactly, which takes longer.
        let is_heavy = Use::total(&uses) > limit && self.weigh_at <= now;
        let is_to_count = self.has_worked && self.count_at <= now;
        if self.inspection.is_none() && (is_heavy || is_to_count) {
            let disk = is_to_count.then(|| Arc::clone(&self.disk));
            self.inspection = Inspection::start(uses, is_heavy, disk);
            self.has_worked &= !(is_to_count && self.inspection.is_some());
        }
    }
}
