//! Creating, ending and becoming processes.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::fs::Mode;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, chdir, getpid, getppid, getrlimit,
    kill_process, kill_process_group, nice, pidfd_open, pidfd_send_signal, set_child_subreaper, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, setsid, test_kill_process, wait,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_no_new_privs};

use super::{check, check_int};

/// What a call that makes two processes out of one returns in each.
#[derive(Debug)]
pub(crate) enum Forked {
    /// This is the new process.
    Child,
    /// This is the caller. The descriptor names the new process, even when its number is used again.
    Parent { pid: i32, pidfd: OwnedFd },
}

/// Copies this process into new namespaces.
///
/// `clone` and not `clone3`, which container runtimes' filters answer with `ENOSYS`.
pub(crate) fn clone_into(namespaces: libc::c_int) -> io::Result<Forked> {
    let mut pidfd: RawFd = -1;
    let flags = libc::c_long::from(namespaces | libc::CLONE_PIDFD | libc::SIGCHLD);
    // SAFETY: no new stack and no shared memory: this is `fork` with flags. The helper has one thread, so the copy
    // of its memory is consistent, no lock is held in it, and the child may do whatever this process may. `pidfd`
    // lives during the call, and what is written there is a new descriptor that nobody else owns.
    unsafe {
        match check(libc::syscall(libc::SYS_clone, flags, 0usize, &raw mut pidfd, 0usize, 0usize))? {
            0 => Ok(Forked::Child),
            pid => Ok(Forked::Parent {
                pid: i32::try_from(pid).expect("a process number is an int"),
                pidfd: OwnedFd::from_raw_fd(pidfd),
            }),
        }
    }
}

/// Copies this process into new namespaces as a sibling: the new process's parent is this one's.
///
/// The descriptor names it. See [`clone_into`].
pub(crate) fn clone_sibling(namespaces: libc::c_int) -> io::Result<Forked> {
    clone_into(namespaces | libc::CLONE_PARENT)
}

/// Moves this process into the namespace that a descriptor names.
pub(crate) fn enter(namespace: BorrowedFd<'_>, kind: LinkNameSpaceType) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace, Some(kind))?)
}

/// The user namespace that a namespace belongs to.
pub(crate) fn owner_of(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// `NS_GET_USERNS`: `_IO(0xb7, 0x1)`.
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: the request takes no argument; the descriptor is a new one that nobody else owns.
    unsafe {
        let fd = check_int(libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS as _))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Sends a signal to the process that a descriptor names, and to no other.
pub(crate) fn signal(process: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    Ok(pidfd_send_signal(process, signal)?)
}

/// Kills every process that this one may signal, but for itself and number 1.
///
/// Only for a process that has been [confined](crate::helper) to signal its own descendants.
pub(crate) fn kill_all_below() {
    // SAFETY: a system call on integers. Failing means that there is nobody to signal.
    unsafe {
        libc::kill(-1, libc::SIGKILL);
    }
}

/// Lets a process run on any processor, at the usual policy: what it was before somebody else changed it.
///
/// Errors mean that this process may not, or that it has ended: then it stays as it is.
pub(crate) fn schedule_as_usual(pid: i32) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    let mut all = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    let _ = rustix::thread::sched_setaffinity(Some(pid), &all);
    // The kernel's structure with the priority. Asked of the kernel: musl's function does nothing and says so.
    let parameters: libc::c_int = 0;
    let pid = pid.as_raw_nonzero().get();
    // SAFETY: the kernel reads the structure during the call.
    unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, pid, libc::SCHED_OTHER, &raw const parameters);
    }
}

/// The session that a process belongs to; `None`: it has ended.
pub(crate) fn session_of(pid: i32) -> Option<i32> {
    let session = rustix::process::getsid(Pid::from_raw(pid)).ok()?;
    Some(session.as_raw_nonzero().get())
}

/// The number of this process. Asked of the kernel each time: [`clone_into`] goes past the C library.
pub(crate) fn id() -> i32 {
    getpid().as_raw_pid()
}

/// The number of the process that a descriptor names; `None`: it has ended, or there is no `/proc`.
pub(crate) fn number(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let number: i32 = info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
    (number > 0).then_some(number)
}

/// A descriptor that names a process, even when its number is used again, and is readable once it has ended.
pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// The number of the process that made this one; zero: it is not in this PID namespace.
pub(crate) fn parent() -> i32 {
    Pid::as_raw(getppid())
}

/// Ends this process at once: nothing is flushed, dropped or unwound.
pub(crate) fn exit(code: libc::c_int) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Becomes another program. Returns only if that fails.
pub(crate) fn exec(program: &CStr, args: &[CString], env: &[CString]) -> io::Result<Infallible> {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with a null pointer, and all strings live during the call.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// A child that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    /// As `wait` reports it.
    pub(crate) status: i32,
}

/// Takes the status of a child that has ended. `None`: those that there are still run. `ECHILD`: there are none.
pub(crate) fn reap() -> io::Result<Option<Reaped>> {
    let ended = wait(WaitOptions::NOHANG)?;
    Ok(ended.map(|(pid, status)| Reaped { pid: pid.as_raw_nonzero().get(), status: status.as_raw() }))
}

/// Kills a process.
pub(crate) fn kill(pid: i32) -> io::Result<()> {
    Ok(kill_process(one(pid)?, Signal::KILL)?)
}

/// Sends a signal to a process group. Group 1 is refused: to the system call it means every process.
pub(crate) fn signal_group(group: i32, signal: Signal) -> io::Result<()> {
    let group = Some(group).filter(|&group| group != 1).ok_or(Errno::INVAL)?;
    Ok(kill_process_group(one(group)?, signal)?)
}

