//! Where programs run: the launcher of sandboxes, the level it works at, and what a session's programs may do.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use agb_sandbox::{ControlGroups, Controller, Launcher, LauncherError, Level, Policy, Report, SLOTS, SpawnError};
use rustix::process::{Resource, getrlimit};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;
use crate::random;
use crate::settings::Config;
use crate::settings::{Isolation, Network};
use crate::workspace::Folder;
use crate::workspace::egress::{NetworkHints, Proxies};

/// Why programs cannot be isolated as they should be.
#[derive(Debug, Error)]
pub enum IsolationError {
    /// There is nothing to make sandboxes with.
    #[error(transparent)]
    Launcher(#[from] LauncherError),
    /// The machine offers none.
    #[error(
        "this machine offers no isolation, so the server runs no programs:\n{0}`agb-server doctor` says more; \
         `--isolation none` runs programs with the server's own rights, for code that you would run yourself"
    )]
    None(Report),
    /// There is no way to let named domains through and nothing else.
    #[error(
        "--network allow=… needs a network for each program of its own, which the isolation level {0} has not; \
         `agb-server doctor` says what would give one"
    )]
    NoGate(Level),
    /// A limit was asked for that nothing keeps here.
    #[error(
        "--session-cpus needs control groups for processors, and the server has these: {0}; without the option \
         programs share processors by priority (--nice)"
    )]
    NoProcessorLimit(ControlGroups),
    /// The machine does not offer this one.
    #[error("the isolation level {level} cannot be had here: {error}")]
    Level {
        /// The level that was asked for.
        level: Level,
        /// What went wrong when it was tried.
        error: SpawnError,
    },
}

/// How long the end of a session waits for its programs: they end in milliseconds, and on a machine that has no time for
/// anything in seconds.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// What a command takes of the server's descriptors, about: three pipes, its sandbox's, and what waits for them.
const OF_COMMAND: u64 = 10;

/// As many commands may run at once, however few files the server may open.
const LEAST_COMMANDS: usize = 16;

/// What makes the sandboxes of all sessions.
#[derive(Debug)]
pub(crate) struct Sandboxes {
    launcher: Arc<Launcher>,
    level: Level,
    config: Arc<Config>,
    proxies: Arc<Proxies>,
    slots: Mutex<Slots>,
    most_commands: usize,
    commands: Arc<Semaphore>,
}

#[derive(Debug)]
struct Slots {
    taken: HashSet<u32>,
    /// Begins anywhere: two servers of one machine that use the same host users rarely meet.
    next: u32,
}

/// A session's slot: where the server may, programs of each run as a host user of their own. Free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u32,
    sandboxes: Arc<Sandboxes>,
    /// Something of its session could not be ended.
    occupied: AtomicBool,
    /// The turns of the starts of its commands.
    starts: Arc<Semaphore>,
}

/// So many commands of a session are started at once; more wait for their turns, and go before nobody of another session's.
///
/// 4: a start keeps one processor busy for some milliseconds and waits in between.
const STARTS: usize = 4;

impl Sandboxes {
    /// Starts the launcher and finds out, by trying, what this machine offers.
    pub(crate) fn start(config: Arc<Config>) -> Result<Arc<Self>, IsolationError> {
        let launcher = Launcher::start(&config.launcher)?;
        let level = match config.isolation {
            Isolation::Auto => {
                let report = launcher.probe();
                report.best().ok_or(IsolationError::None(report))?
            }
            Isolation::At(level) => {
                launcher.try_level(level).map_err(|error| IsolationError::Level { level, error })?;
                level
            }
        };
        if config.upstream.url.is_some() {
            tracing::debug!("a gateway runs no programs");
        } else if level == Level::None {
            tracing::warn!("programs run with the server's own rights: --isolation none");
        } else {
            tracing::info!(%level, network = %config.network, "programs are isolated");
        }
        let groups = launcher.control_groups();
        tracing::info!(%groups, "control groups");
        if config.upstream.url.is_none()
            && let Some(remedy) = groups.remedy_for_setsid()
        {
            tracing::warn!("{remedy}");
        }
        if config.sandbox.cpus > 0 && !groups.has(Controller::Processors) {
            return Err(IsolationError::NoProcessorLimit(groups));
        }
        if matches!(config.network, Network::Allow(_)) && !level.has_namespaces() {
            return Err(IsolationError::NoGate(level));
        }
        // Without isolation there is nothing that keeps programs from the network.
        let network = if level == Level::None { Network::Host } else { config.network.clone() };
        let proxies = Proxies::new(network, config.outside.clone());
        let by_slot = Arc::clone(&proxies);
        launcher.set_proxy_factory(Box::new(move |slot, proxy| by_slot.keep(slot, proxy)));
        let next = random::below(SLOTS);
        let slots = Mutex::new(Slots { taken: HashSet::new(), next });
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most_commands = most_commands(config.limits.max_commands, files);
        let commands = Arc::new(Semaphore::new(most_commands));
        Ok(Arc::new(Self { launcher: Arc::new(launcher), level, config, proxies, slots, most_commands, commands }))
    }

    pub(crate) fn launcher(&self) -> Arc<Launcher> {
        Arc::clone(&self.launcher)
    }

