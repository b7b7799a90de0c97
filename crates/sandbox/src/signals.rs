//! Queued signals and timers (`timer_create`) of processes, of which the kernel has a number for each user.

use std::fs::File;
use std::io::{BufRead, BufReader};

use crate::tree::read_lossy;

/// A process with so many timers has too many.
///
/// 1000: the kernel's list of them is read in 2 ms, and one of 90,000, since it begins anew for each page, in 16 s.
const MANY: usize = 1000;

/// How many of them the sandboxes of a session may have at most, where they have this process's user: a quarter of what that may.
/// `None`: the user has fewer altogether, and nobody needs to be looked at.
pub(crate) fn most_of_a_session() -> Option<u64> {
    most_of(&read_lossy("/proc/self/status").ok()?)
}

fn most_of(status: &str) -> Option<u64> {
    let numbers = status.lines().find_map(|line| line.strip_prefix("SigQ:"))?;
    let (queued, most) = numbers.trim().split_once('/')?;
    let (queued, most): (u64, u64) = (queued.parse().ok()?, most.parse().ok()?);
    (queued > most / 4).then_some(most / 4)
}

/// How many a process has. `too_many`: what one counts for that has many timers, or a real-time signal that waits, of which nobody
/// can say how many there are.
pub(crate) fn of(pid: i32, too_many: u64) -> u64 {
    let timers = timers(pid);
    let status = read_lossy(format!("/proc/{pid}/status")).unwrap_or_default();
    if timers >= MANY || has_real_time(&status) { too_many } else { timers as u64 }
}

/// How many timers a process has; counting stops at [`MANY`].
fn timers(pid: i32) -> usize {
    let Ok(list) = File::open(format!("/proc/{pid}/timers")) else { return 0 };
    let lines = BufReader::new(list).lines().map_while(Result::ok);
    lines.filter(|line| line.starts_with("ID:")).take(MANY).count()
}

/// Signals from 32 on wait, each as often as it was sent; of the others there is one.
fn has_real_time(status: &str) -> bool {
    let sets = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:")));
    sets.filter_map(|set| u64::from_str_radix(set.trim(), 16).ok()).any(|set| set >> 31 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_user_with_many_is_looked_at() {
        assert_eq!(most_of("Name:\ta\nSigQ:\t250/1000\n"), None);
        assert_eq!(most_of("Name:\ta\nSigQ:\t251/1000\n"), Some(250));
        assert_eq!(most_of("Name:\ta\n"), None);
    }

    #[test]
    fn real_time_signals_that_wait_are_seen() {
        assert!(has_real_time("SigPnd:\t0000000000000000\nShdPnd:\t0000000080000000\n"));
        assert!(has_real_time("SigPnd:\t8000000000000000\nShdPnd:\t0000000000000000\n"));
        assert!(!has_real_time("SigPnd:\t000000007fffffff\nShdPnd:\t0000000000000000\nSigBlk:\tffffffffffffffff\n"));
    }
}
