//! A sandbox with a program in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::network::SharedNetwork;
use crate::plan::{MAX_MESSAGE, Message, order};
use crate::processes::SharedProcesses;
use crate::reports::Abilities;
use crate::sys::socket;
use crate::watch::Watch;
use crate::watched::Watched;
use crate::{Exceeded, SpawnError};

/// A sandbox. Its descriptor becomes readable when nothing of it runs any more, so an event loop can wait for that.
///
/// It ends when its program does, with everything that the program has started, unless that is to
/// [go on](crate::Command::keep_background). Dropping this ends it, too.
#[derive(Debug)]
pub struct Child {
    watched: Arc<Watched>,
    /// Where it is ended.
    watch: Arc<Watch>,
    pid: i32,
    abilities: Abilities,
    status: Option<ExitStatus>,
    /// Signals that were ordered and are not known to be sent.
    ordered: AtomicU32,
    /// Which goes with the last sandbox of its session.
    network: Option<Arc<SharedNetwork>>,
    /// What it has in common with others, which goes with their session.
    processes: Option<Arc<SharedProcesses>>,
    /// The nursery that it was copied from, whose end would be this one's.
    _nursery: Option<Arc<Child>>,
}

/// What is known of a program's end, apart from its sandbox's; see [`Child::program_end`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramEnd {
    /// It runs. Ask again when [`Child::events`] is readable.
    NotYet,
    /// It has ended so.
    Ended(ExitStatus),
    /// Nothing more will be said: the sandbox ends. The [`Child`]'s descriptor tells when that is done, and
    /// [`Child::wait`] how the program ended. [`Child::events`] stays readable from now on.
    WithSandbox,
}

impl Child {
    pub(crate) fn new(
        (watched, watch): (Arc<Watched>, Arc<Watch>),
        pid: i32,
        abilities: Abilities,
        status: Option<i32>,
        network: Option<Arc<SharedNetwork>>,
        nursery: Option<Arc<Child>>,
    ) -> Self {
        let (status, ordered) = (status.map(ExitStatus::from_raw), AtomicU32::new(0));
        let processes = None;
        Self { watched, watch, pid, abilities, status, ordered, network, processes, _nursery: nursery }
    }

    /// The same in a process table.
    pub(crate) fn among_others(mut self, processes: Arc<SharedProcesses>) -> Self {
        self.processes = Some(processes);
        self
    }

    pub(crate) fn network(&self) -> Option<&Arc<SharedNetwork>> {
        self.network.as_ref()
    }

    /// Whether its processes and those of its session's other commands see each other
    /// ([`Command::share_processes`](crate::Command::share_processes)).
    #[must_use]
    pub fn shares_processes(&self) -> bool {
        self.processes.is_some()
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.watched
    }

