//! A service whose runs print as fast as the socket takes it.
//!
//! It speaks the HTTP calls that make and release a session and the WebSocket of the wire protocol, part 1, and of part
//! 2 `resume` (numbers only), `flow` and `cancel`. Nothing is executed: a run's code says what it prints, see
//! [`Workload`]. The session's image says which extensions are announced: `load` none, `load.flow.resume` these two.
//!
//! It is to cost little beside the client that is measured: frames are encoded once and written in blocks of 256 KiB,
//! on one thread. The framing is its own, for that reason, and understands no more than these clients say: no
//! fragments from the client, no compression.

mod connection;
pub(crate) mod http;
mod printing;
mod websocket;
mod workload;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use crate::serve::serve;
use http::{Head, Sessions};
pub use workload::Workload;

/// A load server on a port of this machine.
#[derive(Debug)]
pub struct LoadServer {
    listener: TcpListener,
    sessions: Arc<Sessions>,
}

impl LoadServer {
    /// Listens on `address`.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, sessions: Arc::default() })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped, and every connection with it.
    ///
    /// # Errors
    /// When no more connections can be accepted.
    pub async fn serve(self) -> io::Result<()> {
        serve(self.listener, |socket| converse(socket, Arc::clone(&self.sessions))).await
    }
}

/// One connection: HTTP calls, until it ends or becomes a WebSocket. A client that goes away is not an error.
async fn converse(mut socket: TcpStream, sessions: Arc<Sessions>) {
    // Each write is a whole block; waiting to fill a packet would only delay it.
    let _ = socket.set_nodelay(true);
    let mut buffer = Vec::new();
    loop {
        let Ok(Some(head)) = Head::read(&mut socket, &mut buffer).await else { return };
        if let Some(key) = head.websocket_key() {
            if websocket::accept(&mut socket, key, head.websocket_protocols()).await.is_ok() {
                connection::run(socket, buffer).await;
            }
            return;
        }
        if sessions.answer(&mut socket, &mut buffer, &head).await.is_err() {
            return;
        }
    }
}
