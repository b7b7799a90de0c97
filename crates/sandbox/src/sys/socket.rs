//! Message sockets that carry descriptors and tell who has sent a message.

use std::io::{self, ErrorKind};
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};

use super::{check, check_int};

/// The most descriptors in one message: those of a program, the control socket, and on the way to a zygote a pipe,
/// seven namespaces and three control groups.
pub(crate) const MAX_FDS: usize = 17;

/// A connected pair of sockets that keep message boundaries.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// From now on, every message that comes says which process has sent it; the kernel writes that, not the sender.
pub(crate) fn name_senders(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(sockopt::set_socket_passcred(socket, true)?)
}

/// Room for the largest control data: the descriptors, and the sender's name. Aligned as `cmsghdr` wants it.
#[repr(align(8))]
struct ControlBuffer([u8; 160]);

/// Sends one message with descriptors.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    assert!(fds.len() <= MAX_FDS, "a message carries at most {MAX_FDS} descriptors");
    let mut control = ControlBuffer([0; 160]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let size = size_of::<RawFd>() * fds.len();
    // SAFETY: all pointers in `message` point to live values of the lengths given; `sendmsg` only reads them. The
    // control buffer is aligned and has room for a header and `MAX_FDS` descriptors (16 + 68 bytes).
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if !fds.is_empty() {
            message.msg_control = (&raw mut control.0).cast();
            message.msg_controllen = libc::CMSG_SPACE(size as u32) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size as u32) as _;
            for (index, fd) in fds.iter().enumerate() {
                libc::CMSG_DATA(header).cast::<RawFd>().add(index).write_unaligned(fd.as_raw_fd());
            }
        }
        loop {
            match check(libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) as _) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
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
    let mut control = ControlBuffer([0; 160]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut received = Received::default();
    let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
    // SAFETY: all pointers in `message` point to live buffers of the lengths given. The control messages are walked
    // with the macros made for it, inside what the kernel says it has filled. The descriptors in it are new ones that
    // nobody else owns.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control.0).cast();
        message.msg_controllen = control.0.len() as _;
        received.len = loop {
            match check(libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) as _) {
                Ok(len) => break usize::try_from(len).expect("a length is not negative"),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            let data = libc::CMSG_DATA(header);
            #[allow(clippy::unnecessary_cast, reason = "the field's type differs between C libraries")]
            let size = (*header).cmsg_len as usize - (data as usize - header as usize);
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for index in 0..size / size_of::<RawFd>() {
                        let fd = data.cast::<RawFd>().add(index).read_unaligned();
                        received.fds.push(OwnedFd::from_raw_fd(fd));
                    }
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                    let mut sender = MaybeUninit::<libc::ucred>::uninit();
                    if size >= size_of::<libc::ucred>() {
                        sender.as_mut_ptr().copy_from(data.cast(), 1);
                        received.sender = Some(sender.assume_init().pid);
                    }
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
            return Err(io::Error::new(ErrorKind::InvalidData, "a message was larger than its buffer"));
        }
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
    // SAFETY: the request is a zeroed C structure with a short name; `ioctl` reads it and keeps no pointer.
    unsafe {
        let socket = check_int(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check_int(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request))?;
    }
    Ok(())
}
