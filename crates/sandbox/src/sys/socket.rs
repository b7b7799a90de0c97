//! Message sockets that carry descriptors and tell who has sent a message.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socket_with, socketpair, sockopt,
};

use super::check_int;

/// The most descriptors in one message: those of a program, the control socket, and on the way to a zygote a pipe,
/// seven namespaces and three control groups.
pub(crate) const MAX_FDS: usize = 17;

/// A connected pair of sockets that keep message boundaries.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// From now on, every message that comes says which process has sent it; the kernel writes that, not the sender.
///
/// Only where all senders are processes that this one can see: the others have the number zero, which is none.
pub(crate) fn name_senders(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(sockopt::set_socket_passcred(socket, true)?)
}

/// Room for the largest control data: the descriptors, and the sender's name.
const CONTROL: usize = cmsg_space!(ScmRights(MAX_FDS), ScmCredentials(1));

/// Sends one message with descriptors. Waits while the other end has many that it has not read.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_with(socket, bytes, fds, SendFlags::NOSIGNAL)
}

/// Sends one message without waiting: [`WouldBlock`](io::ErrorKind::WouldBlock) while the other end has many that it has not
/// read.
pub(crate) fn send_now(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_with(socket, bytes, fds, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}

fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>], flags: SendFlags) -> io::Result<()> {
    assert!(fds.len() <= MAX_FDS, "a message carries at most {MAX_FDS} descriptors");
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)), "there is room for so many");
    }
    retry_on_intr(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags))?;
    Ok(())
}

/// What came in one message.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Zero: the other end is closed.
    pub(crate) len: usize,
    pub(crate) fds: Vec<OwnedFd>,
    /// The sender's process number in the receiver's view, if [`name_senders`] was called.
    pub(crate) sender: Option<i32>,
}

/// Takes one message. Without `wait`, an empty socket is `WouldBlock`.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let message = retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags))?;
    let mut received = Received { len: message.bytes, ..Received::default() };
    for part in control.drain() {
        match part {
            RecvAncillaryMessage::ScmRights(fds) => received.fds.extend(fds),
            RecvAncillaryMessage::ScmCredentials(sender) => received.sender = Some(sender.pid.as_raw_pid()),
            _ => {}
        }
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(ErrorKind::InvalidData, "a message was larger than its buffer"));
    }
    Ok(received)
}

/// Waits until one of the descriptors can be read, has ended or has failed. Says which; none of them: time is over.
pub(crate) fn wait_readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    wait_any(&mut polled, timeout)?;
    Ok(polled.map(|entry| !entry.revents().is_empty()))
}

/// The same for any number of them.
pub(crate) fn wait_any(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match poll(fds, timeout.as_ref()) {
        Ok(_) => Ok(()),
        Err(Errno::INTR) => {
            fds.iter_mut().for_each(PollFd::clear_revents);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether there is something to read, or the other end is gone.
pub(crate) fn is_readable(fd: impl AsFd) -> bool {
    wait_readable([fd.as_fd()], Some(Duration::ZERO)).is_ok_and(|[ready]| ready)
}

/// Switches the loopback interface of the current network namespace on.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: the request is a zeroed C structure with a short name; `ioctl` reads it and keeps no pointer.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check_int(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_read_keeps_nobody_waiting() {
        let (ours, theirs) = pair().expect("a pair");
        let error = (0..100_000).find_map(|_| send_now(ours.as_fd(), &[9], &[]).err()).expect("it is full some time");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let mut byte = [0];
        let mut read = 0;
        while receive(theirs.as_fd(), &mut byte, false).is_ok() {
            assert_eq!(byte, [9]);
            read += 1;
        }
        assert!(read > 10, "{read}");
        send_now(ours.as_fd(), &[9], &[]).expect("there is room again");
        drop(theirs);
        let gone = send_now(ours.as_fd(), &[9], &[]).expect_err("nobody reads");
        assert_ne!(gone.kind(), ErrorKind::WouldBlock);
    }
}
