//! Several servers that act as one: who they are, and where the session of an id is.
//!
//! A session never moves, so its id names its owner: an [`Incarnation`], made fresh by each server process. A registry
//! holds one small record a server and nothing of a session; it is asked by a beat every other second, and on the first
//! call about an owner that nobody knows. A registry that is away ends no session and declares nobody lost.
//!
//! | module | what is there |
//! | --- | --- |
//! | `table` | what a server knows, and what follows from it; pure |
//! | `beat` | the task that joins, beats and judges |
//! | `registry`, `etcd`, `kubernetes`, `memory` | the four calls to the store |
//! | `record` | what the store holds |
//! | `owner` | which server a session, a link or a context is at |
//! | `choose` | where a new session goes; pure |
//! | `alive` | asks other servers whether they live |
//! | `peer_client`, `live_socket` | passes calls on to other servers |
//! | `http` | HTTP calls to the store and to other servers |

mod alive;
mod beat;
mod check;
pub(crate) mod choose;
mod clock;
mod etcd;
mod http;
mod incarnation;
mod kubernetes;
mod live_socket;
mod lock_file;
mod memory;
mod owner;
mod peer_client;
mod reads;
mod record;
mod registry;
pub(crate) mod settings;
mod snapshot;
mod spent;
mod table;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::alive::Pulses;
pub use self::check::ClusterCheck;
pub(crate) use self::clock::time_text;
pub use self::etcd::EtcdUrl;
use self::http::HttpClient;
pub(crate) use self::incarnation::{Incarnation, TRANSFER_CONTEXT};
pub use self::kubernetes::KubernetesUrl;
use self::lock_file::LockFile;
pub use self::memory::MemoryRegistry;
pub(crate) use self::peer_client::NoAnswer;
use self::peer_client::PeerClient;
use self::reads::Reads;
pub(crate) use self::record::{Load, NodeState, is_address};
use self::registry::Registry;
pub use self::settings::{ClusterSettings, Placement, RegistryUrl};
use self::snapshot::{Away, Rev};
pub use self::table::Ended;
use self::table::{Identity, Table};
pub(crate) use self::table::{Located, Probe, Standing, Timing};
use crate::lock::lock;
use crate::observe::ClusterCensus;
use crate::unix_time::unix_ms;

/// A server's membership of a cluster.
pub(crate) struct Cluster {
    inc: Incarnation,
    /// What it says that it is before the registry has kept its record.
    nobody: Incarnation,
    name: String,
    settings: ClusterSettings,
    registry: Registry,
    timing: Timing,
    client: HttpClient,
    peer_client: PeerClient,
    lock_file: LockFile,
    started_ms: u64,
    /// Where the others reach this server; set when it listens.
    address: OnceLock<String>,
    table: Mutex<Table>,
    reads: Reads,
    pulses: Pulses,
    /// Servers that were asked whether they live, by name.
    asked: Mutex<HashMap<String, Asked>>,
    beat_now: Notify,
    /// How many beats were answered or failed.
    beats: watch::Sender<u64>,
    ended: watch::Sender<Option<ClusterEnd>>,
    away: Mutex<Option<String>>,
    counts: Counts,
}

/// What a cluster needs from the server that is its member.
pub(crate) trait Member: Send + Sync + 'static {
    /// How it does now. `spent` counts from its start.
    fn load(&self) -> Load;
    /// How many sessions it has now.
    fn sessions(&self) -> u64;
    /// Others have taken calls with the API key of this name.
    fn spent_elsewhere(&self, key: &str, calls: u64);
}

/// Another server that takes calls.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) inc: Incarnation,
    /// A URL without a path.
    pub(crate) addr: String,
    pub(crate) state: NodeState,
    /// With those that were placed there since its last word.
    pub(crate) sessions: u64,
    /// A session is better placed elsewhere: since its last word it has refused one, or not been heard of for a while.
    pub(crate) avoid: bool,
    pub(crate) load: Load,
}