/// Asks whether this process may signal another one.
pub(crate) fn may_signal(pid: i32) -> io::Result<()> {
    Ok(test_kill_process(one(pid)?)?)
}

/// The number of one process: not one of those that mean several.
fn one(pid: i32) -> io::Result<Pid> {
    Ok(Pid::from_raw(pid).filter(|_| pid > 0).ok_or(Errno::INVAL)?)
}

/// Has the kernel send this process a signal when its parent dies.
///
/// The setting is forgotten whenever the process changes its user or capabilities: call this after those.
pub(crate) fn die_with_parent(signal: Signal) -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(signal))?)
}

/// Makes this process the parent of its descendants' orphans.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Whether others of the same user may look into this process (and its `/proc` files belong to that user).
pub(crate) fn set_dumpable(on: bool) -> io::Result<()> {
    Ok(set_dumpable_behavior(if on { DumpableBehavior::Dumpable } else { DumpableBehavior::NotDumpable })?)
}

/// No program that this process becomes can gain rights by being set-uid. For good.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    Ok(set_no_new_privs(true)?)
}

/// Names this process, as `ps` shows it.
pub(crate) fn set_name(name: &CStr) {
    let _ = rustix::thread::set_name(name); // for people only
}

/// Makes this process the leader of a session and a process group of its own.
pub(crate) fn new_session() -> io::Result<()> {
    setsid()?;
    Ok(())
}

/// Makes a terminal the one that controls this process, which leads a session and has none.
pub(crate) fn take_terminal(terminal: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(terminal)?)
}

/// Sets the soft limit to the hard one.
pub(crate) fn limit_as_high_as_may_be(resource: Resource) -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(resource);
    Ok(setrlimit(resource, Rlimit { current: maximum, maximum })?)
}

/// Sets soft and hard limit.
pub(crate) fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let both = |value| Rlimit { current: Some(value), maximum: Some(value) };
    match setrlimit(resource, both(value)) {
        Ok(()) => Ok(()),
        // Without privilege a hard limit can only fall. One that is lower already is fine as it is.
        Err(error) => match getrlimit(resource).maximum {
            Some(lower) if lower <= value => Ok(setrlimit(resource, both(lower))?),
            _ => Err(error.into()),
        },
    }
}

/// Lowers the priority by so many steps, or to the lowest there is. Everyone may.
pub(crate) fn renice(by: u8) {
    // A step down cannot fail.
    let _ = nice(by.into());
}

/// Sets all signals to their defaults, and blocks none.
pub(crate) fn default_signals() {
    // SAFETY: SIG_DFL installs no function; calls for signals that cannot be set fail without effect. The set lives
    // during the calls.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Ignores all signals that can be, but for those of children, until [`default_signals`].
pub(crate) fn ignore_signals() {
    // SAFETY: SIG_IGN installs no function; calls for signals that cannot be set fail without effect.
    unsafe {
        for signal in (1..=libc::SIGRTMAX()).filter(|&signal| signal != libc::SIGCHLD) {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
}

/// Ended children are forgotten by the kernel: they need no `wait`, and [`reap`] finds none.
pub(crate) fn forget_children() {
    // SAFETY: SIG_IGN installs no function.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
    }
}

/// A descriptor that is readable when one of the signals waits. They are blocked otherwise.
pub(crate) fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: the set lives during the calls; the descriptor is a new one that nobody else owns.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            check_int(libc::sigaddset(&raw mut set, signal))?;
        }
        check_int(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()))?;
        let fd = check_int(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// The next signal that waits in a [`signal_fd`].
pub(crate) fn next_signal(fd: BorrowedFd<'_>) -> Option<i32> {
    // Its number comes first.
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    let whole = rustix::io::read(fd, &mut info) == Ok(info.len());
    info.first_chunk().filter(|_| whole).map(|number| i32::from_ne_bytes(*number))
}

/// Puts a copy of a descriptor at a given number, kept open across `exec`.
///
/// Whatever was open under that number is closed: only for numbers below those that [`lift`] gives out.
pub(crate) fn place(fd: BorrowedFd<'_>, at: RawFd) -> io::Result<()> {
    // SAFETY: only called on the way to `exec`, for the numbers of the program's own descriptors, which no value in
    // this process owns any more (see `lift`).
    unsafe { check_int(libc::dup2(fd.as_raw_fd(), at))? };
    Ok(())
}

/// The same descriptor under a number of at least `floor`.
pub(crate) fn lift(fd: OwnedFd, floor: RawFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= floor {
        return Ok(fd);
    }
    Ok(fcntl_dupfd_cloexec(fd, floor)?)
}

/// Marks every descriptor from this number on to be closed by `exec`.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: a system call on integers that closes nothing now.
    unsafe {
        check(libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC))?;
    }
    Ok(())
}

/// The descriptor that a process was started with under this number, if it is open.
pub(crate) fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: called once per number, by a helper that has been started with these descriptors for its own use; no
    // other value of this process owns them. The flag is set because they are not for the programs it starts.
    unsafe {
        check_int(libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC)).ok()?;
        Some(OwnedFd::from_raw_fd(number))
    }
}

/// Moves into a directory.
pub(crate) fn change_dir(path: &CStr) -> io::Result<()> {
    Ok(chdir(path)?)
}

/// Which permissions new files do not get.
pub(crate) fn umask(mask: u32) {
    rustix::process::umask(Mode::from_raw_mode(mask));
}
