//! The first process of a process table that a session's commands share: it holds the table, and ends what has lost its
//! supervisor.
//!
//! It has no children of its own. What is given to it by the kernel was below a supervisor that was killed: by a
//! command, or by the kernel for want of memory. See [`processes`](crate::processes).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::host::{Host, Place, UserNamespace, open_proc};
use super::{At, Failure};
use crate::error::Stage;
use crate::plan::{ENTERED, LEFT_OVER, Message};
use crate::reports::Abilities;
use crate::sys::{process, socket};
use crate::tree;

/// How long what has lost its supervisor is looked for. It ends in milliseconds; after this the table ends with all that is
/// in it, which nothing survives.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon it is looked for again: what was killed leaves children.
const AGAIN: Duration = Duration::from_millis(1);

/// Gives the server what others enter the table by. While this process can still be looked into.
pub(super) fn show(host: &Host, place: &Place, control: BorrowedFd<'_>) -> Result<(), Failure> {
    let open = |path| open_proc(host, path, libc::O_RDONLY).at(Stage::Processes, "its own");
    let mut namespaces = vec![open(c"self/ns/pid")?];
    if place.user_namespace != UserNamespace::No {
        namespaces.push(open(c"self/ns/user")?);
    }
    let namespaces: Vec<_> = namespaces.iter().map(AsFd::as_fd).collect();
    socket::send(control, &Message::Processes.encode(), &namespaces).at(Stage::Processes, "its own")
}

/// Serves the table until the server wants it no more, or is gone.
pub(super) fn hold(
    has_proc: bool,
    control: BorrowedFd<'_>,
    liveness: BorrowedFd<'_>,
    signals: BorrowedFd<'_>,
) -> Result<(), Failure> {
    process::set_name(c"agb-processes");
    let say =
        |message: Message| socket::send(control, &message.encode(), &[]).at(Stage::Processes, "the control socket");
    say(Message::Starting)?;
    say(Message::Running(Abilities { has_proc, changes_files: true }))?;
    let mut supervisors: Vec<OwnedFd> = Vec::new();
    let mut hunting: Option<Instant> = None;
    loop {
        let own = [control, liveness, signals].into_iter();
        let mut polled: Vec<PollFd<'_>> = own
            .chain(supervisors.iter().map(AsFd::as_fd))
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        socket::wait_any(&mut polled, hunting.map(|_| AGAIN)).at(Stage::Processes, "waiting")?;
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        while process::next_signal(signals).is_some() {}
        if ready[1] {
            return Ok(());
        }
        let mut ended = ready.iter().skip(3);
        let before = supervisors.len();
        supervisors.retain(|_| ended.next() != Some(&true));
        if ready[2] || supervisors.len() < before {
            hunting.get_or_insert_with(Instant::now);
        }
        if ready[0] {
            let mut order = [0];
            match socket::receive(control, &mut order, false) {
                Ok(received) if received.len == 1 && order == ENTERED => supervisors.extend(received.fds),
                Ok(received) if received.len == 1 && order == LEFT_OVER => {
                    hunting.get_or_insert_with(Instant::now);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => return Ok(()),
            }
        }
        if let Some(since) = hunting {
            if !kill_children() {
                hunting = None;
            } else if since.elapsed() > PATIENCE {
                return Ok(());
            }
        }
    }
}

/// Kills all that this process has been given. Whether there was something.
fn kill_children() -> bool {
    loop {
        match process::reap() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => return false, // there are no children
        }
    }
    // What cannot be looked up now, may be later.
    for pid in tree::descendants(process::id()).unwrap_or_default() {
        let _ = process::kill(pid);
    }
    true
}
