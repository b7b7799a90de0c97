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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use connection::Mode;
pub use schedule::{Fault, Plan, Schedule};

/// A proxy that runs until it is dropped, and every connection with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Connections of clients.
    pub connections: u64,
    /// Those of them that asked for a WebSocket.
    pub upgrades: u64,
    /// Upgrades that were refused.
    pub refused: u64,
    /// Connections that were cut.
    pub cut: u64,
    /// Connections that went silent.
    pub silenced: u64,
    /// Connections that stood still for a while.
    pub stalled: u64,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    upgrades: AtomicU64,
    plain: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    silenced: AtomicU64,
    stalled: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    schedule: Mutex<Schedule>,
    counters: Counters,
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
            counters: Counters::default(),
            modes: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
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
        let counters = &self.shared.counters;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            connections: of(&counters.connections),
            upgrades: of(&counters.upgrades),
            refused: of(&counters.refused),
            cut: of(&counters.cut),
            silenced: of(&counters.silenced),
            stalled: of(&counters.stalled),
        }
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

impl Counters {
    fn count(&self, mode: Mode) {
        let counter = match mode {
            Mode::Flowing => return,
            Mode::Stalled(_) => &self.stalled,
            Mode::Silent => &self.silenced,
            Mode::Cut { .. } => &self.cut,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(converse(client, Arc::clone(&shared)));
    }
}

async fn converse(mut client: TcpStream, shared: Arc<Shared>) {
    let counters = &shared.counters;
    counters.connections.fetch_add(1, Ordering::Relaxed);
    let Ok(head) = connection::read_head(&mut client).await else { return };
    let is_websocket = connection::asks_for_websocket(&head);
    let place = match is_websocket {
        true => counters.upgrades.fetch_add(1, Ordering::Relaxed),
        false => counters.plain.fetch_add(1, Ordering::Relaxed),
    };
    let plan = lock(&shared.schedule).plan(place, is_websocket);
    if let Some(Fault::Refuse { status }) = plan.fault {
        counters.refused.fetch_add(1, Ordering::Relaxed);
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
    connection::pass(client, server, head, plan, (sender, mode), |mode| counters.count(mode)).await;
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
