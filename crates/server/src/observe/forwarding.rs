//! What a server of a cluster counts of the calls that it passes on and the sessions that it places.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Counts what is passed on.
#[derive(Debug)]
pub(super) struct Forwarding {
    forwarded: Family<[(&'static str, &'static str); 2], Counter>,
    time: Histogram,
    tunnels: Gauge,
    placements: Family<[(&'static str, &'static str); 2], Counter>,
}

/// A tunnel, while it is there.
pub(crate) struct Tunnel(Gauge);

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Forwarding {
    fn default() -> Self {
        Self {
            forwarded: Family::default(),
            // From a quarter of a millisecond on: passing on is to cost less than one.
            time: Histogram::new(exponential_buckets(0.000_25, 4.0, 10)),
            tunnels: Gauge::default(),
            placements: Family::default(),
        }
    }
}

impl Forwarding {
    pub(super) fn register(&self, all: &mut Registry) {
        let help = "Calls passed on to other servers, by kind and outcome";
        all.register("forwarded", help, self.forwarded.clone());
        let help = "Calls passed on, to the head of the other server's answer";
        all.register_with_unit("forward", help, Unit::Seconds, self.time.clone());
        all.register("tunnels", "WebSockets and other upgraded connections passed on now", self.tunnels.clone());
        let help = "Servers asked for a new session, by where they are and what they answered";
        all.register("placements", help, self.placements.clone());
    }

    pub(super) fn forwarded(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.forwarded.get_or_create(&[("kind", kind), ("outcome", outcome)]).inc();
        self.time.observe(took.as_secs_f64());
    }

    pub(super) fn tunnel(&self) -> Tunnel {
        self.tunnels.inc();
        Tunnel(self.tunnels.clone())
    }

    pub(super) fn tunnels(&self) -> i64 {
        self.tunnels.get()
    }

    pub(super) fn placed(&self, place: &'static str, outcome: &'static str) {
        self.placements.get_or_create(&[("where", place), ("outcome", outcome)]).inc();
    }
}
