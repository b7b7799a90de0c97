//! Warm Pythons to copy, one for each way to start one.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use agb_kernel::{KernelSpec, Zygote};
use agb_protocol::Language;
use agb_sandbox::{Level, Network};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lock::lock;
use crate::workspace::KernelKey;

/// How long nothing is tried after a zygote could not be started.
///
/// A minute: what keeps one from starting (no memory, a broken package) rarely passes sooner, and a try costs a second.
const RETRY: Duration = Duration::from_secs(60);

/// How long a zygote stays that nobody has copied.
///
/// 15 min: it holds 20 to 100 MiB, and is started in a second; whoever works with an image comes back sooner.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// The zygotes of a server. One is started in the background when its image's Python is first used, so the first session
/// waits for no other's comfort.
#[derive(Debug)]
pub(crate) struct Zygotes {
    /// The directory that all sessions' lie in.
    sessions: PathBuf,
    is_on: bool,
    known: Mutex<HashMap<KernelKey, State>>,
    /// One that was starting is ready or has failed.
    changed: Notify,
}

#[derive(Debug)]
enum State {
    Starting,
    /// Since when nobody has copied it.
    Ready(Zygote, Instant),
    Failed(Instant),
}

impl Zygotes {
    /// None yet.
    pub(crate) fn new(sessions: PathBuf, is_on: bool) -> Arc<Self> {
        Arc::new(Self { sessions, is_on, known: Mutex::default(), changed: Notify::new() })
    }

    /// The one for a kernel, if it is there; else it will be.
    pub(crate) fn find(self: &Arc<Self>, key: &KernelKey, spec: &KernelSpec) -> Option<Zygote> {
        let policy = &spec.policy;
        let is_possible = policy.level == Level::Namespaces && policy.network != Network::Host;
        if !self.is_on || key.language != Language::Python || !is_possible {
            return None;
        }
        let mut known = self.known();
        let now = Instant::now();
        known.retain(|_, state| !matches!(state, State::Ready(_, used) if now - *used > IDLE));
        match known.get_mut(key) {
            Some(State::Ready(zygote, used)) if zygote.is_alive() => {
                *used = now;
                return Some(zygote.clone());
            }
            Some(State::Starting) => return None,
            Some(State::Failed(at)) if at.elapsed() < RETRY => return None,
            _ => known.insert(key.clone(), State::Starting),
        };
        drop(known);
        tokio::spawn(Arc::clone(self).start(key.clone(), spec.clone()));
        None
    }

    async fn start(self: Arc<Self>, key: KernelKey, spec: KernelSpec) {
        let state = match Zygote::start(&spec, &self.sessions).await {
            Ok(zygote) => State::Ready(zygote, Instant::now()),
            Err(error) => {
                tracing::warn!(%error, "no zygote; interpreters are started one by one");
                State::Failed(Instant::now())
            }
        };
        self.known().insert(key, state);
        self.changed.notify_waiters();
    }

    /// Waits while the one for a kernel is starting, for those who have time.
    pub(crate) async fn settle(self: &Arc<Self>, key: &KernelKey, spec: &KernelSpec) {
        loop {
            // Before the look: what changes after it is heard.
            let changed = self.changed.notified();
            if self.find(key, spec).is_some() || !matches!(self.known().get(key), Some(State::Starting)) {
                return;
            }
            changed.await;
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<KernelKey, State>> {
        // Each change under the lock is a single step.
        lock(&self.known)
    }
}
