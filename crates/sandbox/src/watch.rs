//! Limits that hold for a session as a whole, which the kernel does not know: a thread looks at what runs.
//!
//! It looks at a session five times a second while its programs are busy, and less often while they are not. Who is
//! above a limit is killed, with the reason kept for whoever asks ([`Child::exceeded`](crate::Child::exceeded)). What is
//! used up between two looks is the price for needing no control groups: at most what a program can fill in that time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::cgroup::Groups;
use crate::stored::Stored;
use crate::tree::read_lossy;
use crate::watched::Watched;
use crate::{Exceeded, Limits};

/// How often a busy session is looked at. A program fills about 400 MiB of new memory in this time.
const SOON: Duration = Duration::from_millis(200);

/// How often a session is looked at whose programs do nothing.
const LATER: Duration = Duration::from_secs(2);

/// The part of the time that counting files may take: one twentieth.
const COUNTING: u32 = 20;

/// How often in a row a session's folders may not be counted, because somebody moves them or descriptors have run out.
const MOST_LOST: u32 = 10;

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
    count_at: Instant,
    /// Bytes and files at the last count.
    stored: (u64, u64),
    is_new: bool,
    /// Counts in a row that could not be finished.
    lost: u32,
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
                count_at: now,
                stored: (0, 0),
                is_new: true,
                lost: 0,
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
        let mut uses: Vec<(u64, Vec<i32>, &Arc<Watched>)> = Vec::new();
        let mut busy = 0;
        for sandbox in sandboxes {
            // Who cannot be looked at now, is at the next look.
            let processes = sandbox.processes().unwrap_or_default();
            busy += processes.iter().map(|pid| processor_time(*pid)).sum::<u64>();
            let in_files = sandbox.in_memory_files(&processes);
            let bytes = processes.iter().map(|pid| resident(*pid)).sum::<u64>().max(in_files);
            uses.push((bytes, processes, sandbox));
        }
        // The kernel has killed somebody. A sandbox that ends of it asks for the reason itself, and has time for that;
        // but it may have been one of several processes, and the others go on.
        let had_killed = std::mem::replace(&mut self.has_killed, first.has_killed());
        if self.has_killed
            && had_killed
            && sandboxes.iter().all(|sandbox| !sandbox.has_ended())
            && first.is_out_of_memory()
            && let Some((.., largest)) = uses.iter().max_by_key(|(bytes, ..)| *bytes)
        {
            largest.kill(Exceeded::Memory(limit));
        }
        if uses.iter().map(|(bytes, ..)| bytes).sum::<u64>() > limit {
            // What several processes have together was counted for each: now exactly, which takes longer.
            for (bytes, processes, sandbox) in &mut uses {
                let own: Vec<OwnMemory> = processes.iter().map(|pid| own_memory(*pid)).collect();
                // Files in memory that are mapped, too, are among what is shared.
                let shared = own.iter().map(|own| own.shared).sum::<u64>().max(sandbox.in_memory_files(processes));
                *bytes = own.iter().map(|own| own.private).sum::<u64>() + shared;
            }
            if uses.iter().map(|(bytes, ..)| bytes).sum::<u64>() > limit
                && let Some((.., largest)) = uses.iter().max_by_key(|(bytes, ..)| *bytes)
            {
                largest.kill(Exceeded::Memory(limit));
            }
        }
        let was_idle = busy == self.busy && !self.has_killed;
        self.busy = busy;
        self.interval = if was_idle { (self.interval * 2).min(LATER) } else { SOON };
        self.look_at = now + self.interval;
        if self.count_at <= now && (!was_idle || self.is_new) {
            self.count(first, &uses);
        }
    }

    /// Counts what the session has on disk. Who is above a limit and still grows is killed: who is above it and removes
    /// files may go on.
    fn count(&mut self, first: &Watched, uses: &[(u64, Vec<i32>, &Arc<Watched>)]) {
        let began = Instant::now();
        let Limits { disk, files, .. } = first.limits;
        let mut stored = Stored::new(files.saturating_mul(2));
        let counted = first.places.iter().try_for_each(|place| stored.add(place));
        for (_, processes, _) in uses {
            processes.iter().for_each(|pid| stored.add_unnamed(*pid));
        }
        self.lost = if counted.is_ok() { 0 } else { self.lost + 1 };
        let now = (stored.bytes, stored.files);
        let before = std::mem::replace(&mut self.stored, now);
        let grown_before = |now: u64, then: u64| now > then || self.is_new;
        let exceeded = if now.0 > disk && grown_before(now.0, before.0) {
            Some(Exceeded::Disk(disk))
        } else if now.1 > files && (grown_before(now.1, before.1) || stored.is_beyond) {
            Some(Exceeded::Files(files))
        } else if stored.is_beyond || self.lost >= MOST_LOST {
            // What cannot be looked into could be anything.
            Some(Exceeded::Disk(disk))
        } else {
            None
        };
        if let Some(exceeded) = exceeded {
            // Nobody knows which of them has written it.
            uses.iter()
                .filter(|(_, processes, _)| !processes.is_empty())
                .for_each(|(.., sandbox)| sandbox.kill(exceeded));
        }
        self.is_new = false;
        self.count_at = Instant::now() + began.elapsed() * COUNTING;
    }
}

