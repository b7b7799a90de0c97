//! The first process of a sandbox: makes it, starts the program in it, and ends it.
//!
//! At the levels with namespaces it is PID 1 of the sandbox, so the kernel ends everything else when it ends. At the
//! others, and in a process table that a session's commands share, it is the parent of its descendants' orphans and ends
//! them itself; see [`end_all`].

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Signal;
use rustix::thread::LinkNameSpaceType;

use super::broker::Handover;
use super::host::{Host, INSIDE, Place, UserNamespace, bound_connections, bound_watches, open_proc};
use super::supervise::{Program, end_all, supervise};
use super::{At, Failure, confine, copy, fail, filter, landlock, root, table};
use crate::error::Stage;
use crate::plan::{Kind, Message, Plan};
use crate::policy::PROXY;
use crate::processes::SharedNamespaces;
use crate::reports::Abilities;
use crate::sys::process::Forked;
use crate::sys::{identity, process, socket};
use crate::{Level, Network};

/// The lowest number for descriptors of our own: above those of the program, and of whatever is opened by the way.
pub(super) const FLOOR: i32 = 10;

/// How the program comes into the sandbox.
#[derive(Clone, Copy)]
pub(super) enum SpawnMode<'a> {
    /// By starting it.
    Start,
    /// By asking the nursery's zygote for a copy of itself.
    Copy {
        /// Where it is asked.
        fork_socket: BorrowedFd<'a>,
        /// What the copy may not call, as it takes it.
        filters: &'a [Vec<u8>],
        /// The files of control groups that processes write themselves into, which nothing in a nursery could open.
        cgroup_files: &'a [OwnedFd],
    },
}

/// What comes with a plan: what a sandbox gets from its server.
pub(super) struct Gifts {
    /// The program's descriptors.
    pub(super) fds: [OwnedFd; 5],
    /// The session's network namespace, if it has one already.
    pub(super) network: Option<OwnedFd>,
    /// The session's process table, if it is to enter that.
    pub(super) processes: Option<SharedNamespaces>,
    /// Where the server hears of the sandbox, and orders it.
    pub(super) control: OwnedFd,
}

/// Creates the first process of a sandbox. What happens then, the server hears from it. `apart`: what it lets go of that
/// is this process's alone. Returns the process, if it was made.
pub(super) fn create(
    host: &Host,
    plan: &Plan,
    gifts: Gifts,
    liveness: BorrowedFd<'_>,
    mode: SpawnMode<'_>,
    apart: impl FnOnce(),
) -> Option<OwnedFd> {
    let Gifts { fds, network, processes, control } = gifts;
    let place = match host.place(plan) {
        Ok(place) => place,
        Err(failure) => {
            fail(control.as_fd(), &failure);
            return None;
        }
    };
    if plan.policy.level != Level::None
        && let Err(error) = filter::prepare(plan, host.shares_user(&place))
    {
        fail(control.as_fd(), &Failure::of(Stage::Filter, &error, ""));
        return None;
    }
    // Who has no right over what is entered enters the user namespace that has; and a process table is entered by the parent
    // of whoever is in it. Both are another process's work: this one could not go back.
    let is_joined = processes.is_some() || network.is_some() && place.user_namespace == UserNamespace::First;
    let namespaces = if is_joined { 0 } else { new_namespaces(&place, network.as_ref(), None) };
    match process::clone_into(namespaces) {
        Ok(Forked::Child) => {
            apart();
            process::default_signals();
            let gifts = Gifts { fds, network, processes, control };
            if is_joined {
                let Ok(control) = gifts.control.try_clone() else { process::exit(1) };
                let Err(failure) = join(host, &place, plan, gifts, liveness, mode);
                fail(control.as_fd(), &failure);
                process::exit(1)
            }
            main(host, &place, plan, gifts, liveness, mode)
        }
        Ok(Forked::Parent { pidfd, .. }) => {
            if !is_joined {
                let _ = socket::send(control.as_fd(), &Message::Created.encode(), &[pidfd.as_fd()]);
            }
            Some(pidfd)
        }
        Err(error) => {
            fail(control.as_fd(), &Failure::of(Stage::Namespaces, &error, ""));
            None
        }
    }
}

/// What is made for a sandbox, and not entered.
fn new_namespaces(place: &Place, network: Option<&OwnedFd>, table: Option<&SharedNamespaces>) -> libc::c_int {
    let network = if network.is_some() { libc::CLONE_NEWNET } else { 0 };
    let processes = if table.is_some() { libc::CLONE_NEWPID } else { 0 };
    place.namespaces & !network & !processes
}

