//! What a server counts as a member of a cluster.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What a member of a cluster sees now, and has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterCensus {
    /// Servers by state, this one included.
    pub(crate) nodes: [(&'static str, u64); 3],
    /// Since the registry kept this server's record.
    pub(crate) beat_age: Duration,
    /// What the last beat took.
    pub(crate) beat_time: Duration,
    pub(crate) beats_failed: u64,
    /// Servers that this one declared lost.
    pub(crate) condemned: u64,
    /// The sessions that those had, and those of the process in whose place this one was started.
    pub(crate) lost_sessions: u64,
    /// Reads of the registry for owners that nobody knew.
    pub(crate) reads: u64,
    /// Sessions that all servers together could take.
    pub(crate) free_sessions: u64,
    /// Servers whose API keys are not this one's.
    pub(crate) other_keys: u64,
}

#[derive(Debug)]
pub(super) struct ClusterMetrics {
    nodes: Family<[(&'static str, &'static str); 1], Gauge>,
    beat_age: Gauge<f64, AtomicU64>,
    beat_time: Gauge<f64, AtomicU64>,
    beats_failed: Counter,
    condemned: Counter,
    lost_sessions: Counter,
    reads: Counter,
    free_sessions: Gauge,
    other_keys: Gauge,
}

impl ClusterMetrics {
    pub(super) fn register(all: &mut Registry) -> Self {
        let all = all.sub_registry_with_prefix("cluster");
        let nodes = Family::default();
        all.register("nodes", "Servers of the cluster, by state, as this one sees them", nodes.clone());
        let (beat_age, beat_time) = (Gauge::default(), Gauge::default());
        let help = "Since the registry last kept this server's record";
        all.register_with_unit("beat_age", help, Unit::Seconds, beat_age.clone());
        all.register_with_unit("beat", "What the last beat took", Unit::Seconds, beat_time.clone());
        let counter = |all: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            all.register(name, help, counter.clone());
            counter
        };
        let beats_failed = counter(all, "beats_failed", "Beats that the registry did not answer");
        let condemned = counter(all, "condemned", "Servers that this one declared lost");
        let help = "Sessions of servers that this one declared lost, or in whose place it was started";
        let lost_sessions = counter(all, "lost_sessions", help);
        let help = "Reads of the registry for owners that nobody knew or that a call had not reached";
        let reads = counter(all, "reads", help);
        let (free_sessions, other_keys) = (Gauge::default(), Gauge::default());
        all.register("free_sessions", "Sessions that all servers together can take", free_sessions.clone());
        all.register("nodes_with_other_keys", "Servers whose API keys differ from this one's", other_keys.clone());
        Self { nodes, beat_age, beat_time, beats_failed, condemned, lost_sessions, reads, free_sessions, other_keys }
    }

    pub(super) fn set(&self, census: &ClusterCensus) {
        use std::sync::atomic::Ordering::Relaxed;
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (state, count) in census.nodes {
            self.nodes.get_or_create(&[("state", state)]).set(gauge(count));
        }
        self.beat_age.set(census.beat_age.as_secs_f64());
        self.beat_time.set(census.beat_time.as_secs_f64());
        self.beats_failed.inner().store(census.beats_failed, Relaxed);
        self.condemned.inner().store(census.condemned, Relaxed);
        self.lost_sessions.inner().store(census.lost_sessions, Relaxed);
        self.reads.inner().store(census.reads, Relaxed);
        self.free_sessions.set(gauge(census.free_sessions));
        self.other_keys.set(gauge(census.other_keys));
    }
}
