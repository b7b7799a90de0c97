//! A session: the runs in it, and its workspace with the files and interpreters.
//!
//! ```text
//! session ─┬─ workspace, from its first use on ── kernel (a language) ── its own tasks, its process
//!          ├─ run ── its run task, ends with its program
//!          └─ release ── one task, once: ends the runs, and the workspace with all in it
//! ```
//!
//! A session is `RUNNING` until its release begins, then `DELETING`; when everything is gone it is forgotten.

mod archive;
mod commands;
mod connect;
mod left_out;
pub(crate) mod mounts;
mod path_set;
mod ports;
mod runs;
pub(crate) mod sessions;
mod side;
mod stage;
mod sync;
pub(crate) mod sync_tasks;
mod upstream;
mod use_clock;
mod workspace;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use agb_protocol::Language;
use agb_protocol::Secret;
use agb_protocol::service::StartRun;
use agb_sandbox::Level;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use self::mounts::Mount;
pub(crate) use self::ports::{Ports, PortsTaken, ProgramConnection};
pub(crate) use self::runs::{ListedRun, NotStarted, RunKind, Started};
use self::runs::{RunRecord, Runs};
pub(crate) use self::stage::{Stage, gone};
use self::sync_tasks::SessionContexts;
pub(crate) use self::use_clock::Busy;
use self::use_clock::UseClock;
use crate::auth::access::AccessGrant;
use crate::auth::admission::{Admission, AllTaken};
use crate::auth::tokens::{Tokens, Verdict};
use crate::budget::Budget;
use crate::gateway::Upstream;
use crate::images::Image;
use crate::lock::lock;
use crate::observe::{Metrics, RunMeter};
use crate::random;
use crate::run::event::{RunFailure, failure};
use crate::run::{Feed, Run, RunOptions, Source, SpoolSpace};
use crate::settings::Config;
use crate::workspace::pool::Pool;
use crate::workspace::{ProgramOptions, Workspace};

/// The runs of a session, and its workspace once it was used.
pub(crate) struct Session {
    id: String,
    ordinal: u64,
    created_ms: u64,
    image: Image,
    tokens: Mutex<Tokens>,
    admission: Admission,
    budget: Arc<Budget>,
    /// What observers read of its runs' files counts here as well: a quarter of it, so that they leave its owner the rest.
    pages: Arc<Budget>,
    /// What the files of its runs may have.
    spools: Arc<Budget>,
    ports: Ports,
    file_tools: Arc<Semaphore>,
    connections_turn: tokio::sync::Mutex<()>,
    pool: Arc<Pool>,
    workspace: Mutex<Option<Arc<Workspace>>>,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    stage: watch::Sender<Stage>,
    /// When nothing of it was left.
    gone_at: Arc<OnceLock<Instant>>,
    clock: Mutex<UseClock>,
    labels: Mutex<BTreeMap<String, String>>,
    runs: Mutex<Runs>,
    contexts: SessionContexts,
    options: ProgramOptions,
    timeout: Option<Duration>,
    created: Instant,
    /// A gateway's session is there; nothing of it runs here.
    upstream: Option<Mutex<Upstream>>,
    /// The server was told to stop.
    stopping: AtomicBool,
    /// The other servers of its cluster declared the server lost.
    declared_lost: AtomicBool,
}

/// What a new session is given.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) image: Image,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) idle_timeout: Duration,
    /// How long it may live.
    pub(crate) timeout: Option<Duration>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) options: ProgramOptions,
    /// Its id, where it is more than a name that nobody guesses.
    pub(crate) id: Option<String>,
    /// Where its programs run, if not here.
    pub(crate) upstream: Option<Upstream>,
}

/// What a run is to be fed from, once it is there.
struct NewSource {
    /// Where the run's file is made.
    spool: SpoolSpace,
    start: Box<dyn FnOnce(Feed) -> Box<dyn Source>>,
}

/// Something is going on in the session: it is not idle until this is dropped.
pub(crate) struct Activity {
    session: Arc<Session>,
    bytes: usize,
}

impl Drop for Activity {
    fn drop(&mut self) {
        lock(&self.session.clock).end(self.bytes);
    }
}

/// A run goes on in the session, under its id.
struct ActiveRun {
    id: String,
    activity: Activity,
}

impl Drop for ActiveRun {
    fn drop(&mut self) {
        let session = &self.activity.session;
        lock(&session.runs).has_ended(&self.id, &session.config.limits);
    }
}

/// A run can be seen in the session, under its id.
struct Retention {
    id: String,
    session: Arc<Session>,
}

impl Drop for Retention {
    fn drop(&mut self) {
        lock(&self.session.runs).forget(&self.id);
    }
}

