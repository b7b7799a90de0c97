//! Control groups: the kernel's own way to limit what a session's processes use together.
//!
//! ```text
//! the server's own group
//! ├── agb-servers      only version 2: the servers themselves, which may not be in a group that has groups
//! └── agb-0123456789abcdef    one launcher's, locked as long as it lives
//!     ├── 17           a session's, by its slot
//!     └── 18
//! ```
//!
//! The first process of a sandbox puts itself into its session's group, before it is anybody else than the server. A
//! session's group goes with the session's last sandbox, a launcher's with it, and those of dead launchers when the next
//! one starts.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::machine;
use crate::sys::process;
use crate::{Limits, SpawnError, Stage};

mod left;
mod tree;

pub use left::memory_left;
use tree::{Tree, Version};

/// How long the end of a launcher waits for its groups to be empty: they are when its sandboxes have died.
const PATIENCE: Duration = Duration::from_secs(2);

/// The time that a limit of processor time is for, in microseconds.
///
/// 100 ms: the kernel's default; a program that has used its part up waits for the rest of it.
const PERIOD: u64 = 100_000;

/// What a control group limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Controller {
    /// [`Limits::total_memory`].
    Memory,
    /// [`Limits::total_processes`].
    Processes,
    /// [`Limits::cpus`], and that sessions get the same share of busy processors, however many threads they have.
    Processors,
}

impl Controller {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Processes, Self::Processors];

    /// The kernel's name.
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
            Self::Processors => "cpu",
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Processors => "processors",
        })
    }
}

/// Which control groups a launcher uses, and why not others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlGroups {
    /// What is limited, and in which version of control groups.
    pub used: Vec<(Controller, u8)>,
    /// Why something is not: what was tried and what came of it. Empty if all is used.
    pub missing: Vec<String>,
}

impl ControlGroups {
    /// What to do where busy processors are shared by what programs make of themselves: the kernel gives each `setsid` a share
    /// of its own, and no control group has them all. `None`: they are not.
    #[must_use]
    pub fn remedy_for_setsid(&self) -> Option<&'static str> {
        let is_needed = machine::gives_each_setsid_a_share() && !self.has(Controller::Processors);
        is_needed.then_some(
            "kernel.sched_autogroup_enabled is 1: each setsid of a program gets a share of the processors, so one session can \
             make others wait; set it to 0 (sysctl -w kernel.sched_autogroup_enabled=0), or give the server control groups",
        )
    }

    /// Whether this is limited by control groups.
    #[must_use]
    pub fn has(&self, controller: Controller) -> bool {
        self.used.iter().any(|(used, _)| *used == controller)
    }
}

/// For people: what is used, and what is missing with what to do.
impl fmt::Display for ControlGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.used.is_empty() {
            f.write_str("none")?;
        }
        for (at, (controller, version)) in self.used.iter().enumerate() {
            write!(f, "{}{controller} (version {version})", if at == 0 { "" } else { ", " })?;
        }
        if !self.missing.is_empty() {
            write!(f, "; not all, because {}", self.missing.join("; "))?;
        }
        Ok(())
    }
}

/// A launcher's control groups.
#[derive(Debug)]
pub(crate) struct Groups {
    /// One for each of the kernel's hierarchies. None where the machine offers none.
    trees: Vec<Tree>,
    missing: Vec<String>,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    /// By slot. One whose sandboxes are gone stays here until its directories are.
    groups: HashMap<u32, Weak<Group>>,
    /// Slots whose programs stand back.
    standing_back: HashSet<u32>,
}

/// A session's control groups, one in each tree. They go when the last one lets this go.
#[derive(Debug)]
pub(crate) struct Group {
    slot: u32,
    groups: Arc<Groups>,
    /// How many of the session's processes the kernel has killed for want of memory, as far as it is known.
    known: AtomicU64,
}

impl Groups {
    /// Makes the launcher's groups where that is allowed, and removes those of dead launchers.
    pub(crate) fn start() -> Arc<Self> {
        let (trees, missing) = tree::make();
        Arc::new(Self { trees, missing, sessions: Mutex::default() })
    }

    pub(crate) fn report(&self) -> ControlGroups {
        let version = |tree: &Tree| match tree.version {
            Version::One => 1,
            Version::Two => 2,
        };
        let used = self.trees.iter().flat_map(|tree| tree.controllers.iter().map(move |one| (*one, version(tree))));
        ControlGroups { used: used.collect(), missing: self.missing.clone() }
    }