    /// The place of a command, for as long as something of it runs.
    ///
    /// # Errors
    /// The server has as many as it takes.
    fn command(&self) -> io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.commands).try_acquire_owned().map_err(|_| {
            let most = self.most_commands;
            io::Error::other(format!(
                "{most} commands run on this server already, those in the background included (--max-commands, ulimit -n): \
                 end some, or try again later"
            ))
        })
    }

    /// How programs are isolated.
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Whether programs run as other host users than the server: they have to get to their folders then.
    pub(crate) fn has_users(&self) -> bool {
        self.launcher.user_of(self.level, 0).is_some()
    }

    /// A slot that no living session has.
    pub(crate) fn slot(self: &Arc<Self>) -> io::Result<Slot> {
        // The last one is for trials.
        const USABLE: u32 = SLOTS - 1;
        let mut slots = self.slots();
        let first = slots.next;
        let free = (0..USABLE).map(|at| (first + at) % USABLE).find(|number| !slots.taken.contains(number));
        let number = free.ok_or_else(|| io::Error::other(format!("all {USABLE} slots for sessions are taken")))?;
        slots.taken.insert(number);
        slots.next = number + 1;
        drop(slots);
        self.proxies.make(number);
        let (occupied, starts) = (AtomicBool::new(false), Arc::new(Semaphore::new(STARTS)));
        Ok(Slot { number, sandboxes: Arc::clone(self), occupied, starts })
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Each change under the lock is a single step.
        lock(&self.slots)
    }
}

/// As many as are allowed, and as there are descriptors for: half of them are left to connections and interpreters.
fn most_commands(allowed: usize, files: u64) -> usize {
    let fitting = usize::try_from(files / 2 / OF_COMMAND).unwrap_or(usize::MAX);
    allowed.min(fitting.max(LEAST_COMMANDS)).min(Semaphore::MAX_PERMITS)
}

impl Slot {
    /// The place of a command on the server, for as long as something of it runs.
    ///
    /// # Errors
    /// The server has as many as it takes.
    pub(crate) fn command(&self) -> io::Result<OwnedSemaphorePermit> {
        self.sandboxes.command()
    }

    /// The turns of the starts of the session's commands.
    pub(crate) fn starts(&self) -> &Arc<Semaphore> {
        &self.starts
    }

    /// The host user that the session's files belong to, where that is another than the server's.
    pub(crate) fn user(&self) -> Option<u32> {
        self.sandboxes.launcher.user_of(self.sandboxes.level, self.number)
    }

    /// What programs of the session may do.
    pub(crate) fn policy(&self, folder: &Folder, env: Vec<(String, String)>, readonly: Vec<PathBuf>) -> Policy {
        let config = &self.sandboxes.config;
        let mut policy = Policy::new(self.sandboxes.level, folder.work(), self.number);
        policy.tmp = Some(folder.tmp().to_path_buf());
        policy.readonly = readonly;
        policy.mounts = folder.mounts();
        policy.limits = config.sandbox.clone();
        policy.network = config.network.of_sandbox();
        policy.env = config.network.environment();
        policy.env.retain(|(name, _)| !env.iter().any(|(given, _)| given == name));
        policy.env.extend(env);
        policy
    }

    pub(crate) fn launcher(&self) -> Arc<Launcher> {
        self.sandboxes.launcher()
    }

    /// TCP sockets in the network of the session's programs, not connected yet. Blocks.
    ///
    /// # Errors
    /// `NotFound`: no program runs. `Unsupported`: programs have no network of their own.
    pub(crate) fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        let sandboxes = &self.sandboxes;
        if !sandboxes.level.has_namespaces() || matches!(sandboxes.config.network, Network::Host) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        sandboxes.launcher.sockets(self.number)
    }

    /// Which network that is now.
    ///
    /// # Errors
    /// As [`Slot::sockets`].
    pub(crate) fn network(&self) -> io::Result<u64> {
        self.sandboxes.launcher.network(self.number)
    }

    /// Whether programs here leave busy processors to those of others: nobody waits for them.
    pub(crate) fn stand_back(&self, back: bool) {
        self.sandboxes.launcher.stand_back(self.number, back);
    }

    /// Gives the session a network of its own, before its first program starts.
    pub(crate) fn narrow(&self, network: &Network) {
        self.sandboxes.proxies.narrow(self.number, network);
    }

    /// Follows a run, to say what would let its program reach the network.
    pub(crate) fn network_hints(&self) -> NetworkHints {
        NetworkHints::new(Arc::clone(&self.sandboxes.proxies), self.number)
    }

    /// Ends everything that runs in the slot, and waits for it. False: something still runs after [`END_PATIENCE`], and
    /// nobody gets the slot again. This blocks.
    pub(crate) fn end_all(&self) -> bool {
        let ended = self.sandboxes.launcher.end_slot(self.number, END_PATIENCE);
        if !ended {
            self.occupied.store(true, Ordering::Relaxed);
        }
        ended
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// How programs are isolated.
    pub(crate) fn level(&self) -> Level {
        self.sandboxes.level
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Its last start has ended with whoever asked for it: nothing follows.
        self.sandboxes.launcher.forget_slot(self.number);
        self.stand_back(false);
        self.sandboxes.proxies.remove(self.number);
        if !self.occupied.load(Ordering::Relaxed) {
            self.sandboxes.slots().taken.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_leave_descriptors_to_others() {
        for (allowed, files, most) in [(1000, 20_000, 1000), (1000, 4096, 204), (1000, 64, 16), (2, 64, 2)] {
            assert_eq!(most_commands(allowed, files), most, "{allowed} of {files}");
        }
    }
}
