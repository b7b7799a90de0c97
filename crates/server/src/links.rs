//! Links: names that open one port of one session for a while.
//!
//! ```text
//! client ── /l/<name>/… or https://<name>.<link-domain>/… ──► listen::http::proxy ──► a TCP socket in the session's network
//! ```
//!
//! Invariants:
//! * a name is 128 random bits, in a cluster behind those that name its server; it opens the loopback of one session at one port, and nothing once that session is released;
//! * what is reached is in the session's own network: never a service of the machine.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use crate::cluster::Incarnation;
use crate::lock::lock;
use crate::session::{PortsTaken, Session, Stage, gone};
use crate::settings::LinkSettings;

/// All links of a server.
#[derive(Default)]
pub(crate) struct Links {
    by_name: Mutex<HashMap<String, Link>>,
}

/// A port of a session, for a while.
#[derive(Clone)]
pub(crate) struct Link {
    session: Weak<Session>,
    id: String,
    pub(crate) port: u16,
    expires: Instant,
}

/// Why a link leads nowhere.
#[derive(Debug, Error)]
pub(crate) enum LinkError {
    #[error("the link opens nothing (any more): it has expired, or its session was released; ask for a new one")]
    Gone,
    #[error("nothing in the session listens on port {0}: start a server there, on 127.0.0.1 or 0.0.0.0")]
    NotListening(u16),
    #[error("port {port} of the session could not be reached: {error}")]
    Unreachable { port: u16, error: io::Error },
    #[error(
        "{0} links of this session are in use already: wait for some to expire, let them last shorter (--link-time), or \
         start the server with more --links"
    )]
    TooMany(usize),
    #[error(
        "{0} connections to ports of this session are open already: close one, or start the server with a higher \
         --link-connections"
    )]
    TooManyConnections(usize),
    #[error(
        "the program on port {port} has not begun to answer within {seconds} s: look what it is doing, or start the server \
         with a higher --link-answer-time"
    )]
    NoAnswer { port: u16, seconds: u64 },
}

impl Links {
    /// A new name for a port of a session.
    pub(crate) fn create(
        &self,
        session: &Arc<Session>,
        port: u16,
        settings: &LinkSettings,
    ) -> Result<String, LinkError> {
        let (now, most) = (Instant::now(), settings.per_session);
        let mut by_name = self.by_name();
        by_name.retain(|_, link| link.expires > now && link.session.strong_count() > 0);
        if by_name.values().filter(|link| link.id == session.id()).count() >= most {
            return Err(LinkError::TooMany(most));
        }
        let name = Incarnation::name_beside(session.id());
        let (id, session) = (session.id().to_owned(), Arc::downgrade(session));
        by_name.insert(name.clone(), Link { session, id, port, expires: now + settings.time });
        Ok(name)
    }

    /// The link of this name, with its session.
    pub(crate) fn find(&self, name: &str) -> Result<(Link, Arc<Session>), LinkError> {
        // A name is 128 random bits and the map's hash is keyed: the time that a look takes says nothing of others.
        let link = self.by_name().get(name).cloned().ok_or(LinkError::Gone)?;
        let session = link.session.upgrade().filter(|session| session.stage() == Stage::Running);
        match session {
            Some(session) if link.expires > Instant::now() => Ok((link, session)),
            _ => Err(LinkError::Gone),
        }
    }

    fn by_name(&self) -> MutexGuard<'_, HashMap<String, Link>> {
        // Each change under the lock is a single step.
        lock(&self.by_name)
    }
}

impl Link {
    /// A connection to the port may be used; held as long as it is.
    pub(crate) fn permit(&self, session: &Session) -> Result<OwnedSemaphorePermit, LinkError> {
        session.ports().permit().map_err(|PortsTaken(most)| LinkError::TooManyConnections(most))
    }

    /// Comes when the link opens nothing any more, and so nothing that it has opened may go on.
    pub(crate) fn over(&self, session: &Session) -> impl Future<Output = ()> + Send + use<> {
        let (mut stage, expires) = (session.watch_stage(), self.expires);
        async move {
            tokio::select! {
                () = sleep_until(expires) => {}
                () = gone(&mut stage) => {}
            }
        }
    }

    /// Connects to the port.
    pub(crate) async fn connect(&self, session: &Arc<Session>) -> Result<TcpStream, LinkError> {
        let port = self.port;
        session.connect_port(port).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => LinkError::NotListening(port),
            _ => LinkError::Unreachable { port, error },
        })
    }
}
