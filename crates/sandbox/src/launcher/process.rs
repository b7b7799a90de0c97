//! The launcher's process, and the socket to it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use super::{PATIENCE, receive_until};
use crate::error::LauncherError;
use crate::helper::{ARGUMENT, HELLO, is_helper};
use crate::sys::socket;

/// The launcher's process. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Process {
    /// `None` only while it is dropped.
    socket: Option<OwnedFd>,
    process: std::process::Child,
}

impl Process {
    pub(super) fn start(program: &Path) -> Result<Self, LauncherError> {
        let not_started = |reason: String| LauncherError::NotStarted { program: program.to_owned(), reason };
        if is_helper() {
            // This process was started to be one, went on instead, and would do so for ever.
            return Err(LauncherError::NotAHelper { program: program.to_owned() });
        }
        let (socket, its) = socket::pair().map_err(|error| not_started(error.to_string()))?;
        let process = std::process::Command::new(program)
            .arg(ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(its))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| not_started(error.to_string()))?;
        // From here on, giving up closes the socket and reaps the process.
        let mut launcher = Self { socket: Some(socket), process };
        let socket = launcher.socket.as_ref().expect("it was put there above").as_fd();
        let mut hello = [0; 16];
        match receive_until(socket, &mut hello, Instant::now() + PATIENCE) {
            Ok(Some(received)) if hello[..received.len] == *HELLO => Ok(launcher),
            Ok(None) | Err(_) => {
                launcher.kill();
                Err(not_started("it does not answer".to_owned()))
            }
            _ => {
                launcher.kill();
                Err(LauncherError::NotAHelper { program: program.to_owned() })
            }
        }
    }

    fn kill(&mut self) {
        // An error means that it is gone already.
        let _ = self.process.kill();
    }

    /// Gives it a plan, with the descriptors that the plan is for.
    pub(super) fn order(&self, plan: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        socket::send(self.socket.as_ref().expect("it is there until this is dropped").as_fd(), plan, fds)
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.socket.take()); // it ends at this
        let _ = self.process.wait();
    }
}