    /// Whether sessions have groups for this.
    pub(crate) fn have(&self, controller: Controller) -> bool {
        self.trees.iter().any(|tree| tree.has(controller))
    }

    /// The group of a session, which gets the limits of the first sandbox. `None`: this machine offers none.
    pub(crate) fn session(self: &Arc<Self>, slot: u32, limits: &Limits) -> Result<Option<Arc<Group>>, SpawnError> {
        if self.trees.is_empty() {
            return Ok(None);
        }
        let mut sessions = self.sessions();
        if let Some(group) = sessions.groups.get(&slot).and_then(Weak::upgrade) {
            return Ok(Some(group));
        }
        for tree in &self.trees {
            let dir = tree.session(slot);
            make(tree, &dir, limits).map_err(|error| SpawnError::Failed {
                stage: Stage::ControlGroup,
                errno: error.raw_os_error().unwrap_or(libc::EIO),
                detail: dir.display().to_string(),
            })?;
        }
        if sessions.standing_back.contains(&slot) {
            self.set_share(slot, true);
        }
        let group = Group { slot, groups: Arc::clone(self), known: AtomicU64::new(0) };
        group.known.store(group.killed(), Ordering::Relaxed);
        let group = Arc::new(group);
        sessions.groups.insert(slot, Arc::downgrade(&group));
        Ok(Some(group))
    }

    /// Whether the programs of a slot get less of a busy processor than those of others.
    pub(crate) fn stand_back(&self, slot: u32, back: bool) {
        let mut sessions = self.sessions();
        let changed = if back { sessions.standing_back.insert(slot) } else { sessions.standing_back.remove(&slot) };
        // Also if its sandboxes are gone: the next one may find it.
        if changed && sessions.groups.contains_key(&slot) {
            self.set_share(slot, back);
        }
    }

    /// An error means that the group is gone.
    fn set_share(&self, slot: u32, back: bool) {
        for tree in self.trees.iter().filter(|tree| tree.has(Controller::Processors)) {
            let (file, share) = share(tree.version, back);
            let _ = tree::set(&tree.session(slot).join(file), share);
        }
    }

    /// Removes the groups of sessions that are over, as far as their processes have died.
    pub(crate) fn sweep(&self) {
        let mut sessions = self.sessions();
        sessions.groups.retain(|slot, group| group.strong_count() > 0 || !self.remove(*slot));
    }

