//! The ports of a session: how many connections are open, and the sockets of its network that wait for one.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use hyper::client::conn::http1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;

/// The ports of a session.
#[derive(Debug)]
pub(crate) struct Ports {
    most: usize,
    connections: Arc<Semaphore>,
    /// Not connected yet. `None`: the session is being released.
    spare: Mutex<Option<Spare>>,
    /// Connections to programs that take another request, the oldest first. `None`: the session is being released.
    idle: Mutex<Option<Vec<(u16, ProgramConnection)>>>,
    /// Held while some are made: who waits for it finds them then.
    pub(super) making: tokio::sync::Mutex<()>,
}

/// A connection to a program of the session, over which requests are sent.
pub(crate) type ProgramConnection = http1::SendRequest<Body>;

/// Idle connections of a session that are kept. Browsers open six to a host; 16 are those of several pages. A program
/// closes what it does not want to keep.
const MOST_IDLE: usize = 16;

/// Sockets of one network.
#[derive(Debug, Default)]
struct Spare {
    network: u64,
    sockets: Vec<OwnedFd>,
}

/// So many connections to ports of the session are open.
#[derive(Debug)]
pub(crate) struct PortsTaken(pub(crate) usize);

impl Ports {
    /// With so many connections at once.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            most,
            connections: Arc::new(Semaphore::new(most)),
            spare: Mutex::new(Some(Spare::default())),
            idle: Mutex::new(Some(Vec::new())),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// A connection is to be opened; held as long as it lasts.
    pub(crate) fn permit(&self) -> Result<OwnedSemaphorePermit, PortsTaken> {
        Arc::clone(&self.connections).try_acquire_owned().map_err(|_| PortsTaken(self.most))
    }

    /// The session is being released: nothing of its network is kept.
    pub(super) fn close(&self) {
        *self.spare() = None;
        *self.idle() = None;
    }

    /// A connection to this port that takes another request.
    pub(crate) fn take_idle(&self, port: u16) -> Option<ProgramConnection> {
        let mut idle = self.idle();
        let idle = idle.as_mut()?;
        idle.retain(|(_, connection)| !connection.is_closed());
        let at = idle.iter().rposition(|(known, connection)| *known == port && connection.is_ready())?;
        Some(idle.remove(at).1)
    }

    /// Keeps a connection for another request, unless the session is being released.
    pub(crate) fn keep_idle(&self, port: u16, connection: ProgramConnection) {
        if let Some(idle) = &mut *self.idle() {
            if idle.len() >= MOST_IDLE {
                idle.remove(0);
            }
            idle.push((port, connection));
        }
    }

    /// A socket that is ready, and the network that it is of.
    pub(super) fn take(&self) -> Option<(u64, OwnedFd)> {
        let mut spare = self.spare();
        let spare = spare.as_mut()?;
        Some((spare.network, spare.sockets.pop()?))
    }

    /// Keeps sockets of a network, unless the session is being released.
    pub(super) fn keep(&self, network: u64, sockets: Vec<OwnedFd>) {
        if let Some(spare) = &mut *self.spare() {
            *spare = Spare { network, sockets };
        }
    }

    /// That network is gone, and its sockets with it.
    pub(super) fn discard(&self, network: u64) {
        if let Some(spare) = &mut *self.spare()
            && spare.network == network
        {
            spare.sockets.clear();
        }
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<(u16, ProgramConnection)>>> {
        // Each change under the lock is a single step.
        lock(&self.idle)
    }

    fn spare(&self) -> MutexGuard<'_, Option<Spare>> {
        // Each change under the lock is a single step.
        lock(&self.spare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_sockets_go_with_their_network_and_their_session() {
        let ports = Ports::new(1);
        let keep = |network| {
            let (socket, _) = std::os::unix::net::UnixStream::pair().expect("there are sockets");
            ports.keep(network, vec![socket.into()]);
        };
        keep(1);
        ports.discard(2);
        assert_eq!(ports.take().map(|(network, _)| network), Some(1));
        keep(1);
        ports.discard(1);
        assert!(ports.take().is_none());
        keep(3);
        ports.close();
        keep(3);
        assert!(ports.take().is_none(), "what is made during a release is not kept");
    }

    #[test]
    fn connections_are_counted() {
        let ports = Ports::new(2);
        let held = (ports.permit().expect("the first"), ports.permit().expect("the second"));
        assert!(matches!(ports.permit(), Err(PortsTaken(2))));
        drop(held.0);
        drop(ports.permit().expect("one has gone"));
    }
}
