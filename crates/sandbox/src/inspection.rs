//! A close look at a session: how much memory it really has, what it has on disk, and what it watches.
//!
//! What that costs is up to the session's programs: mappings, processes, files. So it is done in a thread of its own, one for
//! a session at a time, for a bounded part of the time; and what one look may cost is bounded, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Exceeded;
use crate::disk::SessionDisk;
use crate::epoll;
use crate::sandbox_use::{THIS_THREAD, Use, field, processor_time, resident};
use crate::stored::Stored;
use crate::tree::{read_lossy, witness};

/// The part of the time that counting the files of folders may take: one twentieth.
const COUNTING: u32 = 20;

/// How long counting pauses at most where the folders themselves are counted quickly, however long looking at what processes
/// have mapped and locked takes: they could fill a disk meanwhile.
///
/// 2 s: a fast disk takes a few GiB in this time. Twice as long as the whole look where that is more: a look at everything may
/// take some seconds of processor time, and must not take more than a third of the server's.
const PAUSE: Duration = Duration::from_secs(2);

/// The part of the time that looking at memory exactly may take: one fifth.
const WEIGHING: u32 = 5;

/// The processor time that one exact look at memory may take, in the system's ticks. What is left then counts as if nothing
/// of it were shared.
///
/// 2 s: half a millisecond for a usual process, so thousands of them. One with 65,530 mappings takes 30 ms and more.
const WEIGHED: u64 = 200;

/// A close look that goes on, or has been.
#[derive(Debug)]
pub(crate) struct Inspection {
    thread: JoinHandle<()>,
    took: Arc<Mutex<Took>>,
}

/// How long each part took, and when it was over. `None`: it was not wanted.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    weighing: Option<(Instant, Duration)>,
    counting: Option<(Instant, Duration)>,
    /// What the folders took of the counting.
    folders: Duration,
}

impl Inspection {
    /// Begins to look, and kills who is above a limit. `None`: no thread can be had now; the next look tries again.
    /// With a disk, what is watched is counted, too. `out_of_watches`: the server's user has no more of them.
    pub(crate) fn start(
        uses: Vec<Use>,
        weighs: bool,
        disk: Option<Arc<SessionDisk>>,
        out_of_watches: bool,
    ) -> Option<Self> {
        let took = Arc::new(Mutex::new(Took::default()));
        let takes = Arc::clone(&took);
        let thread = std::thread::Builder::new().name("agb-inspect".to_owned()).spawn(move || {
            let mut uses = uses;
            let mut folders = Duration::ZERO;
            // What others wait for comes first.
            let watches = disk.is_some().then(|| timed(|| keep_watches(&mut uses, out_of_watches)));
            let weighing = weighs.then(|| timed(|| weigh(&mut uses)));
            let counting = disk.map(|disk| timed(|| folders = disk.count(&uses)));
            let before = watches.map_or(Duration::ZERO, |(_, took)| took);
            let counting = counting.map(|(end, took)| (end, took + before));
            *takes.lock().unwrap_or_else(PoisonError::into_inner) = Took { weighing, counting, folders };
        });
        Some(Self { thread: thread.ok()?, took })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// When memory and disk are to be looked at next.
    pub(crate) fn next_at(&self, weigh_at: Instant, count_at: Instant) -> (Instant, Instant) {
        let took = *self.took.lock().unwrap_or_else(PoisonError::into_inner);
        let weigh = took.weighing.map(|(end, took)| end + took * (WEIGHING - 1));
        let pause = |whole: Duration| (whole * COUNTING).min(PAUSE.max(took.folders * COUNTING).max(whole * 2));
        let count = took.counting.map(|(end, took)| end + pause(took));
        (weigh.unwrap_or(weigh_at), count.unwrap_or(count_at))
    }
}

fn timed(work: impl FnOnce()) -> (Instant, Duration) {
    let begin = Instant::now();
    work();
    let end = Instant::now();
    (end, end - begin)
}

/// Counts what is watched by `epoll`. The sandboxes that have the most are killed where it is too much.
fn keep_watches(uses: &mut [Use], are_out: bool) {
    let Some(limit) = uses.first().map(|it| it.sandbox.limits.total_watches) else { return };
    for it in &mut *uses {
        it.watches = it.processes.iter().map(|pid| epoll::watches_of(*pid, are_out)).sum();
    }
    let limit = epoll::most_watches(limit, are_out);
    Use::kill_most(uses, limit, |it| it.watches, Exceeded::Watches(limit));
}

/// Looks at memory exactly. The largest sandbox is killed where it is too much.
fn weigh(uses: &mut [Use]) {
    let Some(limit) = uses.first().map(|it| it.sandbox.limits.total_memory) else { return };
    // The kernel's work for this thread is among it.
    let end = processor_time(THIS_THREAD) + WEIGHED;
    for it in &mut *uses {
        let own = own_memory_of_all(&it.processes, end);
        // Files in memory that are mapped, too, are among what is shared.
        it.memory = own.private + own.shared.max(it.sandbox.in_memory_files(&it.processes));
    }
    if Use::total(uses) > limit {
        Use::kill_largest(uses, Exceeded::Memory(limit));
    }
}

/// Looks at the memory that the session's processes share, of which they may have nothing mapped but a part. The sandbox that
/// holds the most is killed where it is too much, with the memory that is theirs alone.
pub(crate) fn weigh_shared(uses: &[Use], stored: &mut Stored) {
    let Some(limit) = uses.first().map(|it| it.sandbox.limits.total_memory) else { return };
    let mut note = |it: &Use| it.processes.iter().map(|pid| stored.note_mapped(*pid)).sum::<u64>();
    let mut held: Vec<u64> = uses.iter().map(&mut note).collect();
    // The rest is what it is at every look: it is looked at once more where it may matter.
    if held.iter().sum::<u64>() <= limit / 4 {
        return;
    }
    let end = processor_time(THIS_THREAD) + WEIGHED;
    for (held, it) in held.iter_mut().zip(uses) {
        *held += own_memory_of_all(&it.processes, end).private;
    }
    if held.iter().sum::<u64>() > limit
        && let Some((_, largest)) = held.iter().zip(uses).max_by_key(|(held, _)| **held)
    {
        largest.sandbox.kill(Exceeded::Memory(limit));
    }
}

/// The memory of a process that belongs to no file.
#[derive(Debug, Default)]
struct OwnMemory {
    private: u64,
    /// Its part of what it has together with others, and of files that are in memory only.
    shared: u64,
}

impl OwnMemory {
    /// Of a process that cannot be looked at exactly: all of it is taken for its own.
    fn unknown(pid: i32) -> Self {
        Self { private: resident(pid), shared: 0 }
    }

