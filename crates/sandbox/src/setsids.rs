//! Which of the kernel's own sessions (`setsid`) have lately had time of the processors.
//!
//! Where the kernel gives each a share, only those that use theirs keep others waiting: a service that waits for a request
//! does not count.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::sandbox_use::Ran;

/// How long one counts after it has had time.
///
/// 5 s: the kernel counts in hundredths of a second, and 500 busy ones have two processors for so long each in 2.5 s.
const LATELY: Duration = Duration::from_secs(5);

/// The kernel's sessions that a session's programs are in.
#[derive(Debug, Default)]
pub(crate) struct Setsids(HashMap<i64, Setsid>);

#[derive(Clone, Copy, Debug, Default)]
struct Setsid {
    /// The time of its processes and of their children, in the system's ticks.
    spent: u64,
    busy_at: Option<Instant>,
}

impl Setsids {
    /// The same after another look: how its processes have run.
    pub(crate) fn after<'a>(&self, ran: impl Iterator<Item = &'a Ran>, now: Instant) -> Self {
        let mut all: HashMap<i64, Setsid> = HashMap::new();
        for ran in ran {
            all.entry(ran.setsid).or_default().spent += ran.processor_time + ran.time_of_children;
        }
        for (id, it) in &mut all {
            let before = self.0.get(id).copied().unwrap_or_default();
            it.busy_at = if it.spent == before.spent { before.busy_at } else { Some(now) };
        }
        Self(all)
    }

    /// How many of those that these processes are in count.
    pub(crate) fn busy<'a>(&self, ran: impl Iterator<Item = &'a Ran>, now: Instant) -> u64 {
        let mut ids: Vec<i64> = ran.map(|ran| ran.setsid).collect();
        ids.sort_unstable();
        ids.dedup();
        let is_busy = |id: &i64| self.0.get(id).and_then(|it| it.busy_at).is_some_and(|at| now - at < LATELY);
        ids.iter().filter(|id| is_busy(id)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_had_time_lately_counts() {
        let ran =
            |setsid, own, of_children| Ran { processor_time: own, time_of_children: of_children, threads: 1, setsid };
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        // 1 has started with some time, 2 with none, and 3 has two processes.
        let first = [ran(1, 2, 0), ran(2, 0, 0), ran(3, 0, 0), ran(3, 0, 1)];
        let setsids = Setsids::default().after(first.iter(), at(0));
        assert_eq!(setsids.busy(first.iter(), at(0)), 2);
        assert_eq!(setsids.busy(first[1..2].iter(), at(0)), 0);
        // 1 and 3 wait, 2 works.
        let second = [ran(1, 2, 0), ran(2, 1, 0), ran(3, 0, 0), ran(3, 0, 1)];
        let setsids = setsids.after(second.iter(), at(3));
        assert_eq!(setsids.busy(second.iter(), at(3)), 3, "it was lately");
        let setsids = setsids.after(second.iter(), at(6));
        assert_eq!(setsids.busy(second.iter(), at(6)), 1);
        // A child was waited for.
        let third = [ran(1, 2, 1), ran(2, 1, 0)];
        let setsids = setsids.after(third.iter(), at(20));
        assert_eq!(setsids.busy(third.iter(), at(20)), 1);
        assert_eq!(setsids.after([].iter(), at(21)).0.len(), 0, "who has ended is forgotten");
    }
}