/// Why a server has left its cluster against its will.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClusterEnd {
    /// It is a member no longer.
    #[error("this server ends: {0}; its sessions are over, start it again to take new ones")]
    Condemned(Ended),
    /// Its name is another's.
    #[error(
        "two servers are named {name:?}: the other one is at {addr}; give each its own --node-name, or wait until that one has ended"
    )]
    NameTaken {
        /// The name of both.
        name: String,
        /// Where the other one is.
        addr: String,
    },
}

/// A silent server that was asked whether it lives.
#[derive(Debug)]
struct Asked {
    since: Instant,
    is_open: bool,
    /// The revision of its record at which the log was told that it lives.
    said: Option<Rev>,
}

/// What happened in the cluster, for the metrics.
#[derive(Debug, Default)]
struct Counts {
    beats_failed: AtomicU64,
    /// Reads for owners that nobody knew, and after a server had not taken a session or a call had not reached it.
    reads: AtomicU64,
    last_beat_us: AtomicU64,
}

/// Why a server cannot be a member of a cluster.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The name is none.
    #[error(
        "the node name {0:?} cannot be used: give 1 to 63 letters, digits, - and . with --node-name, a letter or digit first and last"
    )]
    Name(String),
    /// The lock is another process's.
    #[error("another server on this machine is named {name:?} and holds {file}: give each its own --node-name")]
    Locked {
        /// The name of both.
        name: String,
        /// The lock's file.
        file: PathBuf,
    },
    /// The lock cannot be made.
    #[error("the lock {file} cannot be made: {error}; choose another folder with --data-dir")]
    LockFile {
        /// The lock's file.
        file: PathBuf,
        /// The system's word for it.
        error: io::Error,
    },
    /// The times contradict each other.
    #[error("--lost-after of {lost_after:?} is too short for --beat of {beat:?}: give at least four beats")]
    Times {
        /// As it was given.
        beat: Duration,
        /// As it was given.
        lost_after: Duration,
    },
    /// An authority's certificate cannot be used.
    #[error("{flag} {file} cannot be used: {problem}; give a PEM file with certificates")]
    Authority {
        /// The option that names it.
        flag: &'static str,
        /// As it was given.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A gateway's sessions are another service's.
    #[error(
        "--upstream and --cluster exclude each other: a gateway has no sessions of its own, start as many as you like"
    )]
    Gateway,
    /// The user or the password is missing.
    #[error("the registry's user and password belong together: set both AGB_CLUSTER_USER and AGB_CLUSTER_PASSWORD")]
    HalfAUser,
    /// There is no API server to be found.
    #[error(
        "kubernetes:// works in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set here; elsewhere use etcd://"
    )]
    NoPod,
    /// Nobody could reach this server.
    #[error("the other servers cannot reach {0}: say with --advertise where they reach this one")]
    Unreachable(SocketAddr),
}

impl Peer {
    fn of(name: &str, node: &table::Node, avoid: bool) -> Self {
        Self {
            name: name.to_owned(),
            inc: node.record.inc,
            addr: node.record.addr.clone(),
            state: node.record.state,
            sessions: node.sessions(),
            avoid,
            load: node.record.load.clone(),
        }
    }
}

impl Cluster {
    /// Checks the settings and takes the name's lock, for which it may block a moment. `None`: they name no registry.
    pub(crate) fn new(settings: &ClusterSettings, data_dir: &Path) -> Result<Option<Arc<Self>>, ClusterError> {
        let Some(registry) = Registry::of(settings)? else { return Ok(None) };
        let (beat, lost_after) = (settings.beat, settings.lost_after);
        if lost_after < beat * 4 {
            return Err(ClusterError::Times { beat, lost_after });
        }
        let name = settings.node_name.clone().unwrap_or_else(host_name);
        if !is_name(&name) {
            return Err(ClusterError::Name(name));
        }
        let inc = Incarnation::fresh();
        let client = HttpClient::new(settings.peer_ca.as_deref(), "--peer-ca")?;
        let timing = Timing { beat, lost_after };
        Ok(Some(Arc::new(Self {
            inc,
            nobody: Incarnation::fresh(),
            peer_client: PeerClient::new(client.tls_config(), settings.peer_connect_time, lost_after),
            client,
            lock_file: LockFile::take(data_dir, &name, lock_file::PATIENCE)?,
            started_ms: unix_ms(),
            address: OnceLock::new(),
            table: Mutex::new(Table::new(inc, name.clone(), timing, clock::now())),
            name,
            settings: settings.clone(),
            registry,
            timing,
            reads: Reads::default(),
            pulses: Pulses::default(),
            asked: Mutex::default(),
            beat_now: Notify::new(),
            beats: watch::Sender::new(0),
            ended: watch::Sender::new(None),
            away: Mutex::default(),
            counts: Counts::default(),
        })))
    }

