//! What the first process of a sandbox does while its program runs: it hears the server, takes what has ended, and ends what
//! is left.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::broker::FileBroker;
use super::copy;
use crate::plan::Message;
use crate::sys::process::Reaped;
use crate::sys::{process, socket};
use crate::tree;

/// How many signals are read in a turn: there are two kinds, of which each waits once.
const SIGNALS: usize = 2;

/// The program's process.
pub(super) enum Program {
    /// A child of this process.
    Started(i32),
    /// A child of the zygote's.
    Copied(copy::Copy),
}

impl Program {
    fn pid(&self) -> i32 {
        match self {
            Self::Started(pid) | Self::Copied(copy::Copy { pid, .. }) => *pid,
        }
    }
}

/// Serves the sandbox until it is to end: because the program has ended, whose status this returns, because the
/// server says so, or because server or launcher are gone. `keeps_background`: the end of the program is told at once, and
/// the sandbox ends with the last process in it.
pub(super) fn supervise(
    mut program: Program,
    control: BorrowedFd<'_>,
    liveness: BorrowedFd<'_>,
    signals: BorrowedFd<'_>,
    mut broker: Option<FileBroker>,
    keeps_background: bool,
) -> Option<i32> {
    let pid = program.pid();
    let mut is_told = false;
    loop {
        let end = match &program {
            Program::Started(_) => signals,
            Program::Copied(copy) => copy.as_fd(),
        };
        let asked = broker.as_ref().map_or(signals, AsFd::as_fd);
        let waited = socket::wait_readable([control, liveness, signals, end, asked], None);
        let Ok([ordered, orphaned, signalled, ended, asked]) = waited else { return None };
        if signalled {
            // A program can send them, too, as fast as they are read: the rest is for the next turn.
            for signal in std::iter::from_fn(|| process::next_signal(signals)).take(SIGNALS) {
                if signal == libc::SIGTERM {
                    return None;
                }
            }
            loop {
                match process::reap() {
                    Ok(Some(Reaped { pid: ended, status })) => {
                        let is_program = matches!(program, Program::Started(_)) && ended == pid && !is_told;
                        if is_program && !keeps_background {
                            return Some(status);
                        }
                        if is_program {
                            let _ = socket::send(control, &Message::Ended { status }.encode(), &[]);
                            is_told = true;
                        }
                    }
                    Ok(None) => break,
                    // There are no processes any more.
                    Err(_) if is_told => return None,
                    Err(_) => break,
                }
            }
        }
        if let Program::Copied(copy) = &mut program
            && ended
            && let Some(status) = copy.end()
        {
            return status;
        }
        if orphaned {
            return None;
        }
        if ordered {
            let mut order = [0];
            match socket::receive(control, &mut order, false) {
                Ok(received) if received.len == 1 && order[0] != 0 => {
                    // Behind the end of the program its number may mean another's in a table that is shared.
                    // The program leads its process group. A group that is not there yet or any more needs no signal.
                    // The number means this one: of a child that is not reaped yet, or, of the zygote's, as long as 2^15
                    // processes have not followed it within the microseconds in which this is told of its end.
                    let signal = Signal::from_named_raw(i32::from(order[0])).filter(|_| !is_told);
                    if let Some(signal) = signal {
                        let _ = process::signal_group(pid, signal);
                    }
                    let _ = socket::send(control, &Message::Signalled.encode(), &[]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return None,
            }
        }
        if asked {
            broker = broker.filter(FileBroker::answer_next);
        }
    }
}

/// How long a first process without a namespace of its own looks for its descendants. They end in milliseconds; after
/// this it ends itself, and what is left comes to the launcher, which kills it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kills every descendant. Orphans become our children, so none can get away; one that is forked while we look is
/// found by the next look. `contained`: this process can signal no others, so one call reaches all of them at once.
pub(super) fn end_all(contained: bool) {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if contained {
            process::kill_all_below();
        } else {
            // They may have used up the descriptors that looking takes. Then the next look finds them.
            for pid in tree::descendants(process::id()).unwrap_or_default() {
                let _ = process::kill(pid);
            }
        }
        loop {
            match process::reap() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return, // there are no children
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
