//! Connections to the ports that programs of a session listen on.
//!
//! They are made with sockets of the session's own network, which a short-lived process makes some at a time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::Session;
use crate::workspace::sandboxes::Slot;

/// How long a program of the session may take to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(10);

impl Session {
    /// Connects to a port of the session. `ConnectionRefused` or `NotFound`: nothing listens there.
    pub(crate) async fn connect_port(self: &Arc<Self>, port: u16) -> io::Result<TcpStream> {
        if let Some((network, socket)) = self.ports().take() {
            let dialled = dial(socket, port).await;
            // The network may be gone with its last sandbox: then there is a new one.
            if dialled.is_ok() || self.in_slot(Slot::network).await.is_ok_and(|now| now == network) {
                return dialled;
            }
            self.ports().discard(network);
        }
        dial(self.port_socket().await?, port).await
    }

    async fn port_socket(self: &Arc<Self>) -> io::Result<OwnedFd> {
        let _making = self.ports().making.lock().await;
        if let Some((_, made_meanwhile)) = self.ports().take() {
            return Ok(made_meanwhile);
        }
        let (network, mut sockets) = self.in_slot(|slot| Ok((slot.network()?, slot.sockets()?))).await?;
        let first = sockets.pop().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        self.ports().keep(network, sockets);
        Ok(first)
    }

    /// Does something with the session's slot, off the runtime's threads.
    async fn in_slot<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Slot) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let session = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let workspace = session.workspace().map_err(|failure| io::Error::other(failure.value))?;
            work(workspace.slot())
        });
        done.await.map_err(io::Error::other)?
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