/// Makes the sandbox in the session's process table. An ordinary user has the right to that, and to the session's network,
/// inside the user namespace that they belong to, and enters that first. This process was made for it, and ends.
fn join(
    host: &Host,
    place: &Place,
    plan: &Plan,
    mut gifts: Gifts,
    liveness: BorrowedFd<'_>,
    mode: SpawnMode<'_>,
) -> Result<Infallible, Failure> {
    let table = gifts.processes.as_ref();
    let mut namespaces = new_namespaces(place, gifts.network.as_ref(), table);
    let mut place = *place;
    let mut inside = None;
    if place.user_namespace == UserNamespace::First {
        let stage = if gifts.network.is_some() { Stage::Network } else { Stage::Processes };
        let owned = gifts.network.as_ref().or(table.map(|table| &table.processes)).expect("one of them is entered");
        let owner = process::owner_of(owned.as_fd()).at(stage, "its owner")?;
        process::enter(owner.as_fd(), LinkNameSpaceType::User).at(stage, "its owner")?;
        // By the right that this process has in there, which the next one gives up.
        if let Some(network) = gifts.network.take() {
            process::enter(network.as_fd(), LinkNameSpaceType::Network).at(stage, "the session's")?;
        }
        inside = Some(host.inside_owner().at(stage, "the host")?);
        namespaces &= !libc::CLONE_NEWUSER;
        place = Place { namespaces, user_namespace: UserNamespace::Last, ..place };
    }
    if let Some(table) = &gifts.processes {
        process::enter(table.processes.as_fd(), LinkNameSpaceType::ProcessID).at(Stage::Processes, "the session's")?;
        // Others in there may be the same user, and must not look into what is made now, not for a moment.
        process::set_dumpable(false).at(Stage::Capabilities, "not dumpable")?;
    }
    match process::clone_sibling(namespaces).at(Stage::Namespaces, "")? {
        Forked::Child => main(inside.as_ref().unwrap_or(host), &place, plan, gifts, liveness, mode),
        Forked::Parent { pidfd, .. } => {
            let _ = socket::send(gifts.control.as_fd(), &Message::Created.encode(), &[pidfd.as_fd()]);
            process::exit(0)
        }
    }
}

/// Never returns: ends with the sandbox.
fn main(host: &Host, place: &Place, plan: &Plan, gifts: Gifts, liveness: BorrowedFd<'_>, mode: SpawnMode<'_>) -> ! {
    let Gifts { fds, network, processes, control } = gifts;
    let Ok(control) = process::lift(control, FLOOR) else { process::exit(1) };
    if let Some(network) = network
        && let Err(error) = process::enter(network.as_fd(), LinkNameSpaceType::Network)
    {
        fail(control.as_fd(), &Failure::of(Stage::Network, &error, "the session's"));
        process::exit(1);
    }
    let shared_user = processes.and_then(|table| table.user);
    if let Err(failure) = start(host, place, plan, (fds, shared_user), control.as_fd(), liveness, mode) {
        fail(control.as_fd(), &failure);
        process::exit(1);
    }
    process::exit(0)
}

