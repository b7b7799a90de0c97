//! What programs watch by `epoll`: the kernel has a number of such watches for each user, and takes 200 bytes for each.
//!
//! Programs may have the server's own user. Where one takes them all, the server can watch nothing any more, and so accepts no
//! connection and starts no program.

use std::fs;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use rustix::event::epoll::{CreateFlags, EventData, EventFlags, add, create};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::machine;
use crate::tree;

/// How many watches a user may have. `u64::MAX`: the machine does not say.
fn most_of_user() -> u64 {
    machine::number("/proc/sys/fs/epoll/max_user_watches", 0).unwrap_or(u64::MAX)
}

/// How many watches a session may have, given its own limit: no more than an eighth of a user's. While the server's user
/// has none left, no more than a 64th.
pub(crate) fn most_watches(limit: u64, are_out: bool) -> u64 {
    limit.min(most_of_user() / if are_out { 64 } else { 8 })
}

/// How many watches a process has. One that is in the hands of several processes counts for each. `are_out`: a process that has
/// said that nobody may look at it counts as the most that it can have with its open files. Else it counts as none.
pub(crate) fn watches_of(pid: i32, are_out: bool) -> u64 {
    let of = |thread: i32| tree::looking_at(thread, || of_thread(thread));
    let found = match of(pid) {
        // Nothing is to be seen of one whose first thread has ended.
        Ok(None) => tree::threads(pid).into_iter().find_map(|thread| of(thread).ok().flatten()).map(Ok),
        found => found.transpose(),
    };
    match found {
        Some(Err(error)) if are_out && error.kind() == io::ErrorKind::PermissionDenied => {
            // Half of the files watch the other half, each under as many numbers as a process may have.
            const NUMBERS: u64 = 1024;
            let half = machine::open_files(pid, 1) / 2;
            half.saturating_mul(half).saturating_mul(NUMBERS)
        }
        found => found.and_then(Result::ok).unwrap_or(0),
    }
}

/// `None`: it has no open files at all.
fn of_thread(thread: i32) -> io::Result<Option<u64>> {
    let mut found = None;
    for descriptor in fs::read_dir(format!("/proc/{thread}/fd"))?.flatten() {
        let found = found.get_or_insert(0);
        match fs::read_link(descriptor.path()) {
            Ok(target) if target.as_os_str() == "anon_inode:[eventpoll]" => {
                let name = descriptor.file_name();
                *found += listed(&format!("/proc/{thread}/fdinfo/{}", name.to_string_lossy())).unwrap_or(0);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            _ => {} // something else, or closed again
        }
    }
    Ok(found)
}

/// How many watches the kernel lists: a line each ("tfd: …"), behind a few others. There may be a million.
fn listed(path: &str) -> io::Result<u64> {
    let mut list = fs::File::open(path)?;
    let mut buffer = vec![0; 64 << 10];
    let (mut found, mut begins_line) = (0, true);
    loop {
        let read = list.read(&mut buffer)?;
        if read == 0 {
            return Ok(found);
        }
        for &byte in &buffer[..read] {
            found += u64::from(begins_line && byte == b't');
            begins_line = byte == b'\n';
        }
    }
}

/// Tries whether there are any left for this process's user.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    failed: Option<Instant>,
}

impl Trial {
    /// How long whoever has the most is given to be found and ended, before there is another look at all because of this.
    const PAUSE: Duration = Duration::from_secs(2);

    /// Whether there are none left. Says it once in a while.
    pub(crate) fn are_out(&mut self) -> bool {
        let is_known = self.failed.is_some_and(|at| at.elapsed() < Self::PAUSE);
        if is_known || !matches!(watch_one(), Err(Errno::NOSPC)) {
            return false;
        }
        self.failed = Some(Instant::now());
        true
    }
}

fn watch_one() -> Result<(), Errno> {
    let epoll = create(CreateFlags::CLOEXEC)?;
    let event = eventfd(0, EventfdFlags::CLOEXEC)?;
    add(&epoll, &event, EventData::new_u64(0), EventFlags::IN)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    fn own() -> i32 {
        i32::try_from(std::process::id()).expect("a process number is an int")
    }

    #[test]
    fn watches_of_a_process_are_counted() {
        let before = watches_of(own(), false);
        let events: Vec<OwnedFd> =
            (0..50).map(|_| eventfd(0, EventfdFlags::CLOEXEC).expect("there are descriptors")).collect();
        let epolls: Vec<OwnedFd> = (0..40)
            .map(|_| {
                let epoll = create(CreateFlags::CLOEXEC).expect("there are descriptors");
                for event in &events {
                    add(&epoll, event, EventData::new_u64(0), EventFlags::IN).expect("there are watches");
                }
                epoll
            })
            .collect();
        let with = watches_of(own(), false);
        // Other tests of this process may watch something meanwhile.
        assert!(with >= before + 1900 && with < before + 2100, "{before} {with}");
        drop(epolls);
        assert!(watches_of(own(), false) < before + 100);
        assert_eq!((watches_of(-1, false), watches_of(-1, true)), (0, 0));
    }

    #[test]
    fn a_session_has_a_part_of_what_there_is() {
        let all = most_of_user();
        assert!(all > 1000, "{all}");
        assert_eq!(most_watches(u64::MAX, false), all / 8);
        assert_eq!(most_watches(u64::MAX, true), all / 64);
        assert_eq!((most_watches(5, false), most_watches(5, true)), (5, 5));
    }

    #[test]
    fn a_lack_is_told_once() {
        let mut trial = Trial::default();
        assert!(!trial.are_out(), "this machine has some left");
        trial.failed = Some(Instant::now());
        assert!(!trial.are_out());
    }
}
