//! A session's one connection, as its handles hold it.

use std::sync::Arc;

use agb_core::{Rejected, RunRequest, Session};

use crate::drive::{Dialer, Follower, Shared};
use crate::run::{Kept, Run};

/// Shared by a session's handles and its runs; the last one to go closes the socket.
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

impl Connection {
    pub(crate) fn new(session: Session, dialer: Dialer, follower: Follower) -> Arc<Self> {
        Arc::new(Self { shared: Arc::new(Shared::new(session, dialer, follower)) })
    }

    /// Starts a run. Opens the socket if there is none; two first runs at once open one.
    pub(crate) fn start(self: &Arc<Self>, request: RunRequest, kept: Kept) -> Result<Run, Rejected> {
        let (id, invocation) = self.shared.with(|session, now| {
            let id = session.run(now, request)?;
            kept.tell(session, id);
            Ok((id, session.invocation(id).unwrap_or_default().to_owned()))
        })?;
        Ok(Run::new(Arc::clone(self), id, invocation, kept))
    }

    /// Continues a run that was begun elsewhere.
    pub(crate) fn attach(self: &Arc<Self>, invocation: &str, after: u64, kept: Kept) -> Result<Run, Rejected> {
        let id = self.shared.with(|session, now| {
            let id = session.attach(now, invocation, after)?;
            kept.tell(session, id);
            Ok(id)
        })?;
        Ok(Run::new(Arc::clone(self), id, invocation.to_owned(), kept))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
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
