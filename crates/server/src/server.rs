//! The server: what its parts share, the accept loop, and the orderly end.
//!
//! ```text
//! server ─┬─ listener ── HTTP connection (a task each) ── after an upgrade: connection (a task each)
//!         └─ sessions ─┬─ sweeper
//!                      └─ session ── kernels, runs
//! ```
//!
//! The end, in order: where it is to drain, nothing new is taken and runs are told how long they have; no new TCP
//! connection, no new session; every session is released, which ends every child
//! process; the last events go out; the folder is removed.

mod member;
mod reload;

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agb_sandbox::Level;
use axum::Router;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::auth::access::Accesses;
use crate::auth::keys::{Keys, KeysError};
use crate::auth::rate::Rate;
use crate::budget::Budget;
use crate::cluster::{Cluster, ClusterEnd, ClusterError};
use crate::contexts::Contexts;
use crate::gateway::{Gateway, GatewayError};
use crate::links::Links;
use crate::listen::http::{self, Address, InvalidOrigin, InvalidPublicUrl, Origins, Shared};
use crate::listen::listener::Listener;
use crate::listen::tls::{Tls, TlsError};
use crate::observe::Metrics;
use crate::reserve;
use crate::session::sessions::Sessions;
use crate::settings::{Config, Isolation, Warm};
use crate::workspace::factory::WorkspaceFactory;
use crate::workspace::pool::Pool;
use crate::workspace::sandboxes::{IsolationError, Sandboxes};

/// A server for AGB's wire that runs code on this machine.
///
/// Everything that it starts ends with [`Server::close`]; a server that is dropped without it leaves that to the
/// handles of its parts.
pub struct Server {
    shared: Arc<Shared>,
}

