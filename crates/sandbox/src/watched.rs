//! A sandbox as the server sees it: what its [`Child`](crate::Child) and the thread that watches it share, and how it is
//! ended from outside.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cgroup::Group;
use crate::plan::{Kind, Plan, order};
use crate::sys::{process, socket};
use crate::{Exceeded, Limits, Network, tree};

/// How long a sandbox may take to end before it is ended by stronger means.
///
/// 300 ms: one with hundreds of processes takes tens of milliseconds, on a busy machine too.
const GRACE: Duration = Duration::from_millis(300);

/// How long a first process in a process table of others is left to do it, which those could keep from doing anything. Then it
/// is killed, and the table's own does it.
///
/// 5 s: a thousand processes take a tenth of a second.
const LONG: Duration = Duration::from_secs(5);

/// A sandbox that is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    /// To the sandbox's first process, which ends with everything else when this is closed.
    pub(crate) control: OwnedFd,
    /// Names the sandbox's first process.
    pub(crate) init: OwnedFd,
    /// Its number.
    pid: i32,
    /// The program's. A copy of a zygote is not below the first process, and nothing else can be elsewhere: what it starts
    /// is below it, and its siblings are none of its own (`CLONE_PARENT` is denied).
    program: i32,
    pub(crate) slot: u32,
    has_namespaces: bool,
    /// It has a network of its own, or its session has.
    pub(crate) has_network: bool,
    /// The kernel counts what its programs have together with what the server has.
    pub(crate) shares_user: bool,
    /// The kernel ends all of it with its first process.
    owns_processes: bool,
    pub(crate) limits: Limits,
    pub(crate) places: Vec<PathBuf>,
    /// Its session was full when it started, and it can only remove files.
    pub(crate) only_removes: Option<Exceeded>,
    exceeded: OnceLock<Exceeded>,
    /// The session's control groups, which stay as long as this does.
    pub(crate) group: Option<Arc<Group>>,
    /// How many of the session's processes the kernel had killed for want of memory before this began: a sandbox that
    /// is short of memory may lose several, of which its end tells as one.
    killed_before: u64,
    /// Something begins there.
    stirred: AtomicBool,
    /// Since when it is to end.
    ending: OnceLock<Instant>,
}

impl Watched {
    pub(crate) fn new(
        (control, init, program): (OwnedFd, OwnedFd, i32),
        plan: &Plan,
        group: Option<Arc<Group>>,
        killed_before: u64,
        shares_user: bool,
    ) -> Self {
        let policy = &plan.policy;
        Self {
            control,
            pid: process::number(init.as_fd()).unwrap_or(0),
            init,
            // A process table has none.
            program: if plan.kind == Kind::Processes { 0 } else { program },
            slot: policy.slot,
            has_namespaces: policy.level.has_namespaces(),
            shares_user,
            has_network: policy.level.has_namespaces() && policy.network != Network::Host,
            owns_processes: plan.owns_processes(),
            limits: policy.limits.clone(),
            places: policy.own_dirs().cloned().collect(),
            only_removes: plan.full,
            exceeded: OnceLock::new(),
            group,
            killed_before,
            stirred: AtomicBool::new(true),
            ending: OnceLock::new(),
        }
    }

    /// Why it was killed, if it was for a limit: by the thread, or by the kernel, which says so in the session's control
    /// group. What ends first after the kernel has killed somebody is what was killed.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        if self.exceeded.get().is_none() && self.has_ended() && self.is_out_of_memory() {
            return Some(*self.exceeded.get_or_init(|| Exceeded::Memory(self.limits.total_memory)));
        }
        self.exceeded.get().copied()
    }

    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.is_out_of_memory(self.killed_before))
    }

    /// Whether the kernel has killed somebody of the session, and nobody has heard of it.
    pub(crate) fn has_killed(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.has_killed())
    }

    pub(crate) fn has_ended(&self) -> bool {
        socket::is_readable(&self.init)
    }

    /// Has the thread look soon.
    pub(crate) fn stir(&self) {
        self.stirred.store(true, Ordering::Relaxed);
    }

    /// Whether it was stirred since the last call.
    pub(crate) fn take_stirred(&self) -> bool {
        self.stirred.swap(false, Ordering::Relaxed)
    }

    /// Ends it for a limit.
    pub(crate) fn kill(&self, exceeded: Exceeded) {
        // The first reason counts.
        let _ = self.exceeded.set(exceeded);
        self.end();
    }

    /// Ends everything in it. Nothing in the sandbox is asked: where it has a PID namespace of its own, the kernel ends all
    /// of it with its first process. Elsewhere that one does it; a program can neither signal nor slow it down, but for a command
    /// in a process table of others. [`press`](Self::press) is for when it does not.
    pub(crate) fn end(&self) {
        let _ = self.ending.set(Instant::now());
        let killed = self.owns_processes && process::signal(self.init.as_fd(), Signal::KILL).is_ok();
        if !killed {
            // An error means that it has ended, or reads nothing: then it is pressed.
            let _ = socket::send_now(self.control.as_fd(), &order(0), &[]);
        }
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get().is_some()
    }

    /// Ends it by stronger means if it is to end, and has had time to.
    pub(crate) fn press(&self) {
        if self.has_ended() || self.ending.get().is_none_or(|since| since.elapsed() < GRACE) {
            return;
        }
        // Whatever has made it slow.
        process::schedule_as_usual(self.pid);
        let _ = process::signal(self.init.as_fd(), Signal::CONT);
        let is_late = self.has_namespaces && self.ending.get().is_some_and(|since| since.elapsed() > LONG);
        let processes = tree::descendants(self.pid);
        if self.has_ended() {
            return; // the numbers may mean others by now
        }
        match processes {
            Ok(processes) if !is_late && !processes.is_empty() || self.owns_processes => {
                for pid in processes {
                    let _ = process::kill(pid);
                }
                if self.owns_processes {
                    let _ = process::signal(self.init.as_fd(), Signal::KILL);
                }
            }
            // There is nothing left below it; or nobody can look, and the launcher gets what is.
            _ => {
                let _ = process::signal(self.init.as_fd(), Signal::KILL);
            }
        }
    }

    /// Bytes in the sandbox's own file systems that are in memory: `/dev/shm`, and `/tmp` where that is not the session's.
    /// `processes`: what [`processes`](Self::processes) has just said.
    pub(crate) fn in_memory_files(&self, processes: &[i32]) -> u64 {
        if !self.has_namespaces || self.has_ended() {
            return 0;
        }
        // An ordinary user may look into a program, and not into the first process. The root is read-only, so what this name
        // leads to is what was put there.
        let look = |pid: &i32| rustix::fs::statvfs(format!("/proc/{}/root/dev/shm", tree::witness(*pid))).ok();
        let Some(stat) = std::iter::once(&self.pid).chain(processes).take(4).find_map(look) else { return 0 };
        stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize)
    }

    /// The processes in it now. None: it has ended, or its number means another process by now. An error means that they
    /// cannot be looked up.
    pub(crate) fn processes(&self) -> std::io::Result<Vec<i32>> {
        let mut processes = if self.pid > 0 { tree::descendants(self.pid)? } else { Vec::new() };
        if self.pid > 0 && self.program > 0 && !processes.contains(&self.program) {
            processes.push(self.program);
            processes.extend(tree::descendants(self.program)?);
        }
        // As long as the descriptor does not say that it has ended, the numbers were the sandbox's.
        Ok(if self.has_ended() { Vec::new() } else { processes })
    }
}
