//! Limits that hold for a session as a whole, which the kernel does not know: a thread looks at what runs.
//!
//! It looks at a session five times a second while its programs are busy, and less often while they are not. Who is
//! above a limit is killed, with the reason kept for whoever asks ([`Child::exceeded`](crate::Child::exceeded)). What is
//! used up between two looks is the price for needing no control groups: at most what a program can fill in that time.
//!
//! What a session's processes have open, and how many they are, is counted at each such look: what the machine has a number of
//! for everybody is soon gone. A session at rest is looked at, too, when much of it was taken.
//!
//! What takes long, counting files and dividing shared memory up, is done by a thread of the session's own
//! ([`Inspection`]): how long is up to its programs, and the other sessions do not wait for it.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::Exceeded;
use crate::cgroup::{Controller, Groups};
use crate::disk::SessionDisk;
use crate::epoll;
use crate::inspection::Inspection;
use crate::machine::{self, Machine};
use crate::sandbox_use::{Ran, Use, resident};
use crate::setsids::Setsids;
use crate::signals;
use crate::sys::socket;
use crate::watched::Watched;

/// How often a busy session is looked at. A program fills about 400 MiB of new memory in this time.
const SOON: Duration = Duration::from_millis(200);

/// How long the start of a program waits for those of its session that are being ended, where that may make room for it.
///
/// 300 ms: they end in milliseconds, on a busy machine in tens of them.
const ENDING: Duration = Duration::from_millis(300);

/// How often a session is looked at whose programs do nothing.
const LATER: Duration = Duration::from_secs(2);

/// All that is watched, by slots: the sandboxes of a slot are one session's.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Where the groups of sessions that are over are to be removed. Not to be kept from going.
    groups: Weak<Groups>,
    sandboxes: Mutex<Vec<Weak<Watched>>>,
    /// What sessions have on disk, by slots: until the session ends, whether something of it runs or not.
    disks: Mutex<HashMap<u32, Arc<SessionDisk>>>,
    /// Those that are to end, whoever else has let go of them.
    ending: Mutex<Vec<Arc<Watched>>>,
    started: OnceLock<()>,
}

impl Watch {
    pub(crate) fn new(groups: &Arc<Groups>) -> Self {
        Self {
            groups: Arc::downgrade(groups),
            sandboxes: Mutex::default(),
            disks: Mutex::default(),
            ending: Mutex::default(),
            started: OnceLock::new(),
        }
    }