    /// The limit for which the sandbox was killed, if it was for one.
    #[must_use]
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.watched.exceeded()
    }

    /// The limit that its session was above when it started, if it was: the program can only remove files.
    #[must_use]
    pub fn only_removes(&self) -> Option<Exceeded> {
        self.watched.only_removes
    }

    /// Says that the program is about to begin something: its session's use of memory and disk is looked at soon.
    pub fn stir(&self) {
        self.watched.stir();
    }

    /// The program's process number as this process sees it. It may mean another process once the program has ended:
    /// for looking, as in `/proc`. Signals go by [`signal_group`](Self::signal_group).
    #[must_use]
    pub fn id(&self) -> i32 {
        self.pid
    }

    /// Whether there is a `/proc` inside. Container runtimes that hide parts of theirs keep sandboxes from having one.
    #[must_use]
    pub fn has_proc(&self) -> bool {
        self.abilities.has_proc
    }

    /// Whether the program can change the modes and times of its session's files. At the level `landlock` without root, that
    /// takes a kernel and, in a container, a runtime that let a filter of system calls ask another process.
    #[must_use]
    pub fn changes_files(&self) -> bool {
        self.abilities.changes_files
    }

    /// Sends a signal to the program's process group, as a terminal's Ctrl-C does. An error means that the sandbox
    /// has ended, or that this is not one of the signals with a name;
    /// [`WouldBlock`](io::ErrorKind::WouldBlock): many are under way already, so send it a little later.
    ///
    /// The sandbox's first process does it, so the signal never meets a process that has got the number meanwhile. It
    /// does it soon: [`signals_are_sent`](Self::signals_are_sent) tells when.
    pub fn signal_group(&self, signal: i32) -> io::Result<()> {
        let signal = u8::try_from(signal).ok().filter(|_| Signal::from_named_raw(signal).is_some());
        let signal = signal.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        socket::send_now(self.watched.control.as_fd(), &order(signal), &[])?;
        self.ordered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Whether every signal so far is on its way to the program, asked without waiting. Until then one may still meet
    /// what the program does next. A sandbox that has ended is sent no more.
    pub fn signals_are_sent(&mut self) -> bool {
        while *self.ordered.get_mut() > 0 && self.status.is_none() {
            match self.next_message() {
                Ok(Message::Signalled) => *self.ordered.get_mut() -= 1,
                Ok(Message::Ended { status }) => self.status = Some(ExitStatus::from_raw(status)),
                Ok(_) => {}
                Err(_) => return self.await_end(Duration::ZERO).unwrap_or(true),
            }
        }
        true
    }

    /// Kills everything in the sandbox. [`wait`](Self::wait) says when that is done; it takes milliseconds.
    pub fn kill_all(&self) {
        self.watch.end(&self.watched);
    }

    /// How the program has ended, if it has: asked without waiting, and of use where others
    /// [go on](crate::Command::keep_background) in the sandbox. [`events`](Self::events) says when to ask.
    pub fn program_end(&mut self) -> ProgramEnd {
        loop {
            if let Some(status) = self.status {
                return ProgramEnd::Ended(status);
            }
            match self.next_message() {
                Ok(Message::Ended { status }) => self.status = Some(ExitStatus::from_raw(status)),
                Ok(Message::Signalled) => *self.ordered.get_mut() = self.ordered.get_mut().saturating_sub(1),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return ProgramEnd::NotYet,
                Err(_) => return ProgramEnd::WithSandbox,
            }
        }
    }

    /// Readable when [`program_end`](Self::program_end) is to be asked.
    #[must_use]
    pub fn events(&self) -> BorrowedFd<'_> {
        self.watched.control.as_fd()
    }

    /// Waits until nothing of the sandbox runs any more, and says how the program ended; if it was not the program
    /// that ended the sandbox: by SIGKILL.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        while !socket::wait_readable([self.watched.init.as_fd()], None)?[0] {}
        Ok(self.last_status())
    }

    /// [`wait`](Self::wait), but no longer than this; `None`: it still runs.
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        Ok(self.await_end(timeout)?.then(|| self.last_status()))
    }

    /// [`wait_timeout`](Self::wait_timeout) of a trial, which may also fail on its way.
    pub(crate) fn finish(&mut self, timeout: Duration) -> Result<Option<ExitStatus>, SpawnError> {
        if !self.await_end(timeout).unwrap_or(false) {
            return Ok(None);
        }
        let mut failure = None;
        while let Ok(message) = self.next_message() {
            match message {
                Message::Failed { stage, errno, detail } => {
                    failure = Some(SpawnError::Failed { stage, errno, detail });
                }
                Message::Ended { status } => self.status = Some(ExitStatus::from_raw(status)),
                _ => {}
            }
        }
        failure.map_or(Ok(self.status), Err)
    }

    fn await_end(&self, timeout: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if socket::wait_readable([self.watched.init.as_fd()], Some(left))?[0] {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }

    fn last_status(&mut self) -> ExitStatus {
        while self.status.is_none() {
            match self.next_message() {
                Ok(Message::Ended { status }) => self.status = Some(ExitStatus::from_raw(status)),
                Ok(_) => {}
                Err(_) => self.status = Some(ExitStatus::from_raw(libc::SIGKILL)),
            }
        }
        self.status.expect("the loop above goes on until it is there")
    }

    /// What the sandbox said next. `WouldBlock`: nothing now; any other error: nothing any more.
    fn next_message(&self) -> io::Result<Message> {
        let mut buffer = [0; MAX_MESSAGE];
        let received = socket::receive(self.watched.control.as_fd(), &mut buffer, false)?;
        Message::decode(&buffer[..received.len]).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.watch.end(&self.watched);
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.init.as_fd()
    }
}
