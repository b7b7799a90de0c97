//! Pseudo-terminals: the server's end of the terminal that a program runs on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The server's end of a pseudo-terminal. What is written here is what somebody types; what is read is what the program
/// shows. Dropping it hangs the program up, as closing a terminal's window does.
#[derive(Debug)]
pub struct Terminal {
    ours: OwnedFd,
}

impl Terminal {
    /// Makes a terminal of this size, in characters; the second is the program's end, for its descriptors 0 to 2 (see
    /// [`Command::on_terminal`](crate::Command::on_terminal)). Our end does not block.
    ///
    /// # Errors
    /// What the system says; without `/dev/ptmx` there are no terminals.
    pub fn open(cols: u16, rows: u16) -> io::Result<(Self, OwnedFd)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        // By the descriptor and not by its name: /dev/pts may be another file system's than that of /dev/ptmx.
        let theirs = ioctl_tiocgptpeer(&ours, flags)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let terminal = Self { ours };
        terminal.resize(cols, rows)?;
        Ok((terminal, theirs))
    }

    /// What the program shows. `WouldBlock`: nothing now. `EIO` says that nobody has the program's end open any more.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.ours, buffer)?)
    }

    /// Types something in. `WouldBlock`: the program has to read before.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.ours, bytes)?)
    }

    /// Changes its size. The program in its foreground gets `SIGWINCH`.
    ///
    /// # Errors
    /// What the system says.
    pub fn resize(&self, cols: u16, rows: u16) -> io::Result<()> {
        let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.ours, size)?)
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_see_one_terminal() {
        let (terminal, theirs) = Terminal::open(100, 30).expect("this machine has terminals");
        assert!(rustix::termios::isatty(&theirs));
        terminal.resize(132, 50).expect("it takes a size");
        let size = rustix::termios::tcgetwinsize(&theirs).expect("it has one");
        assert_eq!((size.ws_col, size.ws_row), (132, 50));
        terminal.write(b"typed\n").expect("it is typed");
        let mut line = [0; 16];
        let read = rustix::io::read(&theirs, &mut line).expect("a line");
        assert_eq!(&line[..read], b"typed\n");
        let read = terminal.read(&mut line).expect("the echo");
        assert_eq!(&line[..read], b"typed\r\n");
        let nothing = terminal.read(&mut line).expect_err("nothing more is shown");
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        drop(theirs);
        let closed = terminal.read(&mut line).expect_err("nobody has it open");
        assert_eq!(closed.raw_os_error(), Some(libc::EIO));
    }
}
