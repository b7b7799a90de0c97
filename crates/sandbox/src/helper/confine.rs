//! The last steps of the process that becomes the program.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Resource, Signal};

use super::broker::Handover;
use super::host::{Host, Place};
use super::{At, Failure, filter, landlock, trial};
use crate::error::Stage;
use crate::plan::{Kind, Message, Plan};
use crate::sys::{c_path, identity, process, socket};
use crate::{Level, Limits};

/// Becomes the program.
pub(super) fn program(
    host: &Host,
    place: &Place,
    plan: &Plan,
    fds: &[OwnedFd],
    control: BorrowedFd<'_>,
    handover: Option<&Handover>,
) -> Result<Infallible, Failure> {
    let level = plan.policy.level;
    process::new_session().at(Stage::Fork, "a session")?;
    if let Some(terminal) = fds.first().filter(|_| plan.on_terminal) {
        process::take_terminal(terminal.as_fd()).at(Stage::Fork, "the terminal")?;
    }
    process::die_with_parent(Signal::KILL).at(Stage::Fork, "the parent's death")?;
    let workdir = plan.policy.workdir_inside();
    process::change_dir(&c_path(workdir)).at(Stage::Workdir, &workdir.display().to_string())?;
    if !plan.dir.as_os_str().is_empty() {
        process::change_dir(&c_path(&plan.dir)).at(Stage::Workdir, &plan.dir.display().to_string())?;
    }
    set_limits(host, place, plan, Some(plan.policy.limits.open_files))?;
    process::umask(0o022);

    for (at, fd) in (0..).zip(fds) {
        process::place(fd.as_fd(), at).at(Stage::Exec, "a descriptor")?;
    }
    process::close_on_exec_from(5).at(Stage::Exec, "descriptors")?;

    if level != Level::None {
        landlock::restrict(host, place, plan)?;
    }
    if level == Level::Landlock {
        if let Some(handover) = handover
            && let Some(listener) = filter::install_asking(plan).at(Stage::Filter, "")?
        {
            handover.give(&listener).at(Stage::Filter, "its listener")?;
        } else {
            filter::install(plan, host.shares_user(place)).at(Stage::Filter, "")?;
        }
    }
    process::default_signals();
    socket::send(control, &Message::Starting.encode(), &[]).at(Stage::Exec, "the control socket")?;
    if plan.kind == Kind::Trial {
        trial::look(plan)?;
        process::exit(0);
    }
    process::exec(&plan.program, &plan.args, &plan.env).at(Stage::Exec, &plan.program.to_string_lossy())
}

/// Becomes a nursery's zygote, which keeps of the nursery's rights what it takes to enter sandboxes.
pub(super) fn zygote(
    host: &Host,
    plan: &Plan,
    fds: &[OwnedFd],
    control: BorrowedFd<'_>,
) -> Result<Infallible, Failure> {
    process::new_session().at(Stage::Fork, "a session")?;
    process::die_with_parent(Signal::KILL).at(Stage::Fork, "the parent's death")?;
    let workdir = plan.policy.workdir_inside();
    process::change_dir(&c_path(workdir)).at(Stage::Workdir, &workdir.display().to_string())?;
    leave_no_core()?;
    // Its copies have them, too, but for open files: it has two for each copy that lives, which takes that limit itself.
    set_limits(host, &Place::NEST, plan, None)?;
    process::umask(0o022);
    for (at, fd) in (0..).zip(fds) {
        process::place(fd.as_fd(), at).at(Stage::Exec, "a descriptor")?;
    }
    process::close_on_exec_from(6).at(Stage::Exec, "descriptors")?;
    identity::keep_in_bounding_set(&[
        identity::SETGID,
        identity::SETUID,
        identity::SETPCAP,
        identity::SYS_CHROOT,
        identity::SYS_ADMIN,
    ]);
    process::default_signals();
    socket::send(control, &Message::Starting.encode(), &[]).at(Stage::Exec, "the control socket")?;
    process::exec(&plan.program, &plan.args, &plan.env).at(Stage::Exec, &plan.program.to_string_lossy())
}

/// Nothing of this process's memory, or of a program's that comes from it, is kept when it crashes: neither in a file nor by
/// what the machine pipes cores to (`core_pattern`), which would run outside of the sandbox. Where a server may only lower a
/// limit that was zero before, the latter stays.
///
/// 1: too small for a file, and the kernel's word for no pipe either; zero is not. Programs cannot change it: the filter
/// answers as if they had, so this comes before it.
pub(super) fn leave_no_core() -> Result<(), Failure> {
    process::limit(Resource::Core, 1).at(Stage::Limit, "core size: 1")
}

/// `open_files`: none, as many as there may be.
fn set_limits(host: &Host, place: &Place, plan: &Plan, open_files: Option<u64>) -> Result<(), Failure> {
    let Limits { memory, processes, file_size, nice, .. } = plan.policy.limits;
    let processes = if plan.policy.level.has_namespaces() || !host.shares_user(place) {
        // The first process counts too, and that of the table where it is another's.
        processes + 1 + u64::from(plan.joins_processes)
    } else {
        // The kernel counts by user, and programs of other sessions have this one: a limit that they can use up would keep this
        // program from making processes. The server counts instead, and this is only so that it can.
        host.most_tasks / 2
    };
    // Likewise: 1024 of all sessions together would be what one of them takes from the others. The server looks who has many.
    let shares_signals = !plan.policy.level.has_namespaces() && host.shares_user(place);
    // Landlock keeps it from opening what it could write; this is for what it is given open.
    let file_size = if plan.full.is_some() { 0 } else { file_size };
    let limits = [
        // Private writable memory. Not the address space: WebAssembly and Java reserve many times what they use.
        (Resource::Data, "memory", Some(memory)),
        (Resource::Nproc, "processes", Some(processes)),
        (Resource::Nofile, "open files", open_files),
        (Resource::Fsize, "file size", Some(file_size)),
        // What follows counts for the user, and is the server's own where programs have its user; or would let a program
        // be scheduled before others. What the server was started with is not passed on.
        // 64 KiB: where libraries keep keys.
        (Resource::Memlock, "locked memory", Some(64 << 10)),
        // 1024: a queued signal, or a timer, each.
        (Resource::Sigpending, "queued signals", (!shares_signals).then_some(1024)),
        (Resource::Msgqueue, "message queues", Some(0)),
        (Resource::Rtprio, "real-time priority", Some(0)),
        (Resource::Nice, "priority", Some(0)),
    ];
    for (resource, name, value) in limits {
        match value {
            Some(value) => process::limit(resource, value).at(Stage::Limit, &format!("{name}: {value}"))?,
            None => process::limit_as_high_as_may_be(resource).at(Stage::Limit, name)?,
        }
    }
    process::renice(nice);
    Ok(())
}
