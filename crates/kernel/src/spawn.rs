//! Creating an interpreter process in a sandbox of its own.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use agb_sandbox::{Child, Command, Launcher, Nursery, Policy, SpawnError};
use rustix::io::ioctl_fionbio;

/// An interpreter in a sandbox, and our ends of its pipes, all non-blocking.
///
/// The harness receives on descriptor 3 and answers on 4; its standard input is empty.
#[derive(Debug)]
pub(crate) struct Spawned<T = Child> {
    pub(crate) child: T,
    pub(crate) stdout: File,
    pub(crate) stderr: File,
    pub(crate) control_in: File,
    pub(crate) control_out: File,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Sandbox(#[from] SpawnError),
    #[error("its pipes could not be made: {0}; the server may have too many files open (`ulimit -n`)")]
    Pipes(#[from] io::Error),
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Starts a program. A caller that gives up meanwhile leaves nothing behind.
pub(crate) async fn spawn(launcher: Arc<Launcher>, policy: Policy, command: Command) -> Result<Spawned, Failure> {
    blocking(move |fds| launcher.spawn(&policy, &command, fds)).await
}

/// Copies a zygote. As [`spawn`].
pub(crate) async fn copy(launcher: Arc<Launcher>, nursery: Nursery, policy: Policy) -> Result<Spawned, Failure> {
    blocking(move |fds| launcher.copy(&nursery, &policy, fds)).await
}

/// Starts a zygote. As [`spawn`].
pub(crate) async fn nursery(
    launcher: Arc<Launcher>,
    policy: Policy,
    command: Command,
) -> Result<Spawned<Nursery>, Failure> {
    blocking(move |fds| launcher.nursery(&policy, &command, fds)).await
}

async fn blocking<T: Send + 'static>(
    make: impl FnOnce([BorrowedFd<'_>; 5]) -> Result<T, SpawnError> + Send + 'static,
) -> Result<Spawned<T>, Failure> {
    tokio::task::spawn_blocking(move || start(make)).await.map_err(|_| Failure::ShuttingDown)?
}

fn start<T>(make: impl FnOnce([BorrowedFd<'_>; 5]) -> Result<T, SpawnError>) -> Result<Spawned<T>, Failure> {
    let nothing = File::open("/dev/null")?;
    let (stdout, its_stdout) = io::pipe()?;
    let (stderr, its_stderr) = io::pipe()?;
    let (its_control_in, control_in) = io::pipe()?;
    let (control_out, its_control_out) = io::pipe()?;
    let its =
        [nothing.as_fd(), its_stdout.as_fd(), its_stderr.as_fd(), its_control_in.as_fd(), its_control_out.as_fd()];
    let child = make(its)?;
    let file = |fd: OwnedFd| -> io::Result<File> {
        // Reader and writer of a pipe have flags of their own: the program's end still blocks.
        ioctl_fionbio(&fd, true)?;
        Ok(File::from(fd))
    };
    Ok(Spawned {
        child,
        stdout: file(stdout.into())?,
        stderr: file(stderr.into())?,
        control_in: file(control_in.into())?,
        control_out: file(control_out.into())?,
    })
}