    fn add(&mut self, other: Self) {
        self.private += other.private;
        self.shared += other.shared;
    }
}

/// That of several, each looked at exactly as long as this thread has not taken the processor time `end`.
fn own_memory_of_all(processes: &[i32], end: u64) -> OwnMemory {
    let mut all = OwnMemory::default();
    for &pid in processes {
        all.add(if processor_time(THIS_THREAD) < end { own_memory(pid) } else { OwnMemory::unknown(pid) });
    }
    all
}

fn own_memory(pid: i32) -> OwnMemory {
    let pid = witness(pid);
    let Ok(text) = read_lossy(format!("/proc/{pid}/smaps_rollup")) else {
        return OwnMemory::unknown(pid);
    };
    let status = read_lossy(format!("/proc/{pid}/status")).unwrap_or_default();
    OwnMemory { private: field(&text, "Pss_Anon:") + field(&status, "VmPTE:"), shared: field(&text, "Pss_Shmem:") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_process_is_its_own() {
        let own = i32::try_from(std::process::id()).expect("a process number is an int");
        let memory = vec![1_u8; 64 << 20];
        let found = own_memory(own);
        assert!(found.private > 64 << 20, "{found:?}");
        assert_eq!(memory[1 << 20], 1);
        assert_eq!((own_memory(-1).private, OwnMemory::unknown(-1).private), (0, 0));
    }

    #[test]
    fn a_look_takes_a_bounded_part_of_the_time() {
        let look = Inspection::start(Vec::new(), true, Some(Arc::default()), false).expect("there are threads");
        while !look.is_over() {
            std::thread::yield_now();
        }
        let (long_ago, took) = (Instant::now(), Duration::from_secs(1));
        *look.took.lock().expect("nobody panics") =
            Took { counting: Some((long_ago, took)), folders: took, ..Took::default() };
        assert_eq!(look.next_at(long_ago, long_ago), (long_ago, long_ago + 20 * took));
        // What processes have mapped delays the folders' next look by little.
        let quick = [
            (took, took / 100, 2 * took),
            (took, took / 5, 4 * took),
            (took / 20, took / 100, took),
            (4 * took, took / 100, 8 * took),
        ];
        for (whole, folders, pause) in quick {
            let counting = Some((long_ago, whole));
            *look.took.lock().expect("nobody panics") = Took { counting, folders, ..Took::default() };
            assert_eq!(look.next_at(long_ago, long_ago).1, long_ago + pause);
        }
        *look.took.lock().expect("nobody panics") = Took { weighing: Some((long_ago, took)), ..Took::default() };
        assert_eq!(look.next_at(long_ago, long_ago), (long_ago + 4 * took, long_ago));
    }
}