fn start(
    host: &Host,
    place: &Place,
    plan: &Plan,
    (fds, shared_user): ([OwnedFd; 5], Option<OwnedFd>),
    control: BorrowedFd<'_>,
    liveness: BorrowedFd<'_>,
    mode: SpawnMode<'_>,
) -> Result<(), Failure> {
    let lifted = lift_all(fds)?;
    process::umask(0);
    let level = plan.policy.level;
    if level != Level::None {
        prefer_when_out_of_memory(host);
    }
    if let SpawnMode::Copy { cgroup_files, .. } = mode {
        for file in cgroup_files {
            let enter = || File::from(file.try_clone()?).write_all(b"0");
            enter().at(Stage::ControlGroup, "the session's")?;
        }
    }
    let has_proc = set_up(host, place, plan, &lifted, shared_user.as_ref(), control)?;
    drop(shared_user);

    // Both settings are forgotten whenever the user changes; from here on it does not.
    let death_signal = if level.has_namespaces() { Signal::KILL } else { Signal::TERM };
    process::die_with_parent(death_signal).at(Stage::Fork, "the parent's death")?;
    if socket::is_readable(liveness) {
        process::exit(1); // the launcher died before the line above
    }
    let watched: &[i32] = if level.has_namespaces() { &[libc::SIGCHLD] } else { &[libc::SIGCHLD, libc::SIGTERM] };
    let signals = process::signal_fd(watched).at(Stage::Fork, "signals")?;
    if !plan.owns_processes() {
        process::adopt_orphans().at(Stage::Fork, "orphans")?;
    }
    if plan.joins_processes {
        process::set_name(c"agb-command");
        // `pkill` in another command means others.
        process::ignore_signals();
    }
    confine::leave_no_core()?;
    if plan.full.is_some() && level != Level::None {
        landlock::keep_from_writing(host)?;
    }
    if level.has_namespaces() {
        filter::install(plan, host.shares_user(place)).at(Stage::Filter, "")?;
    }

    if plan.kind == Kind::Processes {
        drop(lifted);
        return table::hold(has_proc, control, liveness, signals.as_fd());
    }
    let contained = landlock::contain_signals(host, level);
    let is_brokered = level == Level::Landlock && host.shares_user(place);
    let handover = is_brokered.then(|| Handover::new(host, plan).ok()).flatten();
    let program = match mode {
        SpawnMode::Start => {
            let become_it = || confine::program(host, place, plan, &lifted, control, handover.as_ref());
            Program::Started(start_program(control, become_it)?)
        }
        SpawnMode::Copy { fork_socket, filters, cgroup_files } => {
            let files = plan.policy.limits.open_files;
            Program::Copied(copy::copy_zygote(&lifted, control, liveness, fork_socket, filters, cgroup_files, files)?)
        }
    };
    drop(lifted); // the pipes must end when the program does
    let broker = handover.and_then(Handover::take);
    let changes_files = !is_brokered || broker.is_some();
    let _ = socket::send(control, &Message::Running(Abilities { has_proc, changes_files }).encode(), &[]);
    let status = supervise(program, control, liveness, signals.as_fd(), broker, plan.keeps_background);
    if !plan.owns_processes() {
        end_all(contained);
    }
    if let Some(status) = status {
        let _ = socket::send(control, &Message::Ended { status }.encode(), &[]);
    }
    Ok(())
}

/// Has a new process become the program; answers its number once it has, or has said why it does not.
pub(super) fn start_program(
    control: BorrowedFd<'_>,
    become_it: impl FnOnce() -> Result<Infallible, Failure>,
) -> Result<i32, Failure> {
    let (mut started, starting) = io::pipe().at(Stage::Fork, "a pipe")?;
    match process::clone_into(0).at(Stage::Fork, "")? {
        Forked::Child => {
            drop(started);
            let starting = process::lift(starting.into(), FLOOR).at(Stage::Fork, "a descriptor")?;
            let Err(failure) = become_it();
            fail(control, &failure);
            drop(starting);
            process::exit(127)
        }
        Forked::Parent { pid, .. } => {
            drop(starting);
            // Closed by becoming the program, or by ending.
            let _ = started.read(&mut [0]);
            Ok(pid)
        }
    }
}

/// The same descriptors under numbers of our own.
pub(super) fn lift_all(fds: impl IntoIterator<Item = OwnedFd>) -> Result<Vec<OwnedFd>, Failure> {
    fds.into_iter().map(|fd| process::lift(fd, FLOOR).at(Stage::Fork, "a descriptor")).collect()
}

