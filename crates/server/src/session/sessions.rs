//! All sessions of a server.
//!
//! One task, the sweeper, sleeps until the next session may have been idle for too long and releases it. It ends with
//! the sessions.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{NewSession, Session, Stage};
use crate::auth::tokens::{Tokens, Verdict};
use crate::budget::Budget;
use crate::gateway::Upstream;
use crate::lock::lock;
use crate::observe::{Census, Metrics, Released};
use crate::settings::Config;
use crate::unix_time::unix_ms;
use crate::workspace::pool::Pool;

/// All sessions of a server.
pub(crate) struct Sessions {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    pool: Arc<Pool>,
    /// Of all sessions together.
    budget: Arc<Budget>,
    all: Mutex<All>,
    next_ordinal: AtomicU64,
    created: Arc<Notify>,
}

#[derive(Default)]
struct All {
    by_id: HashMap<String, Arc<Session>>,
    /// The last that were released, with their tokens.
    former: VecDeque<(String, Tokens)>,
    /// No new session; those that there are go on.
    cordoned: bool,
    /// No new session and no new run.
    closed: bool,
    /// When the newest session was created.
    last_created_ms: u64,
}

/// Why there is no new session.
#[derive(Debug, Error)]
pub(crate) enum CreateError {
    #[error("{limit} sessions exist already; release one, or start the server with a larger --max-sessions")]
    Full { limit: usize },
    #[error("the server is about to end; try again when it has been started anew")]
    Closed,
}

/// When nothing becomes idle before, look again after this: a session may have got a shorter time meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Released sessions whose tokens are remembered, so that their holders hear that the session is gone. A few hundred
/// bytes each; whoever comes later hears that the token is none.
const MOST_FORMER: usize = 1000;

impl Sessions {
    /// No session yet.
    pub(crate) fn new(config: Arc<Config>, pool: Arc<Pool>, metrics: Arc<Metrics>, budget: Arc<Budget>) -> Arc<Self> {
        let created = Arc::new(Notify::new());
        let sessions = Arc::new(Self {
            config,
            metrics,
            pool,
            budget,
            all: Mutex::default(),
            next_ordinal: AtomicU64::new(1),
            created: Arc::clone(&created),
        });
        tokio::spawn(sweep(Arc::downgrade(&sessions), created));
        sessions
    }

    /// Creates a session.
    pub(crate) fn create(&self, new: NewSession) -> Result<Arc<Session>, CreateError> {
        let mut all = self.all();
        if let Some(session) = new.id.as_deref().and_then(|id| all.by_id.get(id)) {
            return Ok(Arc::clone(session)); // asked for twice: an answer was lost
        }
        if all.is_closed() {
            return Err(CreateError::Closed);
        }
        let limit = self.config.limits.max_sessions;
        if all.by_id.len() >= limit {
            return Err(CreateError::Full { limit });
        }
        let ordinal = self.next_ordinal.fetch_add(1, Ordering::Relaxed);
        let created_ms = all.next_created_ms();
        let (pool, config, metrics) = (Arc::clone(&self.pool), Arc::clone(&self.config), Arc::clone(&self.metrics));
        let budget = Budget::within(&self.budget, self.config.limits.session_buffers);
        let session = Session::new((ordinal, created_ms), new, pool, config, metrics, budget);
        all.by_id.insert(session.id().to_owned(), Arc::clone(&session));
        drop(all);
        self.metrics.session_created();
        tracing::info!(session = session.id(), image = session.image().id(), "created");
        self.created.notify_one();
        Ok(session)
    }

    /// Takes up a session of the upstream's, or what it says anew of one that is known.
    pub(crate) fn take_up(&self, new: NewSession, upstream: Upstream) -> Result<Arc<Session>, CreateError> {
        if let Some(session) = self.find(upstream.id()) {
            session.take_up(upstream);
            session.touch();
            return Ok(session);
        }
        self.create(NewSession { upstream: Some(upstream), ..new })
    }

    /// Whether there is room for one more.
    pub(crate) fn check_room(&self) -> Result<(), CreateError> {
        let (all, limit) = (self.all(), self.config.limits.max_sessions);
        match (all.is_closed(), all.by_id.len() < limit) {
            (true, _) => Err(CreateError::Closed),
            (false, false) => Err(CreateError::Full { limit }),
            (false, true) => Ok(()),
        }
    }

    /// How programs are isolated.
    pub(crate) fn level(&self) -> agb_sandbox::Level {
        self.pool.level()
    }

