//! The server: what its parts share, the accept loop, and the orderly end.
//!
//! ```text
//! server ─┬─ accept loop ── HTTP connection (a task each) ── after an upgrade: connection (a task each)
//!         └─ sessions ─┬─ sweeper
//!                      └─ session ── kernels, runs
//! ```
//!
//! The end, in order: no new TCP connection, no new session; every session is released, which ends every child
//! process; the last events go out; the folder is removed.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::access::Accesses;
use crate::config::Config;
use crate::http::{self, Address, ApiError, InvalidOrigin, InvalidPublicUrl, Origins};
use crate::session::Session;
use crate::sessions::Sessions;

/// A server for AGB's wire that runs code on this machine.
///
/// Everything that it starts ends with [`Server::close`]; a server that is dropped without it leaves that to the
/// handles of its parts.
pub struct Server {
    shared: Arc<Shared>,
}

/// What the parts of a server share.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) address: Option<Address>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) accesses: Accesses,
    pub(crate) origins: Origins,
}

/// Why there is no server.
#[derive(Debug, Error)]
pub enum StartError {
    /// The key is empty.
    #[error("the API key is empty: give one, or none at all to have one made")]
    EmptyKey,
    /// The public URL is none.
    #[error(transparent)]
    PublicUrl(#[from] InvalidPublicUrl),
    /// An allowed origin is none.
    #[error(transparent)]
    Origin(#[from] InvalidOrigin),
    /// There is no place for the sessions.
    #[error("no folder could be made in {folder}: {error}; choose another with --data-dir")]
    DataDir {
        /// Where it should have been.
        folder: String,
        /// The system's word for it.
        error: io::Error,
    },
}

/// Held as long as a client's TCP connection lives, an upgraded one included.
pub(crate) type Seat = Arc<OwnedSemaphorePermit>;

impl Shared {
    /// The session of this id.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Session>, ApiError> {
        self.sessions.find(id).ok_or_else(|| ApiError::NoSession(id.chars().take(80).collect()))
    }
}

impl Server {
    /// A server that listens nowhere yet. Call it inside a tokio runtime: its sessions are tasks of it.
    ///
    /// # Errors
    /// When the configuration makes no sense, or there is no place for the sessions.
    pub fn new(config: Config) -> Result<Self, StartError> {
        if config.api_key.is_empty() {
            return Err(StartError::EmptyKey);
        }
        let address = config.public_url.as_deref().map(Address::parse).transpose()?;
        let origins = Origins::parse(&config.allow_origins)?;
        let config = Arc::new(config);
        let sessions = Sessions::new(Arc::clone(&config))
            .map_err(|error| StartError::DataDir { folder: config.data_dir.display().to_string(), error })?;
        Ok(Self { shared: Arc::new(Shared { config, address, sessions, accesses: Accesses::default(), origins }) })
    }

    /// The routes, to be served by other means than [`Server::serve`], which has limits on connections and slow
    /// clients that a bare router has not.
    pub fn router(&self) -> Router {
        http::routes(Arc::clone(&self.shared))
    }

    /// Serves clients until `stop` is ready, then closes the server.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let limits = &self.shared.config.limits;
        let seats = Arc::new(Semaphore::new(limits.max_connections));
        let (ending, ended) = watch::channel(false);
        let router = self.router();
        let mut stop = pin!(stop);
        loop {
            let seat = tokio::select! {
                () = &mut stop => break,
                seat = Arc::clone(&seats).acquire_owned() => seat.expect("the semaphore is never closed"),
            };
            let socket = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match socket {
                Ok((socket, _)) => {
                    let router = router.clone().layer(Extension::<Seat>(Arc::new(seat)));
                    tokio::spawn(serve_client(socket, router, limits.read_timeout, ended.clone()));
                }
                // The client has gone again, or descriptors have run out: neither is cured by trying at once.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
        ending.send_replace(true);
        self.close().await;
        // All seats are free when the last client has heard the end.
        let all = u32::try_from(limits.max_connections).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(limits.shutdown_grace, seats.acquire_many(all)).await;
    }

    /// Ends every session with every process in it, and lets no new one begin.
    pub async fn close(&self) {
        let grace = self.shared.config.limits.shutdown_grace;
        if tokio::time::timeout(grace, self.shared.sessions.close()).await.is_err() {
            tracing::error!(?grace, "not every session ended in time");
        }
    }
}

async fn serve_client(socket: TcpStream, router: Router, head_timeout: Duration, mut ended: watch::Receiver<bool>) {
    // Chunks are small and must not wait for each other.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);
    // The flag is set once; a sender that is gone says the same.
    let ending = async { drop(ended.wait_for(|ended| *ended).await) };
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