/// The memory of a process that is there, what it has together with others included, and what the kernel needs to find it.
pub(crate) fn resident(pid: i32) -> u64 {
    let Ok(text) = read_lossy(format!("/proc/{pid}/status")) else { return 0 };
    field(&text, "VmRSS:") + field(&text, "VmPTE:")
}

/// The memory of a process that is no file's.
#[derive(Debug, Default)]
struct OwnMemory {
    private: u64,
    /// Its part of what it has together with others, and of files that are in memory only.
    shared: u64,
}

fn own_memory(pid: i32) -> OwnMemory {
    let Ok(text) = read_lossy(format!("/proc/{pid}/smaps_rollup")) else {
        return OwnMemory { private: resident(pid), shared: 0 };
    };
    let status = read_lossy(format!("/proc/{pid}/status")).unwrap_or_default();
    OwnMemory { private: field(&text, "Pss_Anon:") + field(&status, "VmPTE:"), shared: field(&text, "Pss_Shmem:") }
}

/// A number of kilobytes in one of the kernel's tables, in bytes.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number: u64 = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0);
    number << 10
}

/// The processor time of a process, in the system's ticks.
pub(crate) fn processor_time(pid: i32) -> u64 {
    let Ok(text) = read_lossy(format!("/proc/{pid}/stat")) else { return 0 };
    // The name, which may contain anything, ends at the last parenthesis; user and system time are fields 14 and 15.
    let Some((_, fields)) = text.rsplit_once(')') else { return 0 };
    fields.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_hides_nothing_of_a_process() {
        let (ready, say) = std::sync::mpsc::channel();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            rustix::thread::set_name(c"\xff) 1").expect("every thread may have one");
            ready.send(rustix::thread::gettid().as_raw_pid()).expect("it is waited for");
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(50) {}
            let _ = wait.recv();
        });
        let named = say.recv().expect("it runs");
        assert!(resident(named) > 0);
        let begin = Instant::now();
        while processor_time(named) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(60), "it counts ticks");
        }
        drop(end);
        thread.join().expect("it ends");
    }

    #[test]
    fn what_a_process_uses_can_be_seen() {
        let own = i32::try_from(std::process::id()).expect("a process number is an int");
        let memory = vec![1_u8; 64 << 20];
        let (resident_now, own_now) = (resident(own), own_memory(own));
        assert!(resident_now > 64 << 20 && own_now.private > 64 << 20, "{resident_now} {own_now:?}");
        let begin = Instant::now();
        while processor_time(own) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(60), "it counts ticks");
        }
        assert_eq!(memory[1 << 20], 1);
        assert_eq!((resident(-1), own_memory(-1).private, processor_time(-1)), (0, 0, 0));
    }
}
