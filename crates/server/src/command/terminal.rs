//! A command's terminal, at our end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use agb_protocol::command::TerminalSize;
use agb_sandbox::Terminal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::watched::watched;

/// Our end of a command's terminal. The last handle that goes hangs the command up.
#[derive(Debug)]
pub(super) struct OpenTerminal {
    terminal: Terminal,
    ready: AsyncFd<OwnedFd>,
}

impl OpenTerminal {
    /// A new one; the second is the command's end.
    pub(super) fn open(size: TerminalSize) -> io::Result<(Self, OwnedFd)> {
        let (terminal, theirs) = Terminal::open(size.cols, size.rows)?;
        let ready = watched(terminal.as_fd(), Interest::READABLE | Interest::WRITABLE)?;
        Ok((Self { terminal, ready }, theirs))
    }

    pub(super) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        self.terminal.resize(size.cols, size.rows)
    }

    /// What the command shows next. Cancel-safe.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.ready.readable().await?;
            if let Ok(read) = ready.try_io(|_| self.terminal.read(buffer)) {
                return read;
            }
        }
    }

    /// Types all of it in.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.ready.writable().await?;
            if let Ok(written) = ready.try_io(|_| self.terminal.write(bytes)) {
                bytes = &bytes[written?..];
            }
        }
        Ok(())
    }
}