    /// This server listens there: from now on the others can be told where it is.
    pub(crate) fn listens_at(&self, address: SocketAddr, has_tls: bool) -> Result<(), ClusterError> {
        let url = match &self.settings.advertise {
            Some(url) => url.clone(),
            None if address.ip().is_unspecified() => return Err(ClusterError::Unreachable(address)),
            None => format!("{}://{address}", if has_tls { "https" } else { "http" }),
        };
        let _ = self.address.set(url); // whoever listens twice is reached at the first
        Ok(())
    }

    /// Joins, beats and judges until this server is a member no longer. [`Cluster::listens_at`] comes first.
    pub(crate) async fn run(self: &Arc<Self>, member: &impl Member) -> ClusterEnd {
        let end = beat::run(self, member).await;
        self.ended.send_replace(Some(end.clone()));
        end
    }

    /// Why this server is a member no longer, once it is none.
    pub(crate) fn end(&self) -> Option<ClusterEnd> {
        self.ended.borrow().clone()
    }

    /// Who this server is.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.inc
    }

    /// What it tells those who ask who it is; `None`: nothing, since it does not know whether others know it yet.
    pub(crate) fn identity(&self) -> Option<Incarnation> {
        match self.table().identity() {
            Identity::Own(inc) => Some(inc),
            Identity::NotYet => Some(self.nobody),
            Identity::Unsure => None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn settings(&self) -> &ClusterSettings {
        &self.settings
    }

    /// Passes calls on to other servers.
    pub(crate) fn peer_client(&self) -> &PeerClient {
        &self.peer_client
    }

    pub(crate) fn standing(&self) -> Standing {
        self.table().standing(clock::now())
    }

    /// How long ago the registry kept this server's record.
    pub(crate) fn beat_age(&self) -> Option<Duration> {
        self.table().beat_age(clock::now())
    }

    /// Why the registry does not answer, while it does not.
    pub(crate) fn away(&self) -> Option<String> {
        lock(&self.away).clone()
    }

    /// The other servers that take calls.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let (table, now) = (self.table(), clock::now());
        table.nodes().map(|(name, node)| Peer::of(name, node, table.avoids(node, now))).collect()
    }

    /// Servers whose records went away a moment ago without a farewell, as after a wipe: they may live.
    pub(crate) fn vanished(&self) -> Vec<Peer> {
        self.table().vanished(clock::now()).map(|(name, node)| Peer::of(name, node, true)).collect()
    }

    /// Whether connections from this address are another server's. Names in the servers' addresses are not looked up.
    pub(crate) fn is_peer(&self, address: IpAddr) -> bool {
        self.table().nodes().any(|(_, node)| http::host_address(&node.record.addr) == Some(address))
    }

    /// A session was placed there: counted until the next word of that server.
    pub(crate) fn placed(&self, inc: Incarnation) {
        self.table().placed(inc);
    }

    /// That server has not taken a session: others are better until its next word.
    pub(crate) fn has_refused(&self, inc: Incarnation) {
        self.table().has_refused(inc);
    }

    /// A call has not reached that server, or has broken off: it may have ended, and its silence counts from when its
    /// record is known to be its last.
    pub(crate) fn doubt(self: &Arc<Self>, inc: Incarnation) {
        if self.table().doubt(inc) {
            let cluster = Arc::clone(self);
            tokio::spawn(async move { cluster.refresh().await });
        }
    }

    /// Looks which servers there are now, if the registry says it before the next beat would.
    pub(crate) async fn refresh(&self) {
        let _ = tokio::time::timeout(self.settings.beat, self.read()).await;
    }

    /// Reads the registry by a call that begins after this one.
    async fn read(&self) -> Result<(), Away> {
        let read = || async {
            self.counts.reads.fetch_add(1, Ordering::Relaxed);
            let call = self.table().begin();
            let all = self.patiently(self.registry.read()).await?;
            self.table().read(call, all, clock::now());
            Ok(())
        };
        self.reads.after_now(read).await
    }

    /// Waits for the registry no longer than one call may take.
    async fn patiently<T>(&self, call: impl Future<Output = Result<T, Away>>) -> Result<T, Away> {
        let patience = self.timing.answer();
        let late = |_| Err(Away(format!("the registry has not answered within {} s", patience.as_secs_f64())));
        tokio::time::timeout(patience, call).await.unwrap_or_else(late)
    }

    /// Where this process or its machine stood still, waits for a beat: it may have been declared lost meanwhile. Otherwise
    /// comes at once.
    pub(crate) async fn wait_if_frozen(&self) {
        while self.table().is_frozen(clock::now()) {
            let mut beats = self.beats.subscribe();
            self.beat_now.notify_one();
            // The sender lives as long as this. An answer to a beat from before the pause wakes too, and says nothing.
            let _ = beats.changed().await;
        }
    }

    /// Tells the others that this server takes no new sessions; comes when the registry has kept it, or did not answer.
    pub(crate) async fn drain(&self) {
        let mut beats = self.beats.subscribe();
        self.table().drain();
        beats.borrow_and_update();
        self.beat_now.notify_one();
        let _ = tokio::time::timeout(self.settings.beat, beats.changed()).await;
    }

    /// Takes this server out of the registry: its sessions are over. After [`Cluster::run`] has been dropped.
    pub(crate) async fn leave(&self) {
        if self.end().is_some() {
            return;
        }
        // A beat that was cut off may have written once more.
        let leaving = async {
            for _ in 0..2 {
                let Some(rev) = self.table().own_rev() else { return };
                match self.patiently(self.registry.remove(&self.name, rev)).await {
                    Ok(true) => return,
                    Ok(false) if self.read().await.is_ok() => {
                        let mut table = self.table();
                        if !table.adopt() {
                            return;
                        }
                    }
                    Ok(false) | Err(_) => break,
                }
            }
            tracing::warn!("the registry did not take this server out: the others will declare it lost");
        };
        let _ = tokio::time::timeout(self.settings.beat, leaving).await;
    }

    /// For the metrics; with the sessions that this server can still take, and its keys' fingerprint.
    pub(crate) fn census(&self, free_here: u64, keys: &str) -> ClusterCensus {
        let peers = self.peers();
        let (lost, losses, beat_age) = {
            let table = self.table();
            (table.lost_on_record() as u64, table.losses(), table.beat_age(clock::now()).unwrap_or_default())
        };
        let in_state = |state| peers.iter().filter(|peer| peer.state == state).count() as u64;
        let standing = self.standing();
        let own = |is_so: bool| u64::from(is_so);
        let takes = |peer: &&Peer| peer.state == NodeState::Up;
        let free = peers.iter().filter(takes).map(|peer| peer.load.max.saturating_sub(peer.sessions));
        let is_up = matches!(standing, Standing::Good | Standing::Doubtful);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ClusterCensus {
            nodes: [
                (NodeState::Up.as_str(), in_state(NodeState::Up) + own(is_up)),
                (NodeState::Draining.as_str(), in_state(NodeState::Draining) + own(standing == Standing::Draining)),
                (NodeState::Lost.as_str(), lost),
            ],
            beat_age,
            beat_time: Duration::from_micros(count(&self.counts.last_beat_us)),
            beats_failed: count(&self.counts.beats_failed),
            condemned: losses.condemned,
            lost_sessions: losses.sessions,
            reads: count(&self.counts.reads),
            free_sessions: free.fold(if is_up { free_here } else { 0 }, u64::saturating_add),
            other_keys: peers.iter().filter(|peer| peer.load.keys != keys).count() as u64,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What Kubernetes takes as the name of an object, which every store takes.
fn is_name(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.".contains(byte);
    bytes.len() <= 63 && is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(is_inner)
}