    /// Finds a session.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Session>> {
        self.all().by_id.get(id).cloned()
    }

    /// Whether this was a token of a session that was released, not too many others ago.
    pub(crate) fn had_token(&self, id: &str, token: &str) -> bool {
        let all = self.all();
        all.former.iter().any(|(former, tokens)| former == id && tokens.check(token) != Verdict::Unknown)
    }

    /// All sessions, oldest first.
    pub(crate) fn list(&self) -> Vec<Arc<Session>> {
        let mut list: Vec<_> = self.all().by_id.values().cloned().collect();
        list.sort_unstable_by_key(|session| session.ordinal());
        list
    }

    /// Whether new ones can be created, as far as the server's life goes.
    pub(crate) fn is_open(&self) -> bool {
        !self.all().is_closed()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all().by_id.len()
    }

    /// Lets no session begin any more; those that there are go on, and runs begin in them.
    pub(crate) fn cordon(&self) {
        self.all().cordoned = true;
    }

    /// What there is now.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census { warm: self.pool.census(), ..Census::default() };
        for session in self.list() {
            census.sessions += 1;
            census.runs += session.activities();
            for language in session.languages() {
                *census.kernels.entry(language).or_default() += 1;
            }
        }
        census
    }

    /// Releases a session, waits until nothing of it is left, and forgets it.
    pub(crate) async fn release(self: &Arc<Self>, session: &Arc<Session>, why: Released) {
        // A task of its own, so that the session is forgotten even when the caller has gone away.
        let (sessions, session) = (Arc::clone(self), Arc::clone(session));
        let released = tokio::spawn(async move {
            session.release().await;
            if sessions.forget(&session) {
                sessions.metrics.session_released(why);
            }
        });
        if let Err(error) = released.await {
            tracing::error!(%error, "a release broke off");
        }
    }

    /// Whether it was there.
    fn forget(&self, session: &Session) -> bool {
        let mut all = self.all();
        let was_there = all.by_id.remove(session.id()).is_some();
        if was_there {
            all.former.push_back((session.id().to_owned(), session.tokens()));
            if all.former.len() > MOST_FORMER {
                all.former.pop_front();
            }
        }
        was_there
    }

    /// The other servers of the cluster declared this one lost: what is told to those whose sessions end now.
    pub(crate) fn declared_lost(&self) {
        self.list().iter().for_each(|session| session.declared_lost());
    }

    /// Lets no session and no run begin any more, and waits for those that go on, at most for so long.
    pub(crate) async fn drain(&self, time: Duration) {
        const LOOK: Duration = Duration::from_millis(20);
        self.all().closed = true;
        let sessions = self.list();
        sessions.iter().for_each(|session| session.stop_within(time));
        let until = Instant::now() + time;
        while Instant::now() < until && sessions.iter().any(|session| session.is_busy()) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Releases every session, lets none be created any more, and removes the folder.
    pub(crate) async fn close(self: &Arc<Self>) {
        self.drain(Duration::ZERO).await;
        let sessions = self.list();
        let released = join_all(sessions.iter().map(|session| self.release(session, Released::Ending)));
        tokio::join!(released, self.pool.close());
        self.pool.remove_files();
    }

    fn all(&self) -> MutexGuard<'_, All> {
        // Nothing panics while it holds the lock, and each change under it is a single step.
        lock(&self.all)
    }
}

impl All {
    fn is_closed(&self) -> bool {
        self.cordoned || self.closed
    }

    /// Now, or a moment later, so that the order of these times is that in which sessions were created.
    fn next_created_ms(&mut self) -> u64 {
        self.last_created_ms = unix_ms().max(self.last_created_ms.saturating_add(1));
        self.last_created_ms
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        // A server that was dropped without being closed: the kernels end with their handles, the files go here.
        self.pool.remove_files();
    }
}

async fn sweep(sessions: Weak<Sessions>, created: Arc<Notify>) {
    // Weak while asleep, or the sessions would never be dropped; hence the short sleeps.
    while let Some(next) = sessions.upgrade().map(|sessions| release_idle(&sessions)) {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = created.notified() => {}
        }
    }
}

/// Releases what has been idle for too long; says when to look again.
fn release_idle(sessions: &Arc<Sessions>) -> Instant {
    let now = Instant::now();
    let mut next = now + LOOK_AGAIN;
    for session in sessions.list().into_iter().filter(|session| session.stage() == Stage::Running) {
        let (idle, end) = (session.idle_deadline(now), session.lives_until());
        let why = match end {
            Some(end) if end <= now => Released::TimedOut,
            _ if idle <= now => Released::Idle,
            end => {
                next = next.min(end.map_or(idle, |end| end.min(idle)));
                continue;
            }
        };
        tracing::info!(session = session.id(), ?why, "its time is over");
        let sessions = Arc::clone(sessions);
        tokio::spawn(async move { sessions.release(&session, why).await });
    }
    next
}
