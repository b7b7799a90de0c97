//! What the server counts, for Prometheus (`GET /metrics`, in OpenMetrics' text form).
//!
//! What can be looked up is looked up when it is asked for (sessions, runs, kernels now); what has happened is counted
//! where it happens. Labels have few values, none of them a client's own text.

use std::sync::Arc;
use std::time::Duration;

use agb_kernel::{CellEnd, CellEvent, Outcome};
use agb_protocol::Language;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::Census;
use super::cluster::{ClusterCensus, ClusterMetrics};
use super::forwarding::{Forwarding, Tunnel};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// What the server counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    sessions: Gauge,
    runs: Gauge,
    kernels: Family<Labels<1>, Gauge>,
    created: Counter,
    released: Family<Labels<1>, Counter>,
    run_ends: Family<Labels<2>, Counter>,
    run_start: Family<Labels<1>, Histogram, fn() -> Histogram>,
    run_time: Histogram,
    kernels_taken: Family<Labels<2>, Counter>,
    warm: Family<Labels<1>, Gauge>,
    connections: Gauge,
    calls: Family<Labels<1>, Counter>,
    call_time: Histogram,
    limits: Family<Labels<1>, Counter>,
    forwarding: Forwarding,
    /// Only where there is a cluster.
    cluster: Option<ClusterMetrics>,
}

/// Why a session was released.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Released {
    /// A client said so.
    Asked,
    /// Nothing used it.
    Idle,
    /// It has lived for as long as it was created for.
    TimedOut,
    /// The server ends.
    Ending,
}

/// From a millisecond to a minute and more, each four times the one before.
fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 9))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Metrics {
    /// What a server counts that is alone, and where it is one of a cluster what it passes on.
    pub(crate) fn new(is_in_cluster: bool) -> Self {
        let mut all = Registry::with_prefix("agb");
        let (sessions, runs, connections) = (Gauge::default(), Gauge::default(), Gauge::default());
        all.register("sessions", "Sessions now", sessions.clone());
        all.register("runs", "Runs and calls going on now", runs.clone());
        all.register("connections", "TCP connections now", connections.clone());
        let kernels = Family::default();
        all.register("kernels", "Interpreters in use now, by language", kernels.clone());
        let created = Counter::default();
        all.register("sessions_created", "Sessions created", created.clone());
        let released = Family::default();
        all.register("sessions_released", "Sessions released, by reason", released.clone());
        let run_ends = Family::default();
        all.register("runs_ended", "Runs ended, by language and outcome", run_ends.clone());
        let run_start = Family::new_with_constructor(histogram as fn() -> Histogram);
        let help = "From a run's request to its program's first line, queue and interpreter included";
        all.register_with_unit("run_start", help, Unit::Seconds, run_start.clone());
        let run_time = histogram();
        all.register_with_unit("run", "Programs' own time", Unit::Seconds, run_time.clone());
        let kernels_taken = Family::default();
        let help = "Interpreters that sessions got, by language: warm ones were ready, cold ones were not started yet";
        all.register("kernels_taken", help, kernels_taken.clone());
        let warm = Family::default();
        all.register("warm_kernels", "Interpreters ready for sessions that come, by language", warm.clone());
        let calls = Family::default();
        all.register("calls", "HTTP calls answered, by the answer's code", calls.clone());
        let call_time = histogram();
        all.register_with_unit("call", "HTTP calls, to the answer's head", Unit::Seconds, call_time.clone());
        let limits = Family::default();
        all.register("limits_hit", "Refusals because of a limit, by the limit", limits.clone());
        let forwarding = Forwarding::default();
        if is_in_cluster {
            forwarding.register(&mut all);
        }
        let cluster = is_in_cluster.then(|| ClusterMetrics::register(&mut all));
        Self {
            registry: all,
            sessions,
            runs,
            kernels,
            created,
            released,
            run_ends,
            run_start,
            run_time,
            kernels_taken,
            warm,
            connections,
            calls,
            call_time,
            limits,
            forwarding,
            cluster,
        }
    }

    /// All of it as text.
    pub(crate) fn text(&self, census: &Census, cluster: Option<&ClusterCensus>) -> String {
        if let (Some(metrics), Some(census)) = (&self.cluster, cluster) {
            metrics.set(census);
        }
        self.sessions.set(count(census.sessions));
        self.runs.set(count(census.runs));
        for language in Language::ALL {
            let kernels = census.kernels.get(&language).copied().unwrap_or(0);
            self.kernels.get_or_create(&[("language", language.as_str())]).set(count(kernels));
            let warm = census.warm.get(&language).copied().unwrap_or(0);
            self.warm.get_or_create(&[("language", language.as_str())]).set(count(warm));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes everything");
        text
    }

    pub(crate) fn session_created(&self) {
        self.created.inc();
    }

    pub(crate) fn session_released(&self, why: Released) {
        let why = match why {
            Released::Asked => "asked",
            Released::Idle => "idle",
            Released::TimedOut => "timeout",
            Released::Ending => "ending",
        };
        self.released.get_or_create(&[("reason", why)]).inc();
    }

    /// A session got an interpreter. That it is started anew later is not counted.
    pub(crate) fn kernel_taken(&self, language: Language, is_warm: bool) {
        let state = if is_warm { "warm" } else { "cold" };
        self.kernels_taken.get_or_create(&[("language", language.as_str()), ("state", state)]).inc();
    }

    pub(crate) fn connected(&self) {
        self.connections.inc();
    }

    pub(crate) fn disconnected(&self) {
        self.connections.dec();
    }

    pub(crate) fn called(&self, code: &'static str, took: Duration) {
        self.calls.get_or_create(&[("code", code)]).inc();
        self.call_time.observe(took.as_secs_f64());
        if code.starts_with("LimitExceeded.") || code.starts_with("InvalidBody.Too") {
            self.limit_hit(code);
        }
    }

    pub(crate) fn limit_hit(&self, limit: &'static str) {
        self.limits.get_or_create(&[("limit", limit)]).inc();
    }
}

impl Metrics {
    /// A call was passed on to another server, and answered or not, after so long.
    pub(crate) fn forwarded(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.forwarding.forwarded(kind, outcome, took);
    }

    /// A connection is passed on for as long as this is held.
    pub(crate) fn tunnel(&self) -> Tunnel {
        self.forwarding.tunnel()
    }

    /// How many are.
    pub(crate) fn tunnels(&self) -> i64 {
        self.forwarding.tunnels()
    }

    /// A server was asked for a new session.
    pub(crate) fn placed(&self, place: &'static str, outcome: &'static str) {
        self.forwarding.placed(place, outcome);
    }
}

fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}