/// Why there is no server.
#[derive(Debug, Error)]
pub enum StartError {
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The public URL is none.
    #[error(transparent)]
    PublicUrl(#[from] InvalidPublicUrl),
    /// An allowed origin is none.
    #[error(transparent)]
    Origin(#[from] InvalidOrigin),
    /// Programs cannot be isolated as they should be.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    /// The service behind a gateway cannot be used.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The cluster cannot be joined so.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// There is no place for the sessions.
    #[error("no folder could be made in {folder}: {error}; choose another with --data-dir")]
    DataDir {
        /// Where it should have been.
        folder: String,
        /// The system's word for it.
        error: io::Error,
    },
}

/// Why a server does not listen there.
#[derive(Debug, Error)]
pub enum ExposureError {
    /// What goes over the network would be open to everybody on it.
    #[error(
        "{0} is not on this machine alone, and keys and programs would go there unencrypted: give --tls-cert and --tls-key, or listen on 127.0.0.1; --insecure-listen if something in front does the encryption"
    )]
    Unencrypted(SocketAddr),
    /// A key could be guessed.
    #[error(transparent)]
    Key(#[from] KeysError),
}

impl Server {
    /// A server that listens nowhere yet. Call it inside a tokio runtime: its sessions are tasks of it.
    ///
    /// Blocks for some ten milliseconds: isolation is tried before it is relied on.
    ///
    /// # Errors
    /// When the configuration makes no sense, programs cannot be isolated, or there is no place for the sessions.
    pub fn new(config: Config) -> Result<Self, StartError> {
        reserve::start();
        let rate = Rate::of(&config.limits);
        let has_keys = !config.api_keys.is_empty() || config.api_keys_file.is_some();
        let budget = Budget::new(config.limits.buffers);
        let strangers = Budget::within(&budget, config.limits.session_buffers);
        let gateway = Gateway::new(&config.upstream, has_keys, rate, strangers, config.limits.max_extended_frame)?;
        let config = if gateway.is_some() { without_programs(config) } else { config };
        let keys = match &gateway {
            Some(gateway) if gateway.passes_keys_on() => Keys::of_nobody(rate),
            _ => Keys::new(config.api_keys.clone(), config.api_keys_file.clone(), rate)?,
        };
        let tls = config.tls.clone().map(Tls::new).transpose()?;
        let address = config.public_url.as_deref().map(Address::parse).transpose()?;
        let origins = Origins::parse(&config.allow_origins)?;
        if gateway.is_some() && config.cluster.registry.is_some() {
            return Err(ClusterError::Gateway.into());
        }
        let cluster = Cluster::new(&config.cluster, &config.data_dir)?;
        let config = Arc::new(config);
        let sandboxes = Sandboxes::start(Arc::clone(&config))?;
        let metrics = Arc::new(Metrics::new(cluster.is_some()));
        let factory = WorkspaceFactory::new(Arc::clone(&config), sandboxes)
            .map_err(|error| StartError::DataDir { folder: config.data_dir.display().to_string(), error })?;
        let pool = Pool::new(factory, Arc::clone(&config), Arc::clone(&metrics));
        let sessions = Sessions::new(Arc::clone(&config), pool, Arc::clone(&metrics), Arc::clone(&budget));
        let accesses = Accesses::default();
        let contexts = Arc::new(Contexts::new(config.contexts.clone()));
        tokio::spawn(Contexts::recycle_hourly(Arc::downgrade(&contexts)));
        let shared = Shared {
            config,
            address,
            sessions,
            accesses,
            budget,
            contexts,
            links: Links::default(),
            origins,
            keys,
            gateway,
            cluster,
            metrics,
            tls,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// How programs are isolated.
    #[must_use]
    pub fn isolation(&self) -> Level {
        self.shared.sessions.level()
    }

    /// The routes, to be served by other means than [`Server::serve`], which has limits on connections and slow
    /// clients that a bare router has not.
    pub fn router(&self) -> Router {
        http::routes(Arc::clone(&self.shared))
    }

    /// Whether this server should listen there: on this machine, or encrypted and with keys that nobody guesses.
    ///
    /// # Errors
    /// When it should not. `insecure` lets it listen unencrypted all the same.
    pub fn check_exposure(&self, address: SocketAddr, insecure: bool) -> Result<(), ExposureError> {
        if address.ip().is_loopback() {
            return Ok(());
        }
        if self.shared.tls.is_none() && !insecure {
            return Err(ExposureError::Unencrypted(address));
        }
        Ok(self.shared.keys.check_for_network()?)
    }

    /// Where this server is a member of a cluster: checks that the others can reach it when it listens here.
    ///
    /// # Errors
    /// When they cannot.
    pub fn check_reachable(&self, address: SocketAddr) -> Result<(), ClusterError> {
        match &self.shared.cluster {
            Some(cluster) => cluster.listens_at(address, self.shared.tls.is_some()),
            None => Ok(()),
        }
    }

    /// Why this server has left its cluster against its will, and its sessions ended, if so.
    pub fn cluster_end(&self) -> Option<ClusterEnd> {
        self.shared.cluster.as_ref()?.end()
    }

    /// Reads the files of keys and the certificate now, not only when they are seen to have changed. What cannot be
    /// used changes nothing, and is logged.
    pub fn reload(&self) {
        reload::reload(&self.shared);
    }

    /// Serves clients until `stop` is ready, then closes the server. What goes on is interrupted.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()>) {
        self.serve_and_drain(listener, pending(), stop).await;
    }

    /// As [`Server::serve`]; once `drain` is ready nothing new is taken any more, what goes on has
    /// [`Limits::drain`](crate::Limits::drain) to come to its end, and then the server is closed. `stop` closes it at
    /// once, also meanwhile.
    pub async fn serve_and_drain(
        &self,
        listener: TcpListener,
        drain: impl Future<Output = ()>,
        stop: impl Future<Output = ()>,
    ) {
        let drained = async {
            drain.await;
            self.cordon().await;
            self.shared.sessions.drain(self.shared.config.limits.drain).await;
        };
        let stop = async {
            tokio::select! {
                () = drained => {}
                () = stop => {}
            }
        };
        self.serve_until(listener, stop).await;
    }

    /// Takes no new session, and waits until those that there are have ended, and those of other servers that are reached
    /// by way of this one: at most for `--drain-sessions`.
    async fn cordon(&self) {
        const LOOK: Duration = Duration::from_millis(100);
        let Shared { sessions, cluster, config, metrics, .. } = &*self.shared;
        sessions.cordon();
        if let Some(cluster) = cluster {
            cluster.drain().await;
        }
        let idle = async {
            while sessions.count() > 0 || metrics.tunnels() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        let time = config.cluster.drain_sessions;
        if tokio::time::timeout(time, idle).await.is_err() && !time.is_zero() {
            tracing::info!(sessions = sessions.count(), "sessions go on after --drain-sessions: they end now");
        }
    }

    async fn serve_until(&self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let limits = &self.shared.config.limits;
        let tls = self.shared.tls.as_ref().map(Tls::acceptor);
        let listening =
            Listener::new(limits.clone(), tls, Arc::clone(&self.shared.metrics), self.shared.cluster.clone());
        let (ending, ended) = watch::channel(false);
        let address = listener.local_addr();
        let condemned = tokio::select! {
            () = listening.run(listener, self.router(), stop, &ended) => false,
            never = reload::watch(Arc::clone(&self.shared)) => match never {},
            () = member::run(&self.shared, address) => true,
        };
        ending.send_replace(true);
        if let Some(cluster) = &self.shared.cluster {
            cluster.peer_client().close();
        }
        if condemned {
            self.shared.sessions.declared_lost();
        }
        self.close().await;
        if let Some(cluster) = &self.shared.cluster {
            cluster.leave().await;
        }
        // The last client has to hear the end.
        let _ = tokio::time::timeout(limits.shutdown_grace, listening.is_empty()).await;
    }

    /// Ends every session with every process in it, and lets no new one begin.
    pub async fn close(&self) {
        let grace = self.shared.config.limits.shutdown_grace;
        if tokio::time::timeout(grace, self.shared.sessions.close()).await.is_err() {
            tracing::error!(?grace, "not every session ended in time");
        }
    }
}

/// A gateway isolates and warms nothing: it runs no programs.
fn without_programs(config: Config) -> Config {
    let warm = Warm { at_start: 0, most: 0, ..config.warm };
    Config { isolation: Isolation::At(Level::None), zygotes: false, warm, ..config }
}
