//! What the programs of a session use at a moment.

use std::path::Path;
use std::time::Duration;

use crate::Launcher;
use crate::sandbox_use::{processor_time, resident};
use crate::stored::{Measured, Stored};

/// What the programs of a session use at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory of all processes, bytes; what several have together counts for each.
    pub memory: u64,
    /// Processor time of the processes that live.
    pub processor_time: Duration,
    /// What lies in the directories, bytes.
    pub disk: u64,
    /// And how many files and folders.
    pub files: u64,
    /// There is more in the directories: more files than were to be counted, or what cannot be looked into.
    pub is_beyond: bool,
    /// Bytes that have come over the network, the loopback's not among them.
    pub received: u64,
    /// And gone.
    pub sent: u64,
}

/// The kernel's unit of processor time (`USER_HZ`), which has been this on every Linux for 20 years.
const TICK: Duration = Duration::from_millis(10);

impl Launcher {
    /// What the sandboxes of a slot use now, and what lies in these directories, of which no more than `most` files are
    /// counted. Blocks while it counts them.
    #[must_use]
    pub fn usage<'a>(&self, slot: u32, dirs: impl IntoIterator<Item = &'a Path>, most: u64) -> Usage {
        let sandboxes = self.watch.of_slot(slot);
        // One that ends meanwhile uses nothing.
        let processes: Vec<i32> =
            sandboxes.iter().flat_map(|sandbox| sandbox.processes().unwrap_or_default()).collect();
        let ticks: u64 = processes.iter().map(|pid| processor_time(*pid)).sum();
        let mut stored = Stored::new(most, 0, Measured::default());
        let mut is_lost = false;
        for dir in dirs {
            is_lost |= stored.add(dir).is_err();
        }
        let (received, sent) = processes.iter().find_map(|pid| traffic(*pid)).unwrap_or_default();
        Usage {
            memory: processes.iter().map(|pid| resident(*pid)).sum(),
            processor_time: TICK * u32::try_from(ticks).unwrap_or(u32::MAX),
            disk: stored.bytes,
            files: stored.files,
            is_beyond: stored.is_beyond || is_lost,
            received,
            sent,
        }
    }
}

/// What has come and gone over the network that a process sees.
fn traffic(pid: i32) -> Option<(u64, u64)> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    Some(sum(&table))
}

fn sum(table: &str) -> (u64, u64) {
    let devices = table.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() != "lo");
    devices.fold((0, 0), |(received, sent), (_, numbers)| {
        let numbers: Vec<u64> = numbers.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
        (received + number(0), sent + number(8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_summed_without_the_loopback() {
        let table = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n    \
            lo: 500 1 0 0 0 0 0 0 500 1 0 0 0 0 0 0\n  eth0: 100 2 0 0 0 0 0 0 40 3 0 0 0 0 0 0\n eth1:7 0 0 0 0 0 0 0 9 0\n";
        assert_eq!(sum(table), (107, 49));
        assert_eq!(sum(""), (0, 0));
    }
}
