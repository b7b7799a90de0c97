//! The host of a nursery: sandboxes whose programs are copies of one warm process, the zygote.
//!
//! ```text
//! launcher ── host: PID 1 of the nursery ─┬─ the zygote ──────────────────────┬─ a copy, in a session's sandbox
//!                                         │                                   └─ …
//!                                         ├─ a session's first process: init ── what the copy starts
//!                                         └─ …
//! ```
//!
//! Copying a process that has imported its libraries takes a hundredth of the time of starting one, and the copy shares
//! its memory. But a process can only be copied by itself: so the zygote copies itself into a sandbox that `init` has
//! made as always, and gives up there what it had. It is trusted as the image is that it consists of, runs nothing of a
//! session's, and is told nothing of one.
//!
//! A copy's parent is the zygote, which waits for it and tells `init` how it has ended ([`Copy`](super::copy::Copy)). To
//! give it to `init`, a process between the two would have to be in the sandbox as well, another copy of all that memory:
//! half as many sessions a second.
//!
//! All of this happens in a user namespace of the nursery's own, whose root is nobody outside: it may make sandboxes for
//! the slots' users and enter them, and has no right over anything of the host's. The file system is built once, with
//! the host's rights, and each sandbox has a copy in which its session's directories cover the nursery's; so making one
//! is cheaper here than in the launcher. When the host ends, everything does.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::confine;
use super::host::{Host, Nest};
use super::init::{self, SpawnMode};
use super::{At, Failure, Own, fail, filter, root};
use crate::error::Stage;
use crate::machine;
use crate::plan::{Kind, MAX_PLAN, Message, Plan};
use crate::reports::Abilities;
use crate::sys::process::Forked;
use crate::sys::{identity, process, socket};

/// Creates the host. What happens then, the server hears from it.
pub(super) fn launch(
    host: &Host,
    plan: &Plan,
    fds: [OwnedFd; 5],
    control: OwnedFd,
    liveness: BorrowedFd<'_>,
    own: &mut Option<Own>,
) {
    if let Err(failure) = create(host, plan, fds, control.as_fd(), liveness, own) {
        fail(control.as_fd(), &failure);
    }
}

fn create(
    host: &Host,
    plan: &Plan,
    fds: [OwnedFd; 5],
    control: BorrowedFd<'_>,
    liveness: BorrowedFd<'_>,
    own: &mut Option<Own>,
) -> Result<(), Failure> {
    let nest = host.nest()?;
    // An ordinary user has the right to it only inside.
    let fetched = if nest.has_slots { Some(root::fetch(plan)?) } else { None };
    let (mut mapped, mut map) = io::pipe().at(Stage::Fork, "a pipe")?;
    match process::clone_into(nest.namespaces).at(Stage::Namespaces, "")? {
        Forked::Child => {
            *own = None;
            drop(map);
            // Copies have it from the zygote, whose children they are. As another user this process may not.
            init::prefer_when_out_of_memory(host);
            process::default_signals();
            // Nothing comes if the launcher could not say who this is.
            if mapped.read(&mut [0]).unwrap_or(0) == 1 {
                let Err(failure) = keep(plan, &nest, fetched, fds, control, liveness);
                fail(control, &failure);
            }
            process::exit(1)
        }
        Forked::Parent { pid, pidfd } => {
            nest.map(host, pid).at(Stage::UserMap, "the nursery's")?;
            let _ = socket::send(control, &Message::Created.encode(), &[pidfd.as_fd()]);
            map.write_all(&[1]).at(Stage::UserMap, "the nursery has ended")
        }
    }
}