/// Everything that needs rights, and giving them up. Says whether there is a `/proc`.
/// `shared_user`: the user namespace of all who are in the session's process table.
fn set_up(
    host: &Host,
    place: &Place,
    plan: &Plan,
    fds: &[OwnedFd],
    shared_user: Option<&OwnedFd>,
    control: BorrowedFd<'_>,
) -> Result<bool, Failure> {
    join_groups(plan)?;
    let level = plan.policy.level;
    if place.user_namespace == UserNamespace::First {
        let (user, group) = host.user_of(place);
        map_user(host, user, group)?;
    }
    // For a copy the server has done so: a nursery has no right over what is the server's.
    if let Some(user) = place.become_user.filter(|_| plan.kind != Kind::Copy) {
        hand_over(plan, fds, user)?;
    }
    let mut proc = true;
    if level.has_namespaces() {
        // Older kernels have none; then the program sees the name of its control group.
        let _ = identity::unshare(libc::CLONE_NEWCGROUP);
        proc = match plan.kind {
            Kind::Copy => root::move_in(plan)?,
            Kind::Processes => root::enter_empty()?,
            _ => root::enter(plan, place, fds)?,
        };
        let is_first = !plan.joins_network;
        if plan.policy.network != Network::Host && is_first {
            socket::loopback_up().at(Stage::Loopback, "")?;
            bound_connections(host);
            // The session's other sandboxes will join it.
            let network = open_proc(host, c"self/ns/net", libc::O_RDONLY).at(Stage::Network, "its own")?;
            socket::send(control, &Message::Network.encode(), &[network.as_fd()]).at(Stage::Network, "its own")?;
        }
        if plan.policy.network == Network::Proxy && is_first {
            // A socket belongs to the network that it was made in, whoever holds it: nothing has to run in here.
            let proxy = TcpListener::bind(PROXY).at(Stage::Loopback, "the proxy")?;
            socket::send(control, &Message::ProxySocket.encode(), &[proxy.as_fd()]).at(Stage::Loopback, "the proxy")?;
        }
        identity::set_host_name("sandbox").at(Stage::Mount, "the host name")?;
    }
    if let Some(user) = place.become_user {
        identity::drop_bounding_set();
        identity::become_user(user, user).at(Stage::User, &format!("user {user}"))?;
    }
    if let Some(user) = shared_user {
        // The new user may have made it so again.
        process::set_dumpable(false).at(Stage::Capabilities, "not dumpable")?;
        process::enter(user.as_fd(), LinkNameSpaceType::User).at(Stage::Processes, "its user namespace")?;
    } else if place.user_namespace != UserNamespace::No {
        // Changing the user made our files in /proc root's, and the map is one of them.
        process::set_dumpable(true).at(Stage::UserMap, "")?;
        identity::unshare(libc::CLONE_NEWUSER).at(Stage::Namespaces, "user")?;
        // Also in one that was made first: others of the session will be in there, and the kernel counts processes by
        // user namespaces.
        let is_inside = place.user_namespace == UserNamespace::First;
        let (user, group) = if is_inside { (INSIDE, INSIDE) } else { host.user_of(place) };
        map_user(host, user, group)?;
    }
    if place.user_namespace != UserNamespace::No && shared_user.is_none() {
        bound_watches(host, plan.policy.limits.inotify_instances);
    }
    if plan.kind == Kind::Processes {
        table::show(host, place, control)?;
    }
    if level != Level::None {
        identity::drop_bounding_set();
        identity::drop_capabilities().at(Stage::Capabilities, "")?;
        process::no_new_privileges().at(Stage::Capabilities, "no new privileges")?;
        // The program has the same user: it must not trace this process or open its memory.
        process::set_dumpable(false).at(Stage::Capabilities, "not dumpable")?;
    }
    if level == Level::Landlock && plan.policy.tmp.is_none() {
        landlock::make_tmp(plan).at(Stage::Workdir, "the directory for temporary files")?;
    }
    Ok(proc)
}

/// Has the kernel end programs before the server, where it runs out of memory.
///
/// 500: as much as half of the machine's memory on top of what a program uses. Only a hint, so a failure is none of the
/// sandbox: without `/proc` there is no way to give it.
pub(super) fn prefer_when_out_of_memory(host: &Host) {
    if let Ok(file) = open_proc(host, c"self/oom_score_adj", libc::O_WRONLY) {
        let _ = File::from(file).write_all(b"500");
    }
}

/// Enters the session's control groups, with all that comes from here.
fn join_groups(plan: &Plan) -> Result<(), Failure> {
    for file in &plan.groups {
        let enter = || File::options().write(true).open(file)?.write_all(b"0");
        enter().at(Stage::ControlGroup, &file.display().to_string())?;
    }
    Ok(())
}

/// Gives the new user namespace its one user. No privilege is needed for one's own number.
fn map_user(host: &Host, user: u32, group: u32) -> Result<(), Failure> {
    let write = |path: &std::ffi::CStr, text: String| {
        File::from(open_proc(host, path, libc::O_WRONLY)?).write_all(text.as_bytes())
    };
    let files = [
        (c"self/setgroups", "deny".to_owned()),
        (c"self/uid_map", format!("{INSIDE} {user} 1")),
        (c"self/gid_map", format!("{INSIDE} {group} 1")),
    ];
    for (path, text) in files {
        write(path, text).at(Stage::UserMap, &path.to_string_lossy())?;
    }
    Ok(())
}

/// Gives what the program is to use to its user.
fn hand_over(plan: &Plan, fds: &[OwnedFd], user: u32) -> Result<(), Failure> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    for path in std::iter::once(&plan.policy.workdir).chain(&plan.policy.tmp) {
        let name = path.display().to_string();
        let dir = File::open(path).at(Stage::Workdir, &name)?;
        if dir.metadata().at(Stage::Workdir, &name)?.uid() != user {
            identity::give_to(dir.as_fd(), user, user).at(Stage::Workdir, &name)?;
        }
    }
    for fd in fds {
        // Opening /dev/fd/N, as R and Java do, asks for the file's permissions again.
        let file = File::from(fd.try_clone().at(Stage::Workdir, "a pipe")?);
        let is_pipe = file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        if is_pipe || rustix::termios::isatty(&file) {
            identity::give_to(file.as_fd(), user, user).at(Stage::Workdir, "a pipe")?;
        }
    }
    Ok(())
}
