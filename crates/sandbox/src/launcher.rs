//! The server's side of the launcher.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::cgroup::{Group, Groups};
use crate::error::{LauncherError, SpawnError};
use crate::helper::Host;
use crate::network::{Networks, SharedNetwork};
use crate::nursery::Nursery;
use crate::plan::{Kind, MAX_MESSAGE, Message, Plan};
use crate::processes::{ProcessTables, SharedNamespaces};
use crate::reports::{Abilities, Complete, Reports};
use crate::sys::socket::{self, Received};
use crate::watch::Watch;
use crate::watched::Watched;
use crate::{Child, Command, ControlGroups, Exceeded, Level, Network, Policy, Stage};

mod process;
mod table;
mod trial;

use self::process::Process;

/// How long the launcher may take to say hello, and a sandbox to run its program.
///
/// 30 s: both take milliseconds; this is for a machine that has no time for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What becomes of the proxies of sandboxes with [`Network::Proxy`](crate::Network::Proxy): called with the slot and the
/// listening socket of each new one. What it gives is dropped with the sandbox's [`Child`].
pub type ProxyFactory = Box<dyn Fn(u32, TcpListener) -> Box<dyn Any + Send + Sync> + Send + Sync>;

/// A small process that makes sandboxes for this one, which may be large and have many threads.
///
/// Dropping it ends all its sandboxes. All methods may be called from any thread; they block for milliseconds.
///
/// Should the process be killed from outside, then its sandboxes end with it, and the next one is made by a new process.
#[derive(Debug)]
pub struct Launcher {
    pub(crate) program: PathBuf,
    /// What the process has, too.
    rights: Host,
    process: Mutex<Process>,
    /// Behind the process, whose end ends all sandboxes: their groups are empty then.
    groups: Arc<Groups>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) networks: Networks,
    processes: ProcessTables,
    /// Whether this machine lets commands enter a process table, and they can see it. The first that tells decides: what fails
    /// later is one session's own, which may be at a limit.
    shares: OnceLock<bool>,
    proxy_factory: OnceLock<OpaqueFactory>,
}

struct OpaqueFactory(ProxyFactory);

impl fmt::Debug for OpaqueFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyFactory")
    }
}

impl Launcher {
    /// Starts the executable, whose `main` must begin with [`main_if_helper`](crate::main_if_helper): usually this
    /// process's own, `/proc/self/exe`.
    pub fn start(program: impl AsRef<Path>) -> Result<Self, LauncherError> {
        let program = program.as_ref();
        let rights = Host::look()
            .map_err(|error| LauncherError::NotStarted { program: program.to_owned(), reason: error.to_string() })?;
        // Before the process, which is to be where the groups leave room for it.
        let groups = Groups::start();
        Ok(Self {
            program: program.to_owned(),
            rights,
            process: Mutex::new(Process::start(program)?),
            watch: Arc::new(Watch::new(&groups)),
            groups,
            networks: Networks::default(),
            processes: ProcessTables::default(),
            shares: OnceLock::new(),
            proxy_factory: OnceLock::new(),
        })
    }

    /// Sets what serves the proxy sockets of sandboxes; only the first call counts. Without a factory they are closed.
    pub fn set_proxy_factory(&self, proxy_factory: ProxyFactory) {
        // The first one stays.
        let _ = self.proxy_factory.set(OpaqueFactory(proxy_factory));
    }

    /// The host user that programs of this slot run as, where that is another than the server's: the one that their
    /// files belong to.
    #[must_use]
    pub fn user_of(&self, level: Level, slot: u32) -> Option<u32> {
        self.rights.slot_user(level, slot)
    }

    /// Whether the programs of this slot, those that run and those to come, stand back where processors are busy: they get
    /// a quarter of what others get. Of no effect where there are no control groups for processors.
    pub fn stand_back(&self, slot: u32, back: bool) {
        self.groups.stand_back(slot, back);
    }

    /// Which limits of sessions control groups keep here.
    #[must_use]
    pub fn control_groups(&self) -> ControlGroups {
        self.groups.report()
    }
}

