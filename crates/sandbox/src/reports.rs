//! What the launcher and a new sandbox report while it is made.

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::process::Signal;

use crate::SpawnError;
use crate::plan::Message;
use crate::processes::SharedNamespaces;
use crate::sys::process;
use crate::sys::socket::{self, Received};

/// What the program of a sandbox can do, and others in theirs may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// There is a `/proc`.
    pub(crate) has_proc: bool,
    /// It can change modes and times of its session's files.
    pub(crate) changes_files: bool,
}

/// What has been reported of a new sandbox.
///
/// The launcher and the processes of the sandbox report side by side, and one of them may be kept waiting by a busy
/// machine: a program that does little has ended before the launcher says that there is a sandbox.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    init: Option<OwnedFd>,
    pid: Option<i32>,
    abilities: Option<Abilities>,
    status: Option<i32>,
    network: Option<OwnedFd>,
    processes: Option<SharedNamespaces>,
    proxy: Option<TcpListener>,
}

/// A sandbox whose program runs, or has done.
#[derive(Debug)]
pub(crate) struct Complete {
    /// Names the first process.
    pub(crate) init: OwnedFd,
    /// The program's number.
    pub(crate) pid: i32,
    pub(crate) abilities: Abilities,
    /// How the program ended, if it has.
    pub(crate) status: Option<i32>,
    /// What the sandbox has made for its session.
    pub(crate) network: Option<OwnedFd>,
    /// What others enter its process table by.
    pub(crate) processes: Option<SharedNamespaces>,
    pub(crate) proxy: Option<TcpListener>,
}

impl Reports {
    /// Ends the sandbox that nobody is to have. It may stand where it hears nothing.
    pub(crate) fn give_up(&self) {
        if let Some(init) = &self.init {
            // An error means that it has ended.
            let _ = process::signal(init.as_fd(), Signal::KILL);
            // What it leaves, in a process table of others, is looked for next.
            let _ = socket::wait_readable([init.as_fd()], Some(Duration::from_secs(1)));
        }
    }

    /// Takes the next report; gives the sandbox if it is the last that was missing. `None`: nothing sensible came, or
    /// whoever could report is gone.
    pub(crate) fn take(
        &mut self,
        message: Option<Message>,
        mut received: Received,
    ) -> Result<Option<Complete>, SpawnError> {
        match message {
            Some(Message::Created) => self.init = received.fds.pop(),
            Some(Message::ProxySocket) => self.proxy = received.fds.pop().map(TcpListener::from),
            Some(Message::Network) => self.network = received.fds.pop(),
            Some(Message::Processes) => self.processes = SharedNamespaces::of(received.fds),
            Some(Message::Starting) => self.pid = received.sender,
            Some(Message::Running(abilities)) => self.abilities = Some(abilities),
            Some(Message::Ended { status }) if self.abilities.is_some() => self.status = Some(status),
            Some(Message::Failed { stage, errno, detail }) => {
                return Err(SpawnError::Failed { stage, errno, detail });
            }
            Some(Message::Ended { .. } | Message::Signalled) | None => return Err(SpawnError::Vanished),
        }
        let (Some(pid), Some(abilities)) = (self.pid, self.abilities) else { return Ok(None) };
        let Some(init) = self.init.take() else { return Ok(None) };
        let (network, processes, proxy) = (self.network.take(), self.processes.take(), self.proxy.take());
        Ok(Some(Complete { init, pid, abilities, status: self.status, network, processes, proxy }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(reports: &mut Reports, message: Message) -> Result<Option<Complete>, SpawnError> {
        let fds = match message {
            Message::Created => vec![std::fs::File::open("/dev/null").expect("there is one").into()],
            _ => Vec::new(),
        };
        reports.take(Some(message), Received { fds, sender: Some(7), ..Received::default() })
    }

    const REPORTS: [fn() -> Message; 4] = [
        || Message::Created,
        || Message::Starting,
        || Message::Running(Abilities { has_proc: true, changes_files: true }),
        || Message::Ended { status: 256 },
    ];

    /// What the sandbox reports comes in order; the launcher's word may come at any time between.
    #[test]
    fn a_program_may_end_before_the_launcher_says_that_there_is_a_sandbox() {
        for created_at in 0..4 {
            let mut order = vec![1, 2, 3];
            order.insert(created_at, 0);
            let mut reports = Reports::default();
            let mut made = None;
            for at in order {
                let complete = report(&mut reports, REPORTS[at]()).unwrap_or_else(|error| panic!("{error}"));
                made = made.or(complete);
            }
            let made = made.expect("all of it was reported");
            assert_eq!((made.pid, made.abilities.has_proc), (7, true));
            assert_eq!(made.status, (created_at == 3).then_some(256), "else the child hears of it");
        }
    }

    #[test]
    fn a_sandbox_that_ends_before_its_program_runs_has_vanished() {
        let mut reports = Reports::default();
        report(&mut reports, Message::Starting).expect("it is one of several");
        let ended = report(&mut reports, Message::Ended { status: 0 });
        assert!(matches!(ended, Err(SpawnError::Vanished)), "{ended:?}");
        let closed = Reports::default().take(None, Received::default());
        assert!(matches!(closed, Err(SpawnError::Vanished)), "{closed:?}");
    }
}