    /// Kills what is left in a session's groups, until there is nothing. False: there still is at the deadline.
    pub(crate) fn end_session(&self, slot: u32, deadline: Instant) -> bool {
        self.trees.iter().all(|tree| {
            let dir = tree.session(slot);
            loop {
                // Gone, like its members.
                let Ok(members) = fs::read_to_string(dir.join("cgroup.procs")) else { return true };
                let members: Vec<i32> = members.lines().filter_map(|pid| pid.parse().ok()).collect();
                if members.is_empty() {
                    return true;
                }
                if Instant::now() > deadline {
                    return false;
                }
                // Version 2 of Linux 5.14 ends all of it at once, whatever is being forked.
                if tree.version == Version::One || tree::set(&dir.join("cgroup.kill"), "1").is_err() {
                    for pid in members {
                        let _ = process::kill(pid);
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        })
    }

    /// Removes a session's directories. False if one of its processes still lives.
    fn remove(&self, slot: u32) -> bool {
        let gone = |dir: PathBuf| match fs::remove_dir(dir) {
            Err(error) => error.kind() == io::ErrorKind::NotFound,
            Ok(()) => true,
        };
        // Each of them is tried, also after one that fails.
        self.trees.iter().filter(|tree| !gone(tree.session(slot))).count() == 0
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // Each change under the lock is a single step.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.sweep();
            if self.sessions().groups.is_empty() || Instant::now() > deadline {
                return; // what is left, the trees remove, or the next server
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Group {
    /// Where a process writes itself to become a member.
    pub(crate) fn cgroup_files(&self) -> Vec<PathBuf> {
        let file = |tree: &Tree| match tree.version {
            // For a thread that moves itself this is without the lock on all of the machine's processes that
            // `cgroup.procs` takes, and waits for: 0.1 ms instead of 3. Who comes here has one thread.
            Version::One => "tasks",
            Version::Two => "cgroup.procs",
        };
        self.groups.trees.iter().map(|tree| tree.session(self.slot).join(file(tree))).collect()
    }

    /// Whether the kernel has killed a process of the session for want of memory that nobody has heard of yet, and that
    /// was not among the first `before`. Tells each of them once.
    pub(crate) fn is_out_of_memory(&self, before: u64) -> bool {
        let now = self.killed();
        now > before && self.known.fetch_max(now, Ordering::Relaxed) < now
    }

    /// The same without taking note.
    pub(crate) fn has_killed(&self) -> bool {
        self.known.load(Ordering::Relaxed) < self.killed()
    }

    /// How many it has killed so far.
    pub(crate) fn killed(&self) -> u64 {
        let Some(tree) = self.groups.trees.iter().find(|tree| tree.has(Controller::Memory)) else { return 0 };
        let file = match tree.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(tree.session(self.slot).join(file)).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut sessions = self.groups.sessions();
        // The slot may have a new group by now, in the same place.
        let groups = &mut sessions.groups;
        if groups.get(&self.slot).is_some_and(|group| group.strong_count() == 0) && self.groups.remove(self.slot) {
            groups.remove(&self.slot);
        }
    }
}

/// Makes a session's group in a tree, or takes the one that is there.
fn make(tree: &Tree, dir: &Path, limits: &Limits) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result?,
    }
    for controller in &tree.controllers {
        for (file, value, is_optional) in settings(*controller, tree.version, limits) {
            match tree::set(&dir.join(file), &value) {
                // The kernel was built without it.
                Err(error) if is_optional && error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    Ok(())
}

/// A session's part of busy processors: the kernel's default, or a quarter of that. Enough that what stands back is done
/// some time, however busy the others are.
fn share(version: Version, back: bool) -> (&'static str, &'static str) {
    match (version, back) {
        (Version::One, false) => ("cpu.shares", "1024"),
        (Version::One, true) => ("cpu.shares", "256"),
        (Version::Two, false) => ("cpu.weight", "100"),
        (Version::Two, true) => ("cpu.weight", "25"),
    }
}

/// Files of a group, what is written into them, and whether they may be missing.
fn settings(controller: Controller, version: Version, limits: &Limits) -> Vec<(&'static str, String, bool)> {
    let Limits { total_memory, total_processes, cpus, .. } = limits;
    // The kernel takes a millisecond and more.
    let quota = (PERIOD * u64::from(*cpus) / 1000).max(1000);
    match (controller, version) {
        // The second counts memory and swap together: with the same value nothing goes there.
        (Controller::Memory, Version::One) => vec![
            ("memory.limit_in_bytes", total_memory.to_string(), false),
            ("memory.memsw.limit_in_bytes", total_memory.to_string(), true),
        ],
        (Controller::Memory, Version::Two) => {
            vec![("memory.max", total_memory.to_string(), false), ("memory.swap.max", "0".to_owned(), true)]
        }
        (Controller::Processes, _) => vec![("pids.max", total_processes.to_string(), false)],
        (Controller::Processors, _) if *cpus == 0 => Vec::new(),
        (Controller::Processors, Version::One) => {
            vec![("cpu.cfs_period_us", PERIOD.to_string(), false), ("cpu.cfs_quota_us", quota.to_string(), false)]
        }
        (Controller::Processors, Version::Two) => vec![("cpu.max", format!("{quota} {PERIOD}"), false)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_what_each_version_takes() {
        let limits = Limits { total_memory: 1 << 20, total_processes: 7, cpus: 1500, ..Limits::default() };
        let files = |controller, version| -> Vec<String> {
            settings(controller, version, &limits)
                .into_iter()
                .map(|(file, value, _)| format!("{file}={value}"))
                .collect()
        };
        assert_eq!(files(Controller::Memory, Version::Two), ["memory.max=1048576", "memory.swap.max=0"]);
        assert_eq!(files(Controller::Processes, Version::One), ["pids.max=7"]);
        assert_eq!(files(Controller::Processors, Version::Two), ["cpu.max=150000 100000"]);
        assert_eq!(
            files(Controller::Processors, Version::One),
            ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000"]
        );
        assert!(settings(Controller::Processors, Version::Two, &Limits::default()).is_empty(), "no limit by default");
    }

    #[test]
    fn reports_say_what_is_used_and_what_is_missing() {
        let all = ControlGroups { used: Controller::ALL.map(|one| (one, 1)).into(), missing: Vec::new() };
        assert_eq!(all.to_string(), "memory (version 1), processes (version 1), processors (version 1)");
        let none = ControlGroups { used: Vec::new(), missing: vec!["a".to_owned(), "b".to_owned()] };
        assert_eq!(none.to_string(), "none; not all, because a; b");
    }
}
