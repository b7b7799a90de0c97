//! Connections to the ports that programs of a session listen on.
//!
//! They are made with sockets of the session's own network, which a short-lived process makes some at a time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Session;
use crate::workspace::sandboxes::Slot;

/// The ports of a session.
#[derive(Debug)]
pub(crate) struct Ports {
    most: usize,
    connections: Arc<Semaphore>,
    /// Not connected yet. `None`: the session is being released.
    spare: Mutex<Option<Spare>>,
    /// Held while some are made: who waits for it finds them then.
    making: tokio::sync::Mutex<()>,
}

/// Sockets of one network.
#[derive(Debug, Default)]
struct Spare {
    network: u64,
    sockets: Vec<OwnedFd>,
}

/// So many connections to ports of the session are open.
#[derive(Debug)]
pub(crate) struct PortsTaken(pub(crate) usize);

/// How long a program of the session may take to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(10);

impl Ports {
    /// With so many connections at once.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            most,
            connections: Arc::new(Semaphore::new(most)),
            spare: Mutex::new(Some(Spare::default())),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// A connection is to be opened; held as long as it lasts.
    pub(crate) fn permit(&self) -> Result<OwnedSemaphorePermit, PortsTaken> {
        Arc::clone(&self.connections).try_acquire_owned().map_err(|_| PortsTaken(self.most))
    }

    /// Connects to a port of the session, whose ports these are. `ConnectionRefused` or `NotFound`: nothing listens there.
    pub(crate) async fn connect(&self, session: &Arc<Session>, port: u16) -> io::Result<TcpStream> {
        if let Some((network, socket)) = self.take() {
            let dialled = dial(socket, port).await;
            // The network may be gone with its last sandbox: then there is a new one.
            if dialled.is_ok() || in_slot(session, Slot::network).await.is_ok_and(|now| now == network) {
                return dialled;
            }
            self.discard(network);
        }
        dial(self.make(session).await?, port).await
    }

    /// The session is being released: nothing of its network is kept.
    pub(super) fn close(&self) {
        *self.spare() = None;
    }

    async fn make(&self, session: &Arc<Session>) -> io::Result<OwnedFd> {
        let _making = self.making.lock().await;
        if let Some((_, made_meanwhile)) = self.take() {
            return Ok(made_meanwhile);
        }
        let make = |slot: &Slot| Ok((slot.network()?, slot.sockets()?));
        let (network, mut sockets) = in_slot(session, make).await?;
        let first = sockets.pop().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if let Some(spare) = &mut *self.spare() {
            *spare = Spare { network, sockets };
        }
        Ok(first)
    }

    fn take(&self) -> Option<(u64, OwnedFd)> {
        let mut spare = self.spare();
        let spare = spare.as_mut()?;
        Some((spare.network, spare.sockets.pop()?))
    }

    fn discard(&self, network: u64) {
        if let Some(spare) = &mut *self.spare()
            && spare.network == network
        {
            spare.sockets.clear();
        }
    }

    fn spare(&self) -> MutexGuard<'_, Option<Spare>> {
        // Each change under the lock is a single step.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn dial(socket: OwnedFd, port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let connected = timeout(CONNECT_TIME, socket.connect(address)).await;
    let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Does something with the slot of a session, off the runtime's threads.
async fn in_slot<T: Send + 'static>(
    session: &Arc<Session>,
    work: impl FnOnce(&Slot) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let session = Arc::clone(session);
    let done = tokio::task::spawn_blocking(move || {
        let room = session.room().map_err(|failure| io::Error::other(failure.value))?;
        work(room.slot())
    });
    done.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_sockets_go_with_their_network_and_their_session() {
        let ports = Ports::new(1);
        let keep = |network| {
            let (socket, _) = std::os::unix::net::UnixStream::pair().expect("there are sockets");
            let sockets = vec![socket.into()];
            if let Some(spare) = &mut *ports.spare() {
                *spare = Spare { network, sockets };
            }
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
