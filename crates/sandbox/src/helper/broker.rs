//! The file broker: changes modes, times and owners of a session's files for programs that may not do so themselves.
//!
//! At the level `landlock` without root, a program has the server's user, and Landlock restricts no call that changes a file's
//! mode, times or owner. So the filter passes these calls on to the sandbox's first process, which is under none of the
//! program's restrictions. It makes them for the session's files, and refuses the rest with `EPERM`. Invariants:
//!
//! 1. What is changed was reached from one of the session's folders by names alone: over no link, no `..` and no other file
//!    system ([`SessionFolders::find`]). It is changed by the descriptor that was reached so, never by a name. Whatever a
//!    program exchanges meanwhile, nothing else is changed.
//! 2. What a call says is read once, and after that its caller still waited. So a thread's number that is used again is never
//!    taken for the caller.
//! 3. No call is let through to the kernel after it was looked at (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`).
//! 4. Calls are answered one by one, each with a bounded number of system calls, none of which waits for the program.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, chmodat, chownat, fstat, openat, openat2, utimensat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid};

use super::host::Host;
use super::init::FLOOR;
use crate::plan::Plan;
use crate::sys::listener::{Call, Listener, read_memory};
use crate::sys::{process, socket};

mod folders;
mod request;

use folders::SessionFolders;
use request::{Change, Request, Start, Target};

/// Answers the calls of one sandbox.
#[derive(Debug)]
pub(super) struct FileBroker {
    listener: Listener,
    folders: SessionFolders,
    proc: OwnedFd,
}

/// A broker that waits for its listener: the program's process installs the filter, and so has it first.
#[derive(Debug)]
pub(super) struct Handover {
    ours: OwnedFd,
    theirs: OwnedFd,
    folders: SessionFolders,
    proc: OwnedFd,
}

impl Handover {
    /// Fails where a container's runtime refuses what a broker needs.
    pub(super) fn new(host: &Host, plan: &Plan) -> io::Result<Self> {
        let own = *b"own";
        read_memory(process::id(), own.as_ptr().expose_provenance() as u64, &mut [0; 3])?;
        let proc = process::lift(host.proc.try_clone()?, FLOOR)?;
        let folders = SessionFolders::open(plan, proc.as_fd())?;
        let (ours, theirs) = socket::pair()?;
        Ok(Self { ours: process::lift(ours, FLOOR)?, theirs: process::lift(theirs, FLOOR)?, folders, proc })
    }

    /// In the program's process: gives the listener away.
    pub(super) fn give(&self, listener: &Listener) -> io::Result<()> {
        socket::send(self.theirs.as_fd(), b"l", &[listener.as_fd()])
    }

    /// In the first process, once the program runs. `None`: the program has no listener, and its calls are refused.
    pub(super) fn take(self) -> Option<FileBroker> {
        let Self { ours, theirs, folders, proc } = self;
        drop(theirs);
        let received = socket::receive(ours.as_fd(), &mut [0], false).ok()?;
        let listener = received.fds.into_iter().next().map(Listener::from)?;
        Some(FileBroker { listener, folders, proc })
    }
}

impl FileBroker {
    /// Answers the next call, if there is one. False: nobody can call any more.
    pub(super) fn answer_next(&self) -> bool {
        match self.listener.next() {
            Ok(Some(call)) => {
                let result = self.make(&call);
                self.listener.answer(&call, result);
                true
            }
            Ok(None) => true,
            Err(_) => false,
        }
    }

    fn make(&self, call: &Call) -> Result<(), Errno> {
        let memory = |address, buffer: &mut [u8]| {
            read_memory(call.thread, address, buffer)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::PERM))
        };
        let Some(Request { target, change }) = Request::read(call, &memory)? else { return Ok(()) };
        let file = self.open(call.thread, &target)?;
        if !self.listener.is_waiting(call) {
            return Err(Errno::PERM);
        }
        let own = self.folders.find(self.proc.as_fd(), file.as_fd())?;
        self.change(own.as_fd(), &change)
    }

    /// What the caller means, as a place only. The program itself could open anything in this way, and with it nothing is
    /// done but to look where it is.
    fn open(&self, thread: i32, target: &Target) -> Result<OwnedFd, Errno> {
        let (from, path, follows_link) = match target {
            Target::Open(fd) => return self.descriptor(thread, *fd),
            Target::Path { from, path, follows_link } => (from, path, follows_link),
        };
        let from = match from {
            _ if path.as_bytes().starts_with(b"/") => None,
            Start::WorkingDirectory => Some(self.entry(thread, "cwd")?),
            Start::Open(fd) => Some(self.descriptor(thread, *fd)?),
        };
        let from = from.as_ref().map_or(self.proc.as_fd(), AsFd::as_fd);
        let no_follow = if *follows_link { OFlags::empty() } else { OFlags::NOFOLLOW };
        // Links of /proc that lead to what a process has open would be those of this process.
        openat2(from, path, PLACE | no_follow, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
    }

    fn descriptor(&self, thread: i32, fd: i32) -> Result<OwnedFd, Errno> {
        self.entry(thread, &format!("fd/{fd}")).map_err(|error| if error == Errno::NOENT { Errno::BADF } else { error })
    }

    /// What an entry of the caller's in `/proc` leads to.
    fn entry(&self, thread: i32, name: &str) -> Result<OwnedFd, Errno> {
        let opened = openat(&self.proc, format!("{thread}/{name}"), PLACE, Mode::empty());
        // A process that has made itself unreadable.
        opened.map_err(|error| if error == Errno::ACCESS { Errno::PERM } else { error })
    }

    fn change(&self, file: BorrowedFd<'_>, change: &Change) -> Result<(), Errno> {
        match change {
            Change::Times(times) => utimensat(file, c"", times, AtFlags::EMPTY_PATH),
            Change::Mode(_) if FileType::from_raw_mode(fstat(file)?.st_mode) == FileType::Symlink => {
                Err(Errno::OPNOTSUPP)
            }
            // `fchmod` refuses what is open as a place only.
            Change::Mode(mode) => chmodat(&self.proc, own_entry(file), Mode::from_raw_mode(*mode), AtFlags::empty()),
            Change::Owner { user, group } => {
                let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
                if user.is_some_and(|user| user != geteuid()) || group.is_some_and(|group| group != getegid()) {
                    return Err(Errno::PERM);
                }
                chownat(file, c"", user, group, AtFlags::EMPTY_PATH)
            }
        }
    }
}

impl AsFd for FileBroker {
    /// Readable when [`answer_next`](Self::answer_next) is to be called.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Opens a file as a place only: nothing is read, written, or waited for.
const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// The link in `/proc` to what this process has open.
fn own_entry(fd: BorrowedFd<'_>) -> String {
    format!("self/fd/{}", fd.as_raw_fd())
}