impl Session {
    /// A session that has nothing yet: it takes a workspace when it is used.
    pub(crate) fn new(
        (ordinal, created_ms): (u64, u64),
        new: NewSession,
        pool: Arc<Pool>,
        config: Arc<Config>,
        metrics: Arc<Metrics>,
        budget: Arc<Budget>,
    ) -> Arc<Self> {
        if let Some(upstream) = &new.upstream {
            upstream.count(&budget);
        }
        Arc::new(Self {
            id: match &new.upstream {
                Some(upstream) => upstream.id().to_owned(),
                None => new.id.unwrap_or_else(random::session_id),
            },
            ordinal,
            created_ms,
            image: new.image,
            tokens: Mutex::new(Tokens::new(config.limits.token_time)),
            admission: Admission::new(&config.limits),
            pages: Budget::within(&budget, config.limits.session_buffers / 4),
            budget,
            spools: Budget::new(usize::try_from(config.limits.session_spool).unwrap_or(usize::MAX)),
            ports: Ports::new(config.links.connections),
            file_tools: Arc::new(Semaphore::new(config.limits.max_file_tools.clamp(1, Semaphore::MAX_PERMITS))),
            connections_turn: tokio::sync::Mutex::default(),
            pool,
            workspace: Mutex::default(),
            config,
            metrics,
            stage: watch::Sender::new(Stage::Running),
            gone_at: Arc::default(),
            clock: Mutex::new(UseClock::new(new.idle_timeout)),
            labels: Mutex::new(new.labels),
            runs: Mutex::default(),
            contexts: SessionContexts::new(new.mounts),
            options: new.options,
            timeout: new.timeout,
            created: Instant::now(),
            upstream: new.upstream.map(Mutex::new),
            stopping: AtomicBool::new(false),
            declared_lost: AtomicBool::new(false),
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Its place in the order in which sessions were created.
    pub(crate) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// When it was created, in milliseconds since the Unix epoch. Later ones of this server have larger numbers.
    pub(crate) fn created_ms(&self) -> u64 {
        self.created_ms
    }

    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// What opens this session's WebSocket and link, and nothing else, for a while.
    pub(crate) fn token(&self) -> Secret {
        lock(&self.tokens).hand_out()
    }

    /// Its own tokens, for those who come with one when it has gone.
    pub(crate) fn tokens(&self) -> Tokens {
        lock(&self.tokens).clone()
    }

    /// Whether a token is this session's own.
    pub(crate) fn check_token(&self, candidate: &str) -> Verdict {
        lock(&self.tokens).check(candidate)
    }

    /// A call with a token comes; else how long it has to wait. Apart from the API key's calls: a page cannot use those up.
    pub(crate) fn call(&self, grant: &AccessGrant) -> Result<(), Duration> {
        self.admission.call(grant)
    }

    /// The same of a message of a connection, which is read already: it says how long to wait before another one is.
    pub(crate) fn message(&self, grant: &AccessGrant) -> Duration {
        self.admission.call_anyway(grant)
    }

    /// What its requests, messages and answers may hold.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// A WebSocket or an event stream comes; held as long as it lasts.
    pub(crate) fn connect(&self, grant: &AccessGrant) -> Result<OwnedSemaphorePermit, Busy> {
        let most = self.config.limits.max_connections_per_session;
        self.admission.connect(grant).map_err(|AllTaken| Busy::TooManyConnections(most))
    }

    /// That of its WebSockets whose client sends without pause has it which goes on next.
    pub(crate) fn connections_turn(&self) -> &tokio::sync::Mutex<()> {
        &self.connections_turn
    }

    /// Where its programs listen.
    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    /// A file tool's turn, to be held by the work itself. Whoever waits holds what his call holds.
    pub(crate) async fn file_tool(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.file_tools).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// How its programs are isolated.
    pub(crate) fn level(&self) -> Level {
        self.pool.level()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Tells of every change of [`Session::stage`].
    pub(crate) fn watch_stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// When nothing of it was left, for whoever is told of that late.
    pub(crate) fn gone_at(&self) -> Arc<OnceLock<Instant>> {
        Arc::clone(&self.gone_at)
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        lock(&self.labels).clone()
    }

    pub(crate) fn set_labels(&self, labels: BTreeMap<String, String>) {
        *lock(&self.labels) = labels;
    }

    /// How many runs and calls go on.
    pub(crate) fn activities(&self) -> usize {
        lock(&self.clock).going()
    }

    /// The languages that have an interpreter here.
    pub(crate) fn languages(&self) -> Vec<Language> {
        lock(&self.workspace).as_ref().map(|workspace| workspace.languages()).unwrap_or_default()
    }

    /// Follows a run in the server's metrics.
    pub(crate) fn meter(&self, language: Language) -> RunMeter {
        RunMeter::new(Arc::clone(&self.metrics), language)
    }

    /// Starts the idle time anew.
    pub(crate) fn touch(&self) {
        lock(&self.clock).touch();
    }

    /// When the session will have been idle for too long, if nothing happens.
    pub(crate) fn idle_deadline(&self, now: Instant) -> Instant {
        lock(&self.clock).deadline(now)
    }

    /// How long it may live, whatever goes on in it.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// When it will have lived for so long.
    pub(crate) fn lives_until(&self) -> Option<Instant> {
        self.timeout.map(|timeout| self.created + timeout)
    }

    /// Something begins that lasts and holds so many bytes of its caller's, if the session still takes it.
    pub(crate) fn begin(self: &Arc<Self>, bytes: usize) -> Result<Activity, Busy> {
        if self.stage() != Stage::Running {
            return Err(Busy::Ending);
        }
        if self.stopping.load(Ordering::Relaxed) {
            return Err(Busy::Stopping);
        }
        lock(&self.clock).begin(bytes, &self.config.limits)?;
        Ok(Activity { session: Arc::clone(self), bytes })
    }

    /// The server was told to stop: takes nothing new, and tells what goes on that it has so long.
    pub(crate) fn stop_within(&self, time: Duration) {
        self.stopping.store(true, Ordering::Relaxed);
        for entry in lock(&self.runs).by_id.values() {
            entry.run.announce_stop(time);
        }
    }

    /// The server was declared lost: what ends now hears that reason.
    pub(crate) fn declared_lost(&self) {
        self.declared_lost.store(true, Ordering::Relaxed);
    }

    /// Why it ends, for those who are connected to it.
    pub(crate) fn end_reason(&self) -> &'static str {
        match self.declared_lost.load(Ordering::Relaxed) {
            true => "the session's server was declared lost",
            false => "the session was released",
        }
    }

    /// Whether runs or calls go on.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.clock).is_busy()
    }

    /// The run that can be seen under this id.
    pub(crate) fn run(&self, id: &str) -> Option<Arc<Run>> {
        lock(&self.runs).by_id.get(id).map(|entry| Arc::clone(&entry.run))
    }

    /// Starts a program as a run that can be watched. Said again with the same id, for a run that can be resumed, it finds
    /// the run that there is: nothing is ever run twice because an answer was lost.
    pub(crate) fn start(
        self: &Arc<Self>,
        id: &str,
        options: RunOptions,
        start: StartRun,
    ) -> Result<Started, NotStarted> {
        let language = parse_language(&start.language)?;
        let mut hasher = DefaultHasher::new();
        (language, &start.code).hash(&mut hasher);
        let program = hasher.finish();
        if let Some(found) = lock(&self.runs).find(id, program, options)? {
            return Ok(Started::Before(found));
        }
        let timeout = self.run_timeout(start.timeout_s)?;
        let activity = self.begin_run(start.code.len())?;
        let record = RunRecord::new(RunKind::Program(language), &start.code);
        let source = match self.upstream() {
            Some(upstream) => self.source_there(upstream, language, options, start),
            None => self.source_here(language, options, start, timeout)?,
        };
        self.start_run(id, options, (program, record), activity, source)
    }

    /// Time for a run, as it asked for.
    pub(crate) fn run_timeout(&self, asked: Option<f64>) -> Result<Duration, RunFailure> {
        let limits = &self.config.limits;
        let Some(seconds) = asked else { return Ok(limits.default_run_timeout) };
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|timeout| !timeout.is_zero() && *timeout <= limits.max_run_timeout)
            .ok_or_else(|| {
                let most = limits.max_run_timeout.as_secs();
                failure(
                    "InvalidTimeout",
                    format!("a timeout of {seconds} s cannot be had: give more than 0 and at most {most} s"),
                )
            })
    }

    /// Ends everything and waits until it is gone. Whoever comes second waits for the first.
    pub(crate) async fn release(self: &Arc<Self>) {
        let first = self.stage.send_if_modified(|stage| {
            let first = *stage == Stage::Running;
            if first {
                *stage = Stage::Deleting;
            }
            first
        });
        if first {
            // A task of its own: a caller that goes away does not leave the work half done.
            tokio::spawn(Arc::clone(self).end());
        }
        gone(&mut self.watch_stage()).await;
    }

    async fn end(self: Arc<Self>) {
        tracing::debug!(session = self.id, "releasing");
        let workspace = lock(&self.workspace).take();
        self.ports.close();
        let runs: Vec<Arc<Run>> = lock(&self.runs).by_id.values().map(|entry| Arc::clone(&entry.run)).collect();
        let stopping = self.stopping.load(Ordering::Relaxed);
        let reason = if stopping { "the server was told to stop" } else { self.end_reason() };
        for run in &runs {
            run.interrupt_with(reason);
        }
        if let Some(workspace) = workspace {
            workspace.end_programs().await;
            self.upload_mounts(&workspace).await;
            workspace.close().await;
        }
        tracing::info!(session = self.id, "released");
        self.gone_at.get_or_init(Instant::now);
        self.stage.send_replace(Stage::Gone);
        for run in runs {
            run.forget();
        }
    }
}

/// The language of a run, or why it is refused.
pub(crate) fn parse_language(name: &str) -> Result<Language, RunFailure> {
    Language::parse(name).map_err(|error| failure("UnknownLanguage", error.to_string()))
}

fn refusal(busy: &Busy) -> RunFailure {
    let name = match busy {
        Busy::Ending => "SessionReleased",
        Busy::Stopping => "ServerStopping",
        Busy::TooMany(_) | Busy::TooManyConnections(_) => "TooManyRuns",
        Busy::TooMuch(_) => "TooMuchCode",
    };
    failure(name, busy.to_string())
}