    /// Watches a sandbox from now on, until it is dropped.
    pub(crate) fn add(self: &Arc<Self>, sandbox: &Arc<Watched>) {
        self.sandboxes().push(Arc::downgrade(sandbox));
        let disk = Arc::clone(self.disks().entry(sandbox.slot).or_default());
        disk.begin(sandbox);
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

    /// The limit of disk or files that a session is above. Known from the last count; where that was above it, counts once
    /// more, without what is about to end.
    pub(crate) fn is_full(&self, slot: u32) -> Option<Exceeded> {
        let disk = self.disks().get(&slot).cloned()?;
        disk.was_full()?;
        let sandboxes = self.of_slot(slot);
        // What they hold without a name goes with them.
        let deadline = Instant::now() + ENDING;
        for sandbox in sandboxes.iter().filter(|sandbox| sandbox.is_ending()) {
            let _ =
                socket::wait_readable([sandbox.init.as_fd()], Some(deadline.saturating_duration_since(Instant::now())));
        }
        let uses: Vec<Use> = sandboxes.into_iter().map(Use::of).collect();
        disk.is_full(&uses)
    }

    /// A session has ended, and its slot will be another's.
    pub(crate) fn forget(&self, slot: u32) {
        self.disks().remove(&slot);
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

    fn disks(&self) -> MutexGuard<'_, HashMap<u32, Arc<SessionDisk>>> {
        // As above.
        self.disks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All sessions, and what runs of each.
    fn sessions(&self) -> HashMap<u32, (Arc<SessionDisk>, Vec<Arc<Watched>>)> {
        let mut by_slot: HashMap<_, _> =
            self.disks().iter().map(|(slot, disk)| (*slot, (Arc::clone(disk), Vec::new()))).collect();
        let mut sandboxes = self.sandboxes();
        sandboxes.retain(|sandbox| sandbox.strong_count() > 0);
        for sandbox in sandboxes.iter().filter_map(Weak::upgrade) {
            by_slot.entry(sandbox.slot).or_default().1.push(sandbox);
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
    setsids: Setsids,
    /// It was busy, and its files have not been counted since.
    has_worked: bool,
    weigh_at: Instant,
    count_at: Instant,
    disk: Arc<SessionDisk>,
    /// What looks into it closely.
    inspection: Option<Inspection>,
    /// The server's user had no watches left, and nobody has looked for who has them.
    out_of_watches: bool,
    /// The kernel had killed somebody at the last look, and nobody had asked.
    has_killed: bool,
}

fn run(watch: &Weak<Watch>) {
    let mut sessions: HashMap<u32, Session> = HashMap::new();
    let mut machine = Machine::default();
    let mut trial = epoll::Trial::default();
    while let Some(watch) = watch.upgrade() {
        let all = watch.sessions();
        watch.press();
        let mut counts_setsids = machine::gives_each_setsid_a_share();
        if let Some(groups) = watch.groups.upgrade() {
            groups.sweep();
            counts_setsids &= !groups.have(Controller::Processors);
        }
        drop(watch);
        let has_leapt = machine.has_leapt();
        let out_of_watches = trial.are_out();
        sessions.retain(|slot, session| all.get(slot).is_some_and(|(disk, _)| Arc::ptr_eq(disk, &session.disk)));
        for (slot, (disk, sandboxes)) in all {
            let now = Instant::now();
            let session = sessions.entry(slot).or_insert_with(|| Session::new(disk, now));
            let stirred = sandboxes.iter().filter(|sandbox| sandbox.take_stirred()).count();
            let has_begun = session.disk.take_begun();
            session.has_worked |= has_begun;
            let is_due = session.look_at <= now && session.is_of_interest(&sandboxes);
            if is_due || stirred > 0 || has_begun || has_leapt || out_of_watches {
                session.out_of_watches |= out_of_watches && !sandboxes.is_empty();
                session.look(&sandboxes, now, counts_setsids);
            }
            sandboxes.iter().filter(|sandbox| sandbox.is_ending()).for_each(|sandbox| sandbox.press());
        }
        std::thread::sleep(SOON);
    }
}

impl Session {
    fn new(disk: Arc<SessionDisk>, now: Instant) -> Self {
        Self {
            look_at: now,
            interval: SOON,
            busy: 0,
            processes: Vec::new(),
            setsids: Setsids::default(),
            has_worked: true,
            weigh_at: now,
            count_at: now,
            disk,
            inspection: None,
            out_of_watches: false,
            has_killed: false,
        }
    }

    /// Nothing is to be seen of a session of which nothing runs, once its files were counted.
    fn is_of_interest(&self, sandboxes: &[Arc<Watched>]) -> bool {
        !sandboxes.is_empty() || !self.processes.is_empty() || self.has_worked || self.inspection.is_some()
    }

    fn look(&mut self, sandboxes: &[Arc<Watched>], now: Instant, counts_setsids: bool) {
        let mut uses: Vec<Use> = sandboxes.iter().cloned().map(Use::of).collect();
        let mut busy = 0;
        let mut all_ran: Vec<Vec<Ran>> = Vec::new();
        for it in &mut uses {
            let all: Vec<Ran> = it.processes.iter().map(Ran::of).collect();
            for (&pid, ran) in it.processes.iter().zip(&all) {
                busy += ran.processor_time;
                it.tasks += ran.threads;
                it.open_files += machine::open_files(pid, ran.threads);
            }
            all_ran.push(all);
        }
        if counts_setsids {
            self.setsids = self.setsids.after(all_ran.iter().flatten(), now);
            for (it, ran) in uses.iter_mut().zip(&all_ran) {
                it.setsids = self.setsids.busy(ran.iter(), now).saturating_sub(1);
            }
        }
        // Looking at so many more closely takes longer than making them.
        if !keep_numbers(&uses) {
            for it in &mut uses {
                let in_files = it.sandbox.in_memory_files(&it.processes);
                it.memory = it.processes.iter().map(|pid| resident(*pid)).sum::<u64>().max(in_files);
            }
        }
        // The kernel has killed somebody. A sandbox that ends of it asks for the reason itself, and has time for that;
        // but it may have been one of several processes, and the others go on.
        let has_killed = sandboxes.first().is_some_and(|first| first.has_killed());
        let had_killed = std::mem::replace(&mut self.has_killed, has_killed);
        if let Some(first) = sandboxes.first()
            && self.has_killed
            && had_killed
            && sandboxes.iter().all(|sandbox| !sandbox.has_ended())
            && first.is_out_of_memory()
        {
            Use::kill_largest(&uses, Exceeded::Memory(first.limits.total_memory));
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
        let limit = sandboxes.first().map_or(u64::MAX, |first| first.limits.total_memory);
        let is_heavy = Use::total(&uses) > limit && self.weigh_at <= now;
        let is_to_count = self.has_worked && self.count_at <= now || self.out_of_watches;
        if self.inspection.is_none() && (is_heavy || is_to_count) {
            let disk = is_to_count.then(|| Arc::clone(&self.disk));
            self.inspection = Inspection::start(uses, is_heavy, disk, self.out_of_watches);
            let is_counted = is_to_count && self.inspection.is_some();
            self.has_worked &= !is_counted;
            self.out_of_watches &= !is_counted;
        }
    }
}

/// Kills sandboxes where there are more processes or open files than there may be. False: there are not.
fn keep_numbers(uses: &[Use]) -> bool {
    let Some(limits) = uses.first().map(|it| it.sandbox.limits.clone()) else { return false };
    let mut is_above = false;
    // The kernel keeps it where the programs of a sandbox have a user of their own.
    for it in uses.iter().filter(|it| it.tasks > it.sandbox.limits.processes) {
        it.sandbox.kill(Exceeded::Processes(it.sandbox.limits.processes));
        is_above = true;
    }
    let tasks = limits.total_processes;
    let files = limits.total_open_files.min(machine::most_open_files());
    is_above |= Use::kill_most(uses, tasks, |it| it.tasks, Exceeded::TotalProcesses(tasks));
    is_above |= Use::kill_most(uses, limits.total_setsids, |it| it.setsids, Exceeded::Setsids(limits.total_setsids));
    is_above |= keep_signals(uses);
    is_above |= keep_sockets(uses, limits.total_connections);
    is_above | Use::kill_most(uses, files, |it| it.open_files, Exceeded::OpenFiles(files))
}

/// Kills the sandboxes that have the most queued signals and timers of a session that has too many of the server's user's. False: it
/// has not. Elsewhere the kernel keeps it.
fn keep_signals(uses: &[Use]) -> bool {
    let shares_user = |it: &&Use| it.sandbox.shares_user;
    let Some(most) = uses.iter().find(shares_user).and_then(|_| signals::most_of_a_session()) else { return false };
    let of = |it: &Use| it.processes.iter().map(|pid| signals::of(*pid, most + 1)).sum();
    Use::kill_most(uses, most, of, Exceeded::Signals(most))
}

/// Kills all of a session that has more sockets in its network: one that is closed, or that nobody has accepted, belongs to no
/// process, and goes when its other end has gone. False: there are not more.
fn keep_sockets(uses: &[Use], limit: u64) -> bool {
    let of_network = uses.iter().filter(|it| it.sandbox.has_network);
    let mut processes = of_network.clone().flat_map(|it| &it.processes);
    let Some(found) = processes.find_map(|pid| machine::sockets(*pid)) else { return false };
    let most = [(found.tcp, machine::most_connections()), (found.all, machine::most_sockets())];
    let exceeded = most.into_iter().map(|(found, most)| (found, limit.min(most))).find(|(found, most)| found > most);
    if let Some((_, most)) = exceeded {
        of_network.for_each(|it| it.sandbox.kill(Exceeded::Connections(most)));
    }
    exceeded.is_some()
}
