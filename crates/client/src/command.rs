//! Shell commands of a session, followed as runs.

use std::time::Duration;

use agb_core::operations::CommandInfo;
use agb_core::{CommandRequest, TerminalSize};

use crate::code::AttachBuilder;
use crate::error::Error;
use crate::run::{Retention, Run};
use crate::session::Session;

/// The commands of a session; see [`Session::commands`].
#[derive(Clone, Copy, Debug)]
pub struct Commands<'a> {
    session: &'a Session,
}

impl<'a> Commands<'a> {
    pub(crate) const fn new(session: &'a Session) -> Self {
        Self { session }
    }

    /// Prepares a command for a shell of its own, to be followed as a run.
    pub fn run(self, command: impl Into<String>) -> CommandBuilder<'a> {
        let request = CommandRequest {
            command: command.into(),
            timeout: Some(CommandBuilder::DEFAULT_TIMEOUT),
            ..CommandRequest::default()
        };
        CommandBuilder { session: self.session, request, retention: Retention::default() }
    }

    /// Follows a command that was begun elsewhere, while the service keeps it: everything behind its event number `after`
    /// comes, from 0 on all of it that the service still has. Dropping the run leaves the command, which goes on.
    pub fn attach(self, id: impl Into<String>, after: u64) -> AttachBuilder<'a> {
        AttachBuilder::new(self.session, id.into(), after, true)
    }

    /// The commands that can be attached to: those that run, and those that have ended and are kept.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn list(self) -> Result<Vec<CommandInfo>, Error> {
        Ok(self.session.perform(CommandInfo::list).await?.value)
    }
}

/// A command that has not been started.
#[derive(Clone, Debug)]
#[must_use = "a command that is not streamed does nothing"]
pub struct CommandBuilder<'a> {
    session: &'a Session,
    request: CommandRequest,
    retention: Retention,
}

impl CommandBuilder<'_> {
    /// As of a program.
    const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

    /// How long it may run: 60 s unless said; with a terminal or detached, as long as the service lets anything run.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout = Some(timeout);
        self
    }

    /// No time limit but the service's own.
    pub const fn without_timeout(mut self) -> Self {
        self.request.timeout = None;
        self
    }

    /// Where it starts: the session's own folder unless said.
    pub fn cwd(mut self, dir: impl Into<String>) -> Self {
        self.request.cwd = Some(dir.into());
        self
    }

    /// An environment variable beside those of the session.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.envs.push((name.into(), value.into()));
        self
    }

    /// Whether you write its input ([`Run::write`]): you do not unless you say so, and it finds its input at its end.
    pub const fn stdin(mut self, writes: bool) -> Self {
        self.request.stdin = writes;
        self
    }

    /// Gives it a terminal of this size, in characters: what it shows is one stream then, standard output.
    pub const fn pty(mut self, cols: u16, rows: u16) -> Self {
        self.request.terminal = Some(TerminalSize { cols, rows });
        self.request.stdin = true;
        self.without_timeout()
    }

    /// It goes on when the run is dropped and the client has gone, until it ends or its session does. What nobody reads is
    /// kept as far as the service has room, then dropped, with its size ([`RunEvent::OutputDropped`]).
    ///
    /// [`RunEvent::OutputDropped`]: crate::RunEvent::OutputDropped
    pub const fn detached(mut self) -> Self {
        self.request.detached = true;
        self.without_timeout()
    }

    /// As [`RunBuilder::log_limit`](crate::RunBuilder::log_limit).
    pub const fn log_limit(mut self, bytes: usize) -> Self {
        self.retention.log = bytes;
        self
    }

    /// As [`RunBuilder::stamps`](crate::RunBuilder::stamps).
    pub const fn stamps(mut self, keep: bool) -> Self {
        self.retention.stamps = keep;
        self
    }

    /// Starts it. Dropping the run stops the command, unless it is [detached](Self::detached).
    ///
    /// # Errors
    /// [`Error::NoStreaming`], [`Error::Rejected`]: nothing has been sent. The service does not offer to follow commands, for
    /// one; [`Session::execute`] does it there.
    pub fn stream(self) -> Result<Run, Error> {
        self.session.start_command(self.request, self.retention)
    }
}
