//! Descriptors of a command that are waited for.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Tells when a descriptor is ready.
pub(super) fn watched(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = fd.try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` answers with the same open descriptor until it is dropped; it is moved in here, and nobody
    // gets hold of it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}
