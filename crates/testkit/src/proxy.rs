//! A TCP proxy with faults, to put between a real client and a real server.
//!
//! Faults come on a [`Schedule`]: from its seed and a connection's place it follows what will happen to that connection
//! and after how many bytes, whatever the timing, so a run that failed can be run again. Beside that a test can break
//! things at a moment of its own: [`Proxy::cut`], [`Proxy::silence`], [`Proxy::stall`].
//!
//! Only WebSockets are harmed, unless the schedule says otherwise: a connection's first bytes tell which it is. The
//! server must build `wsUrl` from the request's `Host`, as ours does, so that the client comes this way again.

mod connection;
mod schedule;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::serve::{lock, serve};
use connection::Mode;
pub use schedule::{Fault, Plan, Schedule};

/// A proxy that runs until it is dropped, and every connection with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<io::Result<()>>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Connections of clients.
    pub connections: u64,
    /// Those of them that asked for a WebSocket.
    pub upgrades: u64,
    /// Those that asked for something else.
    pub plain: u64,
    /// Upgrades that were refused.
    pub refused: u64,
    /// Connections that were cut.
    pub cut: u64,
    /// Connections that went silent.
    pub silenced: u64,
    /// Connections that stood still for a while.
    pub stalled: u64,
}

impl Tally {
    fn count(&mut self, mode: Mode) {
        match mode {
            Mode::Flowing => {}
            Mode::Stalled(_) => self.stalled += 1,
            Mode::Silent => self.silenced += 1,
            Mode::Cut { .. } => self.cut += 1,
        }
    }
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    schedule: Mutex<Schedule>,
    tally: Mutex<Tally>,
    /// The connections that can be harmed. Those that are over have nobody listening.
    modes: Mutex<Vec<watch::Sender<Mode>>>,
}

impl Proxy {
    /// Listens on a free port of this machine and passes everything to `upstream`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: SocketAddr, schedule: Schedule) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            schedule: Mutex::new(schedule),
            tally: Mutex::default(),
            modes: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, {
            let shared = Arc::clone(&shared);
            move |client| converse(client, Arc::clone(&shared))
        }));
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has happened so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        *lock(&self.shared.tally)
    }

    /// Another schedule for connections to come.
    pub fn set_schedule(&self, schedule: Schedule) {
        *lock(&self.shared.schedule) = schedule;
    }

    /// Cuts all WebSockets; with `reset`, so that what is on its way is lost.
    pub fn cut(&self, reset: bool) {
        self.shared.put_all(Mode::Cut { reset });
    }

    /// From now on nothing passes over the WebSockets there are, and nobody is told: they are half-open.
    pub fn silence(&self) {
        self.shared.put_all(Mode::Silent);
    }

    /// Nothing passes over the WebSockets there are for so long.
    pub fn stall(&self, time: Duration) {
        self.shared.put_all(Mode::Stalled(time));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn put_all(&self, mode: Mode) {
        lock(&self.modes).retain(|connection| connection.send(mode).is_ok());
    }
}

async fn converse(mut client: TcpStream, shared: Arc<Shared>) {
    lock(&shared.tally).connections += 1;
    let Ok(head) = connection::read_head(&mut client).await else { return };
    let is_websocket = connection::asks_for_websocket(&head);
    let place = {
        let mut tally = lock(&shared.tally);
        let count = if is_websocket { &mut tally.upgrades } else { &mut tally.plain };
        *count += 1;
        *count - 1
    };
    let plan = lock(&shared.schedule).plan(place, is_websocket);
    if let Some(Fault::Refuse { status }) = plan.fault {
        lock(&shared.tally).refused += 1;
        // The client may be gone, which is all the same.
        let _ = connection::refuse(&mut client, status).await;
        return;
    }
    let Ok(server) = TcpStream::connect(shared.upstream).await else { return };
    let (sender, mode) = watch::channel(Mode::Flowing);
    if is_websocket {
        let mut modes = lock(&shared.modes);
        modes.retain(|connection| connection.receiver_count() > 0);
        modes.push(sender.clone());
    }
    connection::pass(client, server, head, plan, (sender, mode), |mode| lock(&shared.tally).count(mode)).await;
}
