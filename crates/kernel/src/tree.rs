//! Ending everything that a kernel has started.
//!
//! Without a pid namespace there is no handle on "everything", so it is found in `/proc`: what has the kernel's
//! session, what descends from it, and what carries the kernel's mark in its environment. The mark finds those that
//! made a session of their own and lost their parent, as daemons do.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

/// The environment variable that carries the mark.
pub(crate) const MARK: &str = "AGB_KERNEL";

/// How long to go on when processes are created faster than they are killed.
///
/// 5 s: one round takes milliseconds and kills every process it saw; only a fork bomb needs a second one.
const PATIENCE: Duration = Duration::from_secs(5);

/// The process tree of one kernel.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pid: i32,
    /// `MARK=value`, as it stands in an environment.
    mark: String,
}

impl Tree {
    /// The tree of a process that leads a session of its own and was started with this mark.
    pub(crate) fn new(pid: i32, mark: &str) -> Self {
        Self { pid, mark: format!("{MARK}={mark}") }
    }

    /// Sends SIGINT to the process group, as Ctrl-C does. The leader must not be reaped yet.
    pub(crate) fn interrupt(&self) {
        signal(-self.pid, libc::SIGINT);
    }

    /// Kills everything, and returns when nothing runs any more. The leader must not be reaped yet: its number is
    /// what makes the session unambiguous.
    ///
    /// Blocks for milliseconds.
    pub(crate) fn kill(&self) {
        signal(-self.pid, libc::SIGKILL);
        signal(self.pid, libc::SIGKILL);
        let start = Instant::now();
        loop {
            let found = self.find();
            if found.is_empty() {
                return;
            }
            for pid in found {
                signal(pid, libc::SIGKILL);
            }
            if start.elapsed() > PATIENCE {
                tracing::warn!(pid = self.pid, "processes of a kernel do not end; giving up on them");
                return;
            }
            std::thread::yield_now();
        }
    }

    /// The living processes of this tree.
    fn find(&self) -> Vec<i32> {
        let processes: Vec<Process> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Process::read)
            .collect();
        let mut members: HashSet<i32> = processes
            .iter()
            .filter(|process| process.session == self.pid || self.is_marked(process.pid))
            .map(|process| process.pid)
            .collect();
        members.insert(self.pid);
        loop {
            let before = members.len();
            members.extend(processes.iter().filter(|p| members.contains(&p.parent)).map(|p| p.pid).collect::<Vec<_>>());
            if members.len() == before {
                break;
            }
        }
        processes.iter().filter(|p| !p.dead && members.contains(&p.pid)).map(|p| p.pid).collect()
    }

    fn is_marked(&self, pid: i32) -> bool {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|&byte| byte == 0).any(|entry| entry == self.mark.as_bytes()))
    }
}

struct Process {
    pid: i32,
    parent: i32,
    session: i32,
    dead: bool,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may hold anything, parentheses too.
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        Some(Self { pid, parent, session, dead: matches!(state, "Z" | "X") })
    }
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: a system call on integers. What it does to a process that is gone already is an error to ignore.
    unsafe {
        libc::kill(pid, signal);
    }
}
