//! What a sandbox uses at a look: the memory and the processor time of its processes, as `/proc` has them.

use std::fmt;
use std::sync::Arc;

use crate::Exceeded;
use crate::tree::{read_lossy, witness};
use crate::watched::Watched;

/// What a sandbox uses at a look.
#[derive(Debug)]
pub(crate) struct Use {
    /// What several processes have together counts for each, unless it was looked at exactly.
    pub(crate) memory: u64,
    pub(crate) processes: Vec<i32>,
    /// Processes and threads.
    pub(crate) tasks: u64,
    pub(crate) open_files: u64,
    /// What is watched by `epoll`, where it was looked at.
    pub(crate) watches: u64,
    /// The kernel's sessions (`setsid`) of its processes that are busy, beyond the one that it was started in.
    pub(crate) setsids: u64,
    pub(crate) sandbox: Arc<Watched>,
}

impl Use {
    /// Which processes a sandbox has; the rest is to be looked at.
    pub(crate) fn of(sandbox: Arc<Watched>) -> Self {
        // Who cannot be looked at now, is at the next look.
        let processes = sandbox.processes().unwrap_or_default();
        Self { memory: 0, processes, tasks: 0, open_files: 0, watches: 0, setsids: 0, sandbox }
    }

    pub(crate) fn total(uses: &[Self]) -> u64 {
        uses.iter().map(|it| it.memory).sum()
    }

    /// Kills those that have the most of something, until the rest has no more than `limit`. True: there was more.
    pub(crate) fn kill_most(uses: &[Self], limit: u64, of: impl Fn(&Self) -> u64, exceeded: Exceeded) -> bool {
        let mut left: u64 = uses.iter().map(&of).sum();
        let is_above = left > limit;
        let mut largest: Vec<&Self> = uses.iter().collect();
        largest.sort_unstable_by_key(|it| std::cmp::Reverse(of(it)));
        for it in largest {
            if left <= limit {
                break;
            }
            it.sandbox.kill(exceeded);
            left -= of(it);
        }
        is_above
    }

    pub(crate) fn kill_largest(uses: &[Self], exceeded: Exceeded) {
        if let Some(largest) = uses.iter().max_by_key(|it| it.memory) {
            largest.sandbox.kill(exceeded);
        }
    }
}

/// The memory of a process that is there, what it has together with others included, and what the kernel needs to find it.
pub(crate) fn resident(pid: i32) -> u64 {
    let figures = |thread: i32| {
        let text = read_lossy(format!("/proc/{thread}/status")).unwrap_or_default();
        field(&text, "VmRSS:") + field(&text, "VmPTE:")
    };
    // Nothing is to be seen of one whose first thread has ended.
    match figures(pid) {
        0 => figures(witness(pid)),
        bytes => bytes,
    }
}

/// A number of kilobytes in one of the kernel's tables, in bytes.
pub(crate) fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number: u64 = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0);
    number << 10
}

/// In the place of a process's number: the thread that asks.
pub(crate) const THIS_THREAD: &str = "thread-self";

/// The processor time of a process, in the system's ticks.
pub(crate) fn processor_time(pid: impl fmt::Display) -> u64 {
    Ran::of(pid).processor_time
}

/// What the kernel says of a process in one line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ran {
    /// In the system's ticks.
    pub(crate) processor_time: u64,
    /// Of those that it has waited for.
    pub(crate) time_of_children: u64,
    pub(crate) threads: u64,
    /// The kernel's session that it is in.
    pub(crate) setsid: i64,
}

impl Ran {
    /// Nothing, if it has ended.
    pub(crate) fn of(pid: impl fmt::Display) -> Self {
        let Ok(text) = read_lossy(format!("/proc/{pid}/stat")) else { return Self::default() };
        // The name, which may contain anything, ends at the last parenthesis. The session is field 6, user and system time
        // are fields 14 and 15, those of children 16 and 17, and the number of threads is field 20.
        let Some((_, fields)) = text.rsplit_once(')') else { return Self::default() };
        let fields: Vec<&str> = fields.split_ascii_whitespace().take(18).collect();
        let number = |at: usize| fields.get(at - 3).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        let setsid = fields.get(3).and_then(|field| field.parse().ok()).unwrap_or(0);
        let (processor_time, time_of_children) = (number(14) + number(15), number(16) + number(17));
        Self { processor_time, time_of_children, threads: number(20), setsid }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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
        let resident_now = resident(own);
        assert!(resident_now > 64 << 20, "{resident_now}");
        let begin = Instant::now();
        while processor_time(own) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(60), "it counts ticks");
        }
        assert_eq!(memory[1 << 20], 1);
        assert_eq!((resident(-1), processor_time(-1)), (0, 0));
    }
}
