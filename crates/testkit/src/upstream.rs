//! A service that speaks part 1 of the wire and misbehaves as a script says: for whoever stands in front of one.
//!
//! It has the calls that make, describe and release a session, and one WebSocket a session. Nothing is executed: the code of
//! a run is its [`Script`], so that each run of a test has faults of its own. How HTTP calls and handshakes are answered is
//! set for all of them, see [`Upstream::set_answers`] and [`Upstream::set_handshakes`].

mod calls;
mod script;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::load::http::Head;
use crate::serve::{lock, serve};
pub use script::Script;

/// The token of every session. Whoever stands in front of the service shows it to nobody.
pub const TOKEN: &str = "upstream-token-0123456789abcdef";

/// A service that runs until it is dropped, and every connection with it.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<io::Result<()>>,
}

/// How an HTTP call is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    /// As the documentation says.
    #[default]
    Right,
    /// With this status, content type and body.
    Text(u16, &'static str, String),
    /// Rightly, but so much later.
    Late(Duration),
    /// Not at all: the connection is held.
    Never,
    /// The connection is closed before a byte of the answer, or in the middle of it.
    Cut {
        /// After so many bytes.
        after: usize,
    },
    /// With a body that does not end.
    Endless,
}

/// How a WebSocket's handshake is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handshakes {
    /// The connection becomes a WebSocket.
    #[default]
    Right,
    /// It is refused with this status.
    Refused(u16),
    /// It is not answered, and the connection is held.
    Never,
    /// The connection is closed.
    Cut,
}

/// What has been seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The values of `Authorization`, a call after the other.
    pub keys: Vec<String>,
    /// The values of `X-Access-Token`, a handshake after the other.
    pub tokens: Vec<String>,
    /// The invocation ids of the runs that were started, in order.
    pub starts: Vec<String>,
    /// Sessions that were released.
    pub released: Vec<String>,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<Answers>,
    handshakes: Mutex<Handshakes>,
    seen: Mutex<Seen>,
}

impl Upstream {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(serve(listener, {
            let shared = Arc::clone(&shared);
            move |socket| converse(socket, Arc::clone(&shared))
        }));
        Ok(Self { address, shared, task })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How calls to come are answered.
    pub fn set_answers(&self, answers: Answers) {
        *lock(&self.shared.answers) = answers;
    }

    /// How handshakes to come are answered.
    pub fn set_handshakes(&self, handshakes: Handshakes) {
        *lock(&self.shared.handshakes) = handshakes;
    }

    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        lock(&self.shared.seen).clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection: HTTP calls, until it ends or becomes a WebSocket. A client that goes away is not an error.
async fn converse(mut socket: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Ok(Some(head)) = Head::read(&mut socket, &mut buffer).await {
        if head.websocket_key().is_some() {
            return script::serve(socket, buffer, &head, &shared).await;
        }
        if calls::answer(&mut socket, &mut buffer, &head, &shared).await.is_err() {
            return;
        }
    }
}
