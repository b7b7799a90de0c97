//! The door: TCP connections on their way to HTTP. How many, from where, encrypted or not, and how slow they may be.
//!
//! ```text
//! accept loop ── a client (a task each): TLS handshake ── HTTP ── after an upgrade: connection (a task each)
//!             └─ files (a task): certificate and keys are read again when they change
//! ```
//!
//! Every step that waits for a client has its time: the handshake and each head and body `read_timeout`, each write
//! `write_timeout`. So a client that dawdles loses its seat.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use crate::config::Limits;
use crate::metrics::Metrics;

/// Where clients come in.
pub(crate) struct Door {
    limits: Limits,
    tls: Option<TlsAcceptor>,
    seats: Arc<Semaphore>,
    guests: Arc<Guests>,
    metrics: Arc<Metrics>,
}

/// Held as long as a client's TCP connection lives, an upgraded one included.
pub(crate) struct Seat {
    _seat: OwnedSemaphorePermit,
    _guest: Option<Guest>,
    metrics: Arc<Metrics>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.metrics.disconnected();
    }
}

impl Door {
    pub(crate) fn new(limits: Limits, tls: Option<TlsAcceptor>, metrics: Arc<Metrics>) -> Self {
        let seats = Arc::new(Semaphore::new(limits.max_connections));
        let guests = Arc::new(Guests { most: limits.max_connections_per_address, seated: Mutex::default() });
        Self { limits, tls, seats, guests, metrics }
    }

    /// Lets clients in until `stop` is ready. They hear of the end by `ended`.
    pub(crate) async fn open(
        &self,
        listener: TcpListener,
        router: Router,
        stop: impl Future<Output = ()>,
        ended: &watch::Receiver<bool>,
    ) {
        let mut stop = pin!(stop);
        loop {
            let seat = tokio::select! {
                () = &mut stop => break,
                seat = Arc::clone(&self.seats).acquire_owned() => seat.expect("the semaphore is never closed"),
            };
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, from)) => {
                    let Ok(guest) = self.guests.seat(from) else {
                        self.metrics.limit_hit("LimitExceeded.Connections");
                        continue;
                    };
                    self.metrics.connected();
                    let seat = Seat { _seat: seat, _guest: guest, metrics: Arc::clone(&self.metrics) };
                    let router = router.clone().layer(Extension(Arc::new(seat)));
                    let client = Client { limits: self.limits.clone(), router, ended: ended.clone() };
                    tokio::spawn(client.come_in(socket, self.tls.clone()));
                }
                // The client has gone again, or descriptors have run out: neither is cured by trying at once.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Ready when the last client has gone.
    pub(crate) async fn is_empty(&self) {
        let all = u32::try_from(self.limits.max_connections).unwrap_or(u32::MAX);
        drop(self.seats.acquire_many(all).await);
    }
}

struct Client {
    limits: Limits,
    router: Router,
    ended: watch::Receiver<bool>,
}

impl Client {
    async fn come_in(self, socket: TcpStream, tls: Option<TlsAcceptor>) {
        // Chunks are small and must not wait for each other.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        let mut socket = Box::pin(TimeoutStream::new(socket));
        socket.as_mut().set_write_timeout_pinned(Some(self.limits.write_timeout));
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
            .max_buf_size(self.limits.max_head)
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

/// Who has how many seats. This machine is not counted: all clients of a reverse proxy on it come from there.
struct Guests {
    most: usize,
    seated: Mutex<HashMap<IpAddr, usize>>,
}

/// One seat of an address.
struct Guest {
    guests: Arc<Guests>,
    address: IpAddr,
}

/// An address has all the seats that it gets.
#[derive(Debug, PartialEq, Eq)]
struct Crowded;

impl Guests {
    fn seat(self: &Arc<Self>, from: SocketAddr) -> Result<Option<Guest>, Crowded> {
        let address = from.ip().to_canonical();
        if address.is_loopback() {
            return Ok(None);
        }
        let mut seated = self.seated.lock().unwrap_or_else(PoisonError::into_inner);
        let count = seated.entry(address).or_default();
        if *count >= self.most {
            tracing::warn!(%address, most = self.most, "too many connections from one address (--max-connections-per-address)");
            return Err(Crowded);
        }
        *count += 1;
        Ok(Some(Guest { guests: Arc::clone(self), address }))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut seated = self.guests.seated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = seated.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                seated.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_seats_and_this_machine_all() {
        let guests = Arc::new(Guests { most: 2, seated: Mutex::default() });
        let seat = |address: &str| guests.seat(address.parse().expect("an address"));
        let first = seat("192.0.2.1:1").expect("there is room");
        let _second = seat("[::ffff:192.0.2.1]:2").expect("there is room");
        assert!(seat("192.0.2.1:3").is_err());
        assert!(seat("192.0.2.2:1").is_ok());
        drop(first);
        let third = seat("192.0.2.1:3");
        assert!(third.is_ok() && seat("192.0.2.1:4").is_err());
        for port in 1..10 {
            assert!(matches!(seat(&format!("127.0.0.1:{port}")), Ok(None)));
        }
        drop((third, _second));
        assert!(guests.seated.lock().expect("no panic").is_empty());
    }
}
