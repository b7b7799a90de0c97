//! System calls that a filter passes on to another process, which answers them (`seccomp_unotify(2)`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use seccompiler::sock_filter;

use super::socket::wait_any;
use super::{check, check_int};

/// Where calls arrive that a filter passes on (`SECCOMP_RET_USER_NOTIF`). Their threads wait for the answer. When the last
/// copy of this is closed, the kernel answers these calls by `ENOSYS`.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    id: u64,
    /// The number of the calling thread, as this process sees it. While [`Listener::is_waiting`], it belongs to nobody else.
    pub(crate) thread: i32,
    pub(crate) number: libc::c_long,
    pub(crate) args: [u64; 6],
}

impl Call {
    /// A call that nobody makes, for tests of what is read from one.
    #[cfg(test)]
    pub(crate) fn made_up(number: libc::c_long, args: [u64; 6]) -> Self {
        Self { id: 0, thread: 0, number, args }
    }
}

impl Listener {
    /// Installs a filter in this process, for all that it will start, and gives the listener for what it passes on. Needs
    /// `no_new_privileges`.
    ///
    /// Fails where the kernel has no such listeners, where its structures are not those that this crate knows, and where an
    /// earlier filter of the process has a listener.
    pub(crate) fn install(filter: &[sock_filter]) -> io::Result<Self> {
        // Once a call has been taken up, signals wait for its answer, except those that end the caller.
        const FLAGS: libc::c_ulong =
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        let mut sizes = libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
        // SAFETY: the structure lives during the call, and is what this operation writes.
        unsafe { check(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0usize, &raw mut sizes))? };
        let known = size_of::<libc::seccomp_notif>() == usize::from(sizes.seccomp_notif)
            && size_of::<libc::seccomp_notif_resp>() == usize::from(sizes.seccomp_notif_resp);
        if !known {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        let len = u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
        let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut().cast() };
        // SAFETY: the filter lives during the call, which copies it; its instructions have the kernel's layout. What is
        // returned is a new descriptor that nobody else owns.
        unsafe {
            let operation = libc::SECCOMP_SET_MODE_FILTER;
            let fd = check(libc::syscall(libc::SYS_seccomp, operation, FLAGS, &raw const program))?;
            Ok(Self(OwnedFd::from_raw_fd(libc::c_int::try_from(fd).expect("a descriptor is an int"))))
        }
    }

    /// The next call, asked without waiting. `None`: there is none now. An error: nobody is left who could call.
    pub(crate) fn next(&self) -> io::Result<Option<Call>> {
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        wait_any(&mut polled, Some(Duration::ZERO))?;
        // Taking a call would wait if there was none. One that was there and whose caller was killed is `ENOENT`.
        match polled[0].revents() {
            none if none.is_empty() => return Ok(None),
            some if some.contains(PollFlags::IN) => {}
            _ => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        // SAFETY: plain numbers, for which zero is a value; the kernel asks for zeros.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the structure lives during the call; `install` has compared its size with the kernel's.
        let taken = unsafe { check_int(libc::ioctl(self.raw(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call)) };
        match taken {
            Ok(_) => Ok(Some(Call {
                id: call.id,
                thread: call.pid.cast_signed(),
                number: call.data.nr.into(),
                args: call.data.args,
            })),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a call still waits for its answer.
    pub(crate) fn is_waiting(&self, call: &Call) -> bool {
        // SAFETY: the number lives during the call, which only reads it.
        unsafe { libc::ioctl(self.raw(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const call.id) == 0 }
    }

    /// Answers a call. One whose caller has been killed needs no answer.
    pub(crate) fn answer(&self, call: &Call, result: Result<(), Errno>) {
        let error = result.map_or_else(|error| -error.raw_os_error(), |()| 0);
        let answer = libc::seccomp_notif_resp { id: call.id, val: 0, error, flags: 0 };
        // SAFETY: the structure lives during the call; `install` has compared its size with the kernel's.
        unsafe { libc::ioctl(self.raw(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
    }

    fn raw(&self) -> libc::c_int {
        self.0.as_raw_fd()
    }
}

impl From<OwnedFd> for Listener {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Listener {
    /// Readable when there is a [`next`](Self::next) call; hung up when nobody is left who could call.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Reads from the memory of another process; answers how much could be read, which is all of it or what comes before the
/// first page that is not there.
pub(crate) fn read_memory(thread: i32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let Ok(address) = usize::try_from(address) else { return Err(io::Error::from_raw_os_error(libc::EFAULT)) };
    let ours = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let theirs = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: buffer.len() };
    // SAFETY: writes to the buffer only, at most as much as it holds; the other address means something in the other
    // process, and the kernel answers with an error where it does not.
    let read = unsafe { libc::process_vm_readv(thread, &raw const ours, 1, &raw const theirs, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_far_as_it_is_there() {
        let text = *b"text";
        let own = rustix::process::getpid().as_raw_pid();
        let mut buffer = [0; 4];
        let read = read_memory(own, text.as_ptr().expose_provenance() as u64, &mut buffer).expect("it is our own");
        assert_eq!((read, &buffer), (4, b"text"));
        let error = read_memory(own, 8, &mut buffer).expect_err("nothing is there");
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
        let error = read_memory(own, u64::MAX, &mut buffer).expect_err("nothing can be there");
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    }
}
