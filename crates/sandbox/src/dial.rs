//! Sockets in the network that the sandboxes of a session share, for a server that wants to reach what listens there.
//!
//! A process with one thread enters the namespace and makes them: this one has many, and cannot. A socket stays in the
//! network that it was made in, wherever it is passed.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::LinkNameSpaceType;

use crate::Launcher;
use crate::sys::{process, socket};

/// The argument that turns an executable into one that makes sockets.
pub(crate) const ARGUMENT: &str = "__sandbox-sockets";

/// What is made at once: a process costs milliseconds, a socket microseconds. Fewer than one message carries.
const COUNT: usize = 16;

/// How long the process may take, which takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Under which numbers the process finds the namespace and the server: its standard input and output.
const NAMESPACE: i32 = 0;
const SERVER: i32 = 1;

impl Launcher {
    /// Which network the sandboxes of a slot share now. A number is not given again while a socket of its network is held.
    ///
    /// # Errors
    /// `NotFound`: nothing of the slot runs that has a network of its own.
    pub fn network(&self, slot: u32) -> io::Result<u64> {
        let network = self.networks.slot(slot).lock().upgrade();
        let network = network.ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        Ok(rustix::fs::fstat(&network.namespace)?.st_ino)
    }

    /// Some TCP sockets (IPv4, not connected, non-blocking) in the network that the sandboxes of a slot share. Blocks for
    /// milliseconds.
    ///
    /// # Errors
    /// `NotFound`: nothing of the slot runs that has a network of its own.
    pub fn sockets(&self, slot: u32) -> io::Result<Vec<OwnedFd>> {
        let network = self.networks.slot(slot).lock().upgrade();
        let network = network.ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        let (own, its) = socket::pair()?;
        let mut child = Command::new(&self.program)
            .arg(ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(network.namespace.try_clone()?))
            .stdout(Stdio::from(its))
            .spawn()?;
        let made = receive(&own);
        // It has ended, or is no use.
        let _ = child.kill();
        child.wait()?;
        made
    }
}

fn receive(own: &OwnedFd) -> io::Result<Vec<OwnedFd>> {
    let deadline = Instant::now() + PATIENCE;
    let mut errno = [0; 4];
    while !socket::wait_readable([own.as_fd()], Some(deadline.saturating_duration_since(Instant::now())))?[0] {
        if Instant::now() >= deadline {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    let received = socket::receive(own.as_fd(), &mut errno, false)?;
    match (received.len, i32::from_ne_bytes(errno)) {
        (4, 0) => Ok(received.fds),
        (4, errno) => Err(io::Error::from_raw_os_error(errno)),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Whether this process was started to make sockets.
pub(crate) fn is_wanted() -> bool {
    let mut args = std::env::args_os().skip(1);
    args.next().is_some_and(|arg| arg == ARGUMENT) && args.next().is_none()
}

/// Makes them and ends.
pub(crate) fn run() -> i32 {
    let (Some(namespace), Some(server)) = (process::inherited(NAMESPACE), process::inherited(SERVER)) else { return 2 };
    let made = make(&namespace);
    let (sockets, errno) = match &made {
        Ok(sockets) => (sockets.as_slice(), 0),
        Err(error) => (&[][..], error.raw_os_error().unwrap_or(libc::EIO)),
    };
    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    i32::from(socket::send(server.as_fd(), &errno.to_ne_bytes(), &sockets).is_err())
}

fn make(namespace: &OwnedFd) -> io::Result<Vec<OwnedFd>> {
    if process::enter(namespace.as_fd(), LinkNameSpaceType::Network).is_err() {
        // Who has no right over the network enters the user namespace that has.
        process::enter(process::owner_of(namespace.as_fd())?.as_fd(), LinkNameSpaceType::User)?;
        process::enter(namespace.as_fd(), LinkNameSpaceType::Network)?;
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let make = |_| Ok(socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?);
    (0..COUNT).map(make).collect()
}
