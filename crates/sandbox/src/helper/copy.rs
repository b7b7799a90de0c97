//! The program of a sandbox as a copy of the nursery's zygote: how it is asked for, and how its end is heard of.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{At, Failure};
use crate::error::Stage;
use crate::plan::Message;
use crate::sys::{process, socket};

/// A copy of the zygote in this sandbox, whose parent is the zygote.
pub(super) struct Copy {
    /// Its number in here.
    pub(super) pid: i32,
    /// Where the zygote says how it has ended; and then, if the zygote has ended first, the copy itself.
    end: OwnedFd,
    is_orphan: bool,
}

/// What the pipe says of a copy, each with a number: that it is there, and how it has ended.
const COPIED: u8 = b'b';
const ENDED: u8 = b'e';

impl AsFd for Copy {
    /// Readable when [`end`](Self::end) is to be asked.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl Copy {
    /// Whether it has ended, and how. Nobody knows of one that has lost its zygote.
    pub(super) fn end(&mut self) -> Option<Option<i32>> {
        if self.is_orphan {
            return Some(None);
        }
        if let Some((ENDED, status)) = hear(self.end.as_fd()) {
            return Some(Some(status));
        }
        // It goes on without its zygote; the host waits for it.
        match process::open(self.pid) {
            Ok(process) => {
                (self.end, self.is_orphan) = (process, true);
                None
            }
            Err(_) => Some(None),
        }
    }
}

fn hear(pipe: BorrowedFd<'_>) -> Option<(u8, i32)> {
    let mut word = [0; 5];
    File::from(pipe.try_clone_to_owned().ok()?).read_exact(&mut word).ok()?;
    let [kind, number @ ..] = word;
    Some((kind, i32::from_le_bytes(number)))
}

/// Asks the zygote for a copy of itself in this process's namespaces.
///
/// The copy says itself that it is there, and when it does it has given up every right: it is a program like any other.
pub(super) fn copy_zygote(
    fds: &[OwnedFd],
    control: BorrowedFd<'_>,
    liveness: BorrowedFd<'_>,
    fork_socket: BorrowedFd<'_>,
    filters: &[Vec<u8>],
    cgroup_files: &[OwnedFd],
    open_files: u64,
) -> Result<Copy, Failure> {
    const NAMESPACES: [&str; 7] = ["pid", "mnt", "net", "ipc", "uts", "cgroup", "user"];
    let stage = Stage::Copy;
    let (copied, copying) = io::pipe().at(stage, "a pipe")?;
    let mut namespaces: Vec<OwnedFd> = Vec::new();
    for name in NAMESPACES {
        namespaces.push(File::open(format!("/proc/self/ns/{name}")).at(stage, name)?.into());
    }
    let mut order = Vec::new();
    let (starting, open_files) = (Message::Starting.encode(), open_files.to_le_bytes());
    for part in [&starting[..], &open_files].into_iter().chain(filters.iter().map(Vec::as_slice)) {
        order.extend_from_slice(&u32::try_from(part.len()).expect("a filter is small").to_le_bytes());
        order.extend_from_slice(part);
    }
    let mut sent: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    sent.extend([control, copying.as_fd()]);
    sent.extend(namespaces.iter().chain(cgroup_files).map(AsFd::as_fd));
    socket::send(fork_socket, &order, &sent).at(stage, "the zygote")?;
    drop((copying, namespaces));
    loop {
        let waited = socket::wait_readable([copied.as_fd(), control, liveness], None);
        let [answered, ordered, orphaned] = waited.at(stage, "the zygote")?;
        if answered {
            return match hear(copied.as_fd()) {
                Some((COPIED, pid)) => Ok(Copy { pid, end: copied.into(), is_orphan: false }),
                _ => Err(Failure::new(stage, libc::ESRCH, "the zygote's copy gave up; the server's log says why")),
            };
        }
        if ordered || orphaned {
            process::exit(0); // nobody waits for it any more
        }
    }
}
