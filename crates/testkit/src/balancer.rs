//! A round-robin load balancer of TCP connections, as plain as they come: it knows nothing of sessions.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::serve::{lock, serve};

/// A balancer that runs until it is dropped, and every connection with it.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    servers: Arc<Mutex<Servers>>,
    task: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Servers {
    all: Vec<SocketAddr>,
    next: usize,
}

impl Balancer {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(servers: Vec<SocketAddr>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let servers = Arc::new(Mutex::new(Servers { all: servers, next: 0 }));
        let known = Arc::clone(&servers);
        let task = tokio::spawn(serve(listener, move |client| {
            let order = lock(&known).in_turn();
            pass(client, order)
        }));
        Ok(Self { address, servers, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections to come go to these servers.
    pub fn set_servers(&self, servers: Vec<SocketAddr>) {
        lock(&self.servers).all = servers;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Servers {
    /// All of them, each time another one first.
    fn in_turn(&mut self) -> Vec<SocketAddr> {
        let mut order = self.all.clone();
        if !order.is_empty() {
            order.rotate_left(self.next % self.all.len());
            self.next = self.next.wrapping_add(1);
        }
        order
    }
}

/// Passes everything to the first server that can be reached.
async fn pass(mut client: TcpStream, order: Vec<SocketAddr>) {
    for server in order {
        let Ok(mut server) = TcpStream::connect(server).await else { continue };
        for socket in [&client, &server] {
            let _ = socket.set_nodelay(true); // only slower without
        }
        // An error is an end like any other: both connections are closed.
        let _ = copy_bidirectional(&mut client, &mut server).await;
        return;
    }
}
