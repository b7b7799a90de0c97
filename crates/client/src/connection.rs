//! A session's one connection, as its handles hold it.

use std::sync::Arc;
use std::task::{Context, Poll};

use agb_core::{Batch, CommandRequest, Instant, Rejected, RunId, RunRequest, Session, State, TerminalSize};

use crate::drive::{Dialer, Follower, Shared};

/// Shared by a session's handles and its runs; the last one to go closes the socket.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
}

impl Connection {
    pub(crate) fn new(session: Session, dialer: Dialer, follower: Follower) -> Arc<Self> {
        Arc::new(Self { shared: Arc::new(Shared::new(session, dialer, follower)) })
    }

    /// Starts a run; gives its id on the wire as well. Opens the socket if there is none; two first runs at once open
    /// one. `stamps` as for [`Session::keep_stamps`].
    pub(crate) fn start(self: &Arc<Self>, request: RunRequest, stamps: bool) -> Result<(RunHandle, String), Rejected> {
        self.begin(stamps, |session, now| session.run(now, request))
    }

    /// Starts a command, likewise.
    pub(crate) fn start_command(
        self: &Arc<Self>,
        request: CommandRequest,
        stamps: bool,
    ) -> Result<(RunHandle, String), Rejected> {
        self.begin(stamps, |session, now| session.run_command(now, request))
    }

    fn begin(
        self: &Arc<Self>,
        stamps: bool,
        begin: impl FnOnce(&mut Session, Instant) -> Result<RunId, Rejected>,
    ) -> Result<(RunHandle, String), Rejected> {
        let (id, invocation) = self.shared.with(|session, now| {
            let id = begin(session, now)?;
            if stamps {
                session.keep_stamps(id);
            }
            Ok((id, session.invocation(id).unwrap_or_default().to_owned()))
        })?;
        Ok((RunHandle::new(self, id), invocation))
    }

    /// Continues a run that was begun elsewhere.
    pub(crate) fn attach(
        self: &Arc<Self>,
        invocation: &str,
        after: u64,
        goes_on: bool,
        stamps: bool,
    ) -> Result<RunHandle, Rejected> {
        let id = self.shared.with(|session, now| {
            let id = session.attach(now, invocation, after)?;
            if goes_on {
                session.keep_going(id);
            }
            if stamps {
                session.keep_stamps(id);
            }
            Ok(id)
        })?;
        Ok(RunHandle::new(self, id))
    }

    /// Ends all runs and closes the socket, for good.
    pub(crate) fn close(&self) {
        self.shared.with(Session::close);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// One run's place on its session's connection.
#[derive(Clone)]
pub(crate) struct RunHandle {
    connection: Arc<Connection>,
    id: RunId,
}

impl RunHandle {
    fn new(connection: &Arc<Connection>, id: RunId) -> Self {
        Self { connection: Arc::clone(connection), id }
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, ahead: bool) -> Poll<Batch> {
        self.connection.shared.poll_read(cx, self.id, ahead)
    }

    pub(crate) fn ack(&self, weight: usize, seq: u64) {
        self.connection.shared.ack(self.id, weight, seq);
    }

    pub(crate) fn cancel(&self) {
        self.connection.shared.with(|session, now| session.cancel(now, self.id));
    }

    pub(crate) fn write(&self, text: Option<&str>) {
        self.connection.shared.with(|session, now| session.write(now, self.id, text));
    }

    pub(crate) fn signal(&self, signal: &str) {
        self.connection.shared.with(|session, now| session.signal(now, self.id, signal));
    }

    pub(crate) fn resize(&self, size: TerminalSize) {
        self.connection.shared.with(|session, now| session.resize(now, self.id, size));
    }

    pub(crate) fn leave(&self) {
        self.connection.shared.with(|session, now| session.leave(now, self.id));
    }

    /// Nobody will read the run.
    pub(crate) fn abandon(&self) {
        self.connection.shared.abandon(self.id);
    }

    /// The session was closed here, for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.connection.shared.with(|session, _| session.state()) == State::Closed
    }
}

impl std::fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RunHandle").field(&self.id).finish()
    }
}