impl Launcher {
    /// Starts a program in a new sandbox, with these descriptors as its 0 to 4, and nothing else open.
    ///
    /// Returns when the program runs, or with the step that failed. Pipes are given to the sandbox's user, so that
    /// the program can also open them by `/dev/fd`.
    pub fn spawn(&self, policy: &Policy, command: &Command, fds: [BorrowedFd<'_>; 5]) -> Result<Child, SpawnError> {
        let mut plan = Plan::new(policy, command, Kind::Program)?;
        plan.full = self.watch.is_full(policy.slot);
        if let Some(limit) = plan.full.filter(|_| !command.even_when_full) {
            return Err(SpawnError::Full(limit));
        }
        if command.shares_processes
            && let Some(child) = self.run_among_others(&plan, fds)?
        {
            return Ok(child);
        }
        self.run(plan, fds)
    }

    /// Starts a program as the zygote of a new [`Nursery`], with these descriptors as its 0 to 4; its 5 is where it is
    /// asked for copies. `policy.workdir` is the directory that the working directories of all sessions will lie in, and
    /// `policy.slot` means nothing: the zygote is a user of its own, and in no session's control group.
    pub fn nursery(&self, policy: &Policy, command: &Command, fds: [BorrowedFd<'_>; 5]) -> Result<Nursery, SpawnError> {
        let plan = Plan::new(policy, command, Kind::Nursery)?;
        let made = self.make(&plan, None, fds, (None, None), |bytes, fds| self.order(bytes, fds))?;
        if made.status.is_some() {
            return Err(SpawnError::Vanished); // the zygote has
        }
        let watched = (Arc::new(made.watched), Arc::clone(&self.watch));
        Ok(Nursery::new(Child::new(watched, made.pid, made.abilities, None, None, None)))
    }

    /// Copies a nursery's zygote into a new sandbox, with these descriptors as the copy's 0 to 4. The policy must be what
    /// the nursery was made with, but for what is a session's own: its directories, and its slot.
    pub fn copy(&self, nursery: &Nursery, policy: &Policy, fds: [BorrowedFd<'_>; 5]) -> Result<Child, SpawnError> {
        let system = |what| move |error: io::Error| SpawnError::System { what, errno: errno(&error) };
        if let Some(limit) = self.watch.is_full(policy.slot) {
            return Err(SpawnError::Full(limit));
        }
        let plan = Plan::new(policy, &Command::new("/zygote"), Kind::Copy)?;
        // What follows is done here because a nursery has no right over what is the server's.
        if let Some(user) = self.user_of(policy.level, policy.slot) {
            hand_over(&plan, &fds, user).map_err(system("give a directory or a pipe to the sandbox's user"))?;
        }
        let group = self.groups.session(plan.policy.slot, &plan.policy.limits)?;
        let cgroup_files: io::Result<Vec<std::fs::File>> = group
            .iter()
            .flat_map(|group| group.cgroup_files())
            .map(|file| std::fs::File::options().write(true).open(file))
            .collect();
        let cgroup_files = cgroup_files.map_err(system("open a control group"))?;
        let (made, network) = self.make_in_network(plan, group, fds, (Some(nursery.key()), None), |bytes, fds| {
            // The program's own, then control groups, then the network and the control socket.
            let (own, rest) = fds.split_at(5);
            let groups = cgroup_files.iter().map(AsFd::as_fd);
            let fds: Vec<_> = own.iter().copied().chain(groups).chain(rest.iter().copied()).collect();
            nursery.order(bytes, &fds)
        })?;
        Ok(self.watched(made, network, Some(nursery)))
    }

    fn run(&self, plan: Plan, fds: [BorrowedFd<'_>; 5]) -> Result<Child, SpawnError> {
        let group = self.groups.session(plan.policy.slot, &plan.policy.limits)?;
        let plan = Plan { groups: group.as_ref().map(|group| group.cgroup_files()).unwrap_or_default(), ..plan };
        let order = |bytes: &[u8], fds: &[BorrowedFd<'_>]| self.order(bytes, fds);
        let (made, network) = self.make_in_network(plan, group, fds, (None, None), order)?;
        Ok(self.watched(made, network, None))
    }

    fn watched(&self, made: Made, network: Option<Arc<SharedNetwork>>, nursery: Option<&Nursery>) -> Child {
        let watched = Arc::new(made.watched);
        self.watch.add(&watched);
        let watched = (watched, Arc::clone(&self.watch));
        Child::new(watched, made.pid, made.abilities, made.status, network, nursery.map(Nursery::host))
    }

    /// [`make`](Self::make) in the session's network: the one that is there, or a new one.
    fn make_in_network(
        &self,
        mut plan: Plan,
        group: Option<Arc<Group>>,
        fds: [BorrowedFd<'_>; 5],
        (nursery, processes): (Option<u64>, Option<&SharedNamespaces>),
        order: impl FnOnce(&[u8], &[BorrowedFd<'_>]) -> Result<(), SpawnError>,
    ) -> Result<(Made, Option<Arc<SharedNetwork>>), SpawnError> {
        let Policy { level, network: policy, slot, .. } = plan.policy;
        if !level.has_namespaces() || policy == Network::Host || plan.kind == Kind::Trial {
            return Ok((self.make(&plan, group, fds, (None, processes), order)?, None));
        }
        let place = self.networks.slot(slot);
        let elsewhere =
            |network: &Arc<SharedNetwork>| network.policy == policy && nursery.is_some() && network.nursery != nursery;
        // A nursery has no right over a network that was made elsewhere. One that nobody is in any more can go.
        if place.lock().upgrade().is_some_and(|network| elsewhere(&network)) {
            self.processes.forget_idle(slot);
        }
        let mut known = place.lock();
        if let Some(network) = known.upgrade().filter(|network| network.policy == policy) {
            drop(known);
            if elsewhere(&network) {
                let detail = "another sandbox of the session has made it".to_owned();
                return Err(SpawnError::Failed { stage: Stage::Network, errno: libc::EPERM, detail });
            }
            plan.joins_network = true;
            let made = self.make(&plan, group, fds, (Some(network.namespace.as_fd()), processes), order)?;
            return Ok((made, Some(network)));
        }
        let mut made = self.make(&plan, group, fds, (None, processes), order)?;
        let network = made
            .network
            .take()
            .map(|namespace| Arc::new(SharedNetwork { namespace, policy, nursery, _proxy: made.proxy.take() }));
        *known = network.as_ref().map(Arc::downgrade).unwrap_or_default();
        Ok((made, network))
    }

    /// Ends all sandboxes of a slot, those that nobody holds any more included, and waits until nothing of them runs.
    /// False: it still does after `patience`. What a session has left may be removed only after this.
    #[must_use]
    pub fn end_slot(&self, slot: u32, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        self.networks.forget(slot);
        self.processes.forget(slot);
        let sandboxes = self.watch.of_slot(slot);
        sandboxes.iter().for_each(|sandbox| self.watch.end(sandbox));
        let mut all_ended = true;
        for sandbox in &sandboxes {
            while !sandbox.has_ended() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    all_ended = false;
                    break;
                }
                // The thread that watches presses meanwhile; if there is none, this does.
                let _ = socket::wait_readable([sandbox.init.as_fd()], Some(left.min(Duration::from_millis(200))));
                sandbox.press();
            }
        }
        let all_ended = all_ended && self.groups.end_session(slot, deadline);
        if all_ended {
            self.watch.forget(slot);
        }
        all_ended
    }

    /// Ends and lets go of what starts have left that the [end](Self::end_slot) of their slot has overtaken: call it when nobody
    /// can start anything in the slot any more. Does not wait.
    pub fn forget_slot(&self, slot: u32) {
        self.networks.forget(slot);
        self.processes.forget(slot);
        self.watch.of_slot(slot).iter().for_each(|sandbox| self.watch.end(sandbox));
        self.watch.forget(slot);
    }

    /// Gives a plan to whoever carries it out, and hears how that goes.
    fn make(
        &self,
        plan: &Plan,
        group: Option<Arc<Group>>,
        fds: [BorrowedFd<'_>; 5],
        (network, processes): (Option<BorrowedFd<'_>>, Option<&SharedNamespaces>),
        order: impl FnOnce(&[u8], &[BorrowedFd<'_>]) -> Result<(), SpawnError>,
    ) -> Result<Made, SpawnError> {
        let system = |what| move |error: io::Error| SpawnError::System { what, errno: errno(&error) };
        let deadline = Instant::now() + PATIENCE;
        let bytes = plan.encode()?;
        let (control, its) = socket::pair().map_err(system("create a socket"))?;
        // Before anything can be sent: the number of the program's process is read off its message.
        socket::name_senders(control.as_fd()).map_err(system("configure a socket"))?;
        let processes = processes.into_iter().flat_map(SharedNamespaces::fds);
        let sent: Vec<BorrowedFd<'_>> = fds.into_iter().chain(network).chain(processes).chain([its.as_fd()]).collect();
        let killed_before = group.as_ref().map_or(0, |group| group.killed());
        order(&bytes, &sent)?;
        drop(sent);
        drop(its);

        let mut reports = Reports::default();
        let complete = hear(&control, &mut reports, deadline).inspect_err(|_| reports.give_up());
        let complete = complete.map_err(|error| match (error, &group) {
            (SpawnError::Vanished, Some(group)) if group.is_out_of_memory(killed_before) => {
                SpawnError::Exceeded(Exceeded::Memory(plan.policy.limits.total_memory))
            }
            (error, _) => error,
        });
        let Complete { init, pid, abilities, status, network, processes, proxy } = complete?;
        let factory = self.proxy_factory.get();
        let proxy = proxy.zip(factory).map(|(socket, factory)| factory.0(plan.policy.slot, socket));
        let (level, slot) = (plan.policy.level, plan.policy.slot);
        let shares_user = !level.has_namespaces() && self.user_of(level, slot).is_none();
        let watched = Watched::new((control, init, pid), plan, group, killed_before, shares_user);
        Ok(Made { watched, pid, abilities, status, network, processes, proxy })
    }

    /// Gives a plan to the launcher's process, or to a new one if that has ended.
    fn order(&self, plan: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), SpawnError> {
        let mut process = self.process();
        if process.order(plan, fds).is_ok() {
            return Ok(());
        }
        *process = Process::start(&self.program).map_err(|_| SpawnError::LauncherGone)?;
        process.order(plan, fds).map_err(|_| SpawnError::LauncherGone)
    }

    /// The launcher's process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process().id()
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        // It is replaced in one step.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sandbox that has just been made.
struct Made {
    watched: Watched,
    pid: i32,
    abilities: Abilities,
    /// How the program ended, if it has.
    status: Option<i32>,
    /// What it has made, if it has.
    network: Option<OwnedFd>,
    processes: Option<SharedNamespaces>,
    proxy: Option<Box<dyn Any + Send + Sync>>,
}

/// Gives what the program is to use to its user, which a nursery has no right to. A program opens its pipes again by
/// /dev/fd/N.
fn hand_over(plan: &Plan, fds: &[BorrowedFd<'_>], user: u32) -> io::Result<()> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt, fchown};
    for path in plan.policy.own_dirs() {
        let dir = std::fs::File::open(path)?;
        if dir.metadata()?.uid() != user {
            fchown(&dir, Some(user), Some(user))?;
        }
    }
    for fd in fds {
        let file = std::fs::File::from(fd.try_clone_to_owned()?);
        if file.metadata()?.file_type().is_fifo() {
            fchown(&file, Some(user), Some(user))?;
        }
    }
    Ok(())
}

/// Takes reports until nothing is missing any more.
fn hear(control: &OwnedFd, reports: &mut Reports, deadline: Instant) -> Result<Complete, SpawnError> {
    let mut buffer = [0; MAX_MESSAGE];
    loop {
        let received = match receive_until(control.as_fd(), &mut buffer, deadline) {
            Ok(Some(received)) => received,
            Ok(None) => return Err(SpawnError::TimedOut(PATIENCE)),
            Err(error) => {
                return Err(SpawnError::System { what: "hear of a new sandbox", errno: errno(&error) });
            }
        };
        let message = Message::decode(&buffer[..received.len]);
        if let Some(complete) = reports.take(message, received)? {
            return Ok(complete);
        }
    }
}

/// The next message; `None`: the time is over.
fn receive_until(socket: BorrowedFd<'_>, buffer: &mut [u8], deadline: Instant) -> io::Result<Option<Received>> {
    loop {
        match socket::receive(socket, buffer, false) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result.map(Some),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket::wait_readable([socket], Some(left))?;
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