/// Follows one run.
#[derive(Debug)]
pub(crate) struct RunMeter {
    metrics: Arc<Metrics>,
    language: &'static str,
    asked: Instant,
}

impl RunMeter {
    pub(crate) fn new(metrics: Arc<Metrics>, language: Language) -> Self {
        Self { metrics, language: language.as_str(), asked: Instant::now() }
    }

    /// Of a command, which counts as a language of its own.
    pub(crate) fn of_command(metrics: Arc<Metrics>) -> Self {
        Self { metrics, language: "shell", asked: Instant::now() }
    }

    /// Something has happened in it.
    pub(crate) fn saw(&self, event: &CellEvent) {
        match event {
            CellEvent::Started => self.started(),
            CellEvent::End(end) => self.cell_ended(end),
            _ => {}
        }
    }

    /// Its program runs.
    pub(crate) fn started(&self) {
        let start = self.metrics.run_start.get_or_create(&[("language", self.language)]);
        start.observe(self.asked.elapsed().as_secs_f64());
    }

    /// Its program has ended, in one word, after so long.
    pub(crate) fn ended(&self, outcome: &'static str, time: Duration) {
        self.metrics.run_ends.get_or_create(&[("language", self.language), ("outcome", outcome)]).inc();
        self.metrics.run_time.observe(time.as_secs_f64());
    }

    fn cell_ended(&self, end: &CellEnd) {
        let outcome = match end.outcome {
            Outcome::Finished => "finished",
            Outcome::Failed(_) => "failed",
            Outcome::TimedOut(_) => "timeout",
            Outcome::Cancelled => "cancelled",
            Outcome::Killed(_) => "killed",
            Outcome::NotStarted(_) => "not_started",
        };
        self.ended(outcome, end.execution_time);
    }
}