/// Sets the nursery up and serves it. Ends the process when nobody wants it any more.
fn keep(
    plan: &Plan,
    nest: &Nest,
    fetched: Option<root::Fetched>,
    fds: [OwnedFd; 5],
    control: BorrowedFd<'_>,
    liveness: BorrowedFd<'_>,
) -> Result<std::convert::Infallible, Failure> {
    if nest.has_slots {
        identity::become_user(0, 0).at(Stage::User, "the nursery's root")?;
    }
    process::umask(0);
    crate::sys::mount::make_private().at(Stage::Mount, "private mounts")?;
    let fetched = fetched.map_or_else(|| root::fetch(plan), Ok)?;
    let has_proc = root::build(fetched, plan, super::host::INSIDE)?;
    socket::loopback_up().at(Stage::Loopback, "")?;
    identity::set_host_name("sandbox").at(Stage::Mount, "the host name")?;
    let host = Host::look().at(Stage::Mount, "/proc")?.in_nest();
    process::no_new_privileges().at(Stage::Capabilities, "no new privileges")?;
    process::set_dumpable(false).at(Stage::Capabilities, "not dumpable")?;
    process::die_with_parent(Signal::KILL).at(Stage::Fork, "the parent's death")?;
    if socket::is_readable(liveness) {
        process::exit(1); // the launcher died before the line above
    }
    let signals = process::signal_fd(&[libc::SIGCHLD]).at(Stage::Fork, "signals")?;
    let (fork_socket, its) = socket::pair().at(Stage::Fork, "a socket")?;
    set_apart();
    let zygote = start_zygote(&host, plan, fds, its, control)?;
    let abilities = Abilities { has_proc, changes_files: true };
    let _ = socket::send(control, &Message::Running(abilities).encode(), &[]);
    let mut fork_socket = Some(fork_socket);
    // The same for all copies.
    let filters = filter::encoded(plan, !nest.has_slots).at(Stage::Filter, "")?;
    let mut buffer = vec![0; MAX_PLAN];
    loop {
        let waited = socket::wait_readable([control, liveness, signals.as_fd()], None);
        let [ordered, orphaned, signalled] = waited.at(Stage::Fork, "orders")?;
        if signalled {
            while process::next_signal(signals.as_fd()).is_some() {}
            while let Ok(Some(reaped)) = process::reap() {
                if reaped.pid == zygote {
                    // Its copies go on; there will be no more.
                    fork_socket = None;
                    let _ = socket::send(control, &Message::Ended { status: reaped.status }.encode(), &[]);
                }
            }
        }
        if orphaned {
            process::exit(0);
        }
        if ordered {
            match socket::receive(control, &mut buffer, false) {
                Ok(received) if received.len > 1 => {
                    copy_into_sandbox(
                        &host,
                        &plan.policy.workdir,
                        &buffer[..received.len],
                        received.fds,
                        fork_socket.as_ref(),
                        &filters,
                        liveness,
                    );
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => process::exit(0),
            }
        }
    }
}

/// Gives the next process, the zygote, a number that no process in a sandbox has.
///
/// Libraries find out by their number that they are in a copy, and then make their random numbers anew: OpenSSL does. In
/// its sandbox a copy is number 2, as the zygote would be in here. Without `/proc`, a copy has to do it by itself.
fn set_apart() {
    let last = || {
        let most = machine::number("/proc/sys/kernel/pid_max", 0)?;
        std::fs::write("/proc/sys/kernel/ns_last_pid", (most - most / 8).to_string()).ok()
    };
    let _ = last();
}

/// Starts the zygote; answers its number. Its descriptor 5 is where it is asked for copies.
fn start_zygote(
    host: &Host,
    plan: &Plan,
    fds: [OwnedFd; 5],
    fork_socket: OwnedFd,
    control: BorrowedFd<'_>,
) -> Result<i32, Failure> {
    let lifted = init::lift_all(fds.into_iter().chain([fork_socket]))?;
    init::start_program(control, || confine::zygote(host, plan, &lifted, control))
}

/// Makes a sandbox for a copy of the zygote. `sessions`: what is at [`root::SESSIONS`].
fn copy_into_sandbox(
    host: &Host,
    sessions: &Path,
    bytes: &[u8],
    mut fds: Vec<OwnedFd>,
    fork_socket: Option<&OwnedFd>,
    filters: &[Vec<u8>],
    liveness: BorrowedFd<'_>,
) {
    let Some(control) = fds.pop() else { return };
    let failed = |reason: &str| fail(control.as_fd(), &Failure::new(Stage::Copy, libc::ESRCH, reason));
    let Some(fork_socket) = fork_socket else { return failed("the zygote has ended") };
    let mut others = if fds.len() > 5 { fds.split_off(5) } else { Vec::new() };
    let (Some(mut plan), Ok(fds)) = (Plan::decode(bytes), <[OwnedFd; 5]>::try_from(fds)) else {
        return failed("an unreadable plan");
    };
    let network = plan.joins_network.then(|| others.pop()).flatten();
    let cgroup_files = others;
    let below =
        |path: &Path| -> Option<PathBuf> { Some(Path::new(root::SESSIONS).join(path.strip_prefix(sessions).ok()?)) };
    let tmp = plan.policy.tmp.as_deref().map(below);
    let (Some(workdir), None | Some(Some(_)), Kind::Copy) = (below(&plan.policy.workdir), &tmp, plan.kind) else {
        return failed("a session's directory is not among the sessions'");
    };
    (plan.policy.workdir, plan.policy.tmp) = (workdir, tmp.flatten());
    init::create(
        host,
        &plan,
        init::Gifts { fds, network, processes: None, control },
        liveness,
        SpawnMode::Copy { fork_socket: fork_socket.as_fd(), filters, cgroup_files: &cgroup_files },
        || {},
    );
}
