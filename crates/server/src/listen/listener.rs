//! The accept loop: TCP connections on their way to HTTP. How many, from where, encrypted or not, and how slow they may be.
//!
//! ```text
//! accept loop ── a client (a task each): TLS handshake ── HTTP ── after an upgrade: connection (a task each)
//!             └─ files (a task): certificate and keys are read again when they change
//! ```
//!
//! Every step that waits for a client has its time: the handshake and each head and body `read_timeout`, writes
//! `write_timeout` for what the client takes at `write_rate`. So a client that dawdles loses its connection.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::address_limit::{AddressFull, AddressLimit, AddressPermit};
use super::cut::Cut;
use super::meter::{Metered, ReadMeter};
use super::paced::{Pace, Paced};
use crate::cluster::Cluster;
use crate::observe::Metrics;
use crate::settings::Limits;

/// What hyper's buffer for a head is at least.
const LEAST_HEAD: usize = 8192;
/// Far more than a process has descriptors, and little enough for a semaphore.
const MOST_CONNECTIONS: usize = 1 << 20;

/// Accepts clients.
pub(crate) struct Listener {
    limits: Limits,
    tls: Option<TlsAcceptor>,
    permits: Arc<Semaphore>,
    addresses: Arc<AddressLimit>,
    /// Whose connections are those of all their clients.
    cluster: Option<Arc<Cluster>>,
    metrics: Arc<Metrics>,
}

/// Held as long as a client's TCP connection lives, an upgraded one included.
pub(crate) struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    _of_address: Option<AddressPermit>,
    meter: ReadMeter,
    cut: Cut,
    metrics: Arc<Metrics>,
}

impl ConnectionPermit {
    /// What the connection reads.
    pub(crate) fn meter(&self) -> &ReadMeter {
        &self.meter
    }

    /// What ends the connection.
    pub(crate) fn cut(&self) -> &Cut {
        &self.cut
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.metrics.disconnected();
    }
}

impl Listener {
    pub(crate) fn new(
        limits: Limits,
        tls: Option<TlsAcceptor>,
        metrics: Arc<Metrics>,
        cluster: Option<Arc<Cluster>>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(most_connections(&limits)));
        let addresses = AddressLimit::new(limits.max_connections_per_address);
        Self { limits, tls, permits, addresses, cluster, metrics }
    }

    /// Accepts clients until `stop` is ready. They are notified of the end by `ended`.
    pub(crate) async fn run(
        &self,
        listener: TcpListener,
        router: Router,
        stop: impl Future<Output = ()>,
        ended: &watch::Receiver<bool>,
    ) {
        let mut stop = pin!(stop);
        loop {
            let permit = tokio::select! {
                () = &mut stop => break,
                permit = Arc::clone(&self.permits).acquire_owned() => permit.expect("the semaphore is never closed"),
            };
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, from)) => {
                    let Ok(of_address) = self.permit(from.ip()) else {
                        tracing::warn!(address = %from.ip(), "too many connections from one address (--max-connections-per-address)");
                        self.metrics.limit_hit("LimitExceeded.Connections");
                        continue;
                    };
                    self.metrics.connected();
                    let (metrics, meter, cut) = (Arc::clone(&self.metrics), ReadMeter::default(), Cut::default());
                    let permit = ConnectionPermit {
                        _permit: permit,
                        _of_address: of_address,
                        meter: meter.clone(),
                        cut: cut.clone(),
                        metrics,
                    };
                    let router = router.clone().layer(Extension(Arc::new(permit)));
                    let client = Client { limits: self.limits.clone(), router, ended: ended.clone(), meter, cut };
                    tokio::spawn(client.handle(socket, self.tls.clone()));
                }
                // The client has gone again, or descriptors have run out: neither is cured by trying at once.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// The place of a connection from this address. Another server of the cluster passes on those of all its clients, and
    /// gets three quarters of all: its machine may have others on it, which must not keep everybody else away.
    fn permit(&self, address: IpAddr) -> Result<Option<AddressPermit>, AddressFull> {
        self.addresses.permit(address).or_else(|full| {
            let is_peer = self.cluster.as_ref().is_some_and(|cluster| cluster.is_peer(address.to_canonical()));
            let most = most_connections(&self.limits) / 4 * 3;
            if is_peer { self.addresses.permit_up_to(most, address) } else { Err(full) }
        })
    }

    /// Ready when the last client has gone.
    pub(crate) async fn is_empty(&self) {
        let all = u32::try_from(most_connections(&self.limits)).unwrap_or(u32::MAX);
        drop(self.permits.acquire_many(all).await);
    }
}

fn most_connections(limits: &Limits) -> usize {
    limits.max_connections.clamp(1, MOST_CONNECTIONS)
}

struct Client {
    limits: Limits,
    router: Router,
    ended: watch::Receiver<bool>,
    meter: ReadMeter,
    cut: Cut,
}

impl Client {
    async fn handle(self, socket: TcpStream, tls: Option<TlsAcceptor>) {
        // Chunks are small and must not wait for each other.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        let pace = Pace { time: self.limits.write_timeout, per_minute: self.limits.write_rate };
        let socket = Metered::new(Paced::new(socket, pace, self.cut.clone()), self.meter.clone());
        let Some(tls) = tls else { return self.serve(socket).await };
        match tokio::time::timeout(self.limits.read_timeout, tls.accept(socket)).await {
            Ok(Ok(socket)) => self.serve(socket).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake broke off"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn serve(mut self, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.read_timeout)
            .max_headers(self.limits.max_headers)
            .max_buf_size(self.limits.max_head.max(LEAST_HEAD))
            .serve_connection(TokioIo::new(socket), TowerToHyperService::new(self.router))
            .with_upgrades();
        let mut connection = pin!(connection);
        // The flag is set once; a sender that is gone says the same.
        let ending = async { drop(self.ended.wait_for(|ended| *ended).await) };
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = ending => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "an HTTP connection broke");
        }
    }
}
