//! The system calls that a program does not get.
//!
//! A list of what is denied, not of what is allowed: programs nobody has read use whatever their language's run time
//! uses, in whatever version. What is listed either reaches beyond the sandbox, or has been the way into the kernel
//! before and is of no use to a program without rights. The answer is `EPERM`, which programs know how to take. A few calls
//! are answered by the [file broker](super::broker) instead.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};

use crate::plan::Plan;
use crate::sys::listener::Listener;
use crate::{Level, Network};

mod answers;
mod changes;
mod ioctl;
mod set_id;

use changes::{ATTRIBUTES, FileChanges, file_changes};

/// Denied whatever the arguments.
const DENIED: [libc::c_long; 72] = [
    // Other file systems, other roots, files by number.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    // Other namespaces.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Other processes' memory and files.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Large parts of the kernel that are of no use here, and that past attacks came in by.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_memfd_secret,
    // Requests of the older kind: the whole machine has 65,536, and one program could take them all.
    libc::SYS_io_setup,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_vmsplice,
    // Memory that belongs to no process, and so to no limit: semaphores alone may take 60 GiB of the kernel's.
    libc::SYS_memfd_create,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    // Each open set of rules has as many as one likes.
    libc::SYS_landlock_add_rule,
    libc::SYS_lookup_dcookie,
    // Where memory lies on the machine.
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_set_mempolicy,
    libc::SYS_get_mempolicy,
    // The machine itself.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    KEXEC_FILE_LOAD,
    libc::SYS_nfsservctl,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_ioprio_set,
    libc::SYS_personality,
];

/// `libc` does not know it for musl on arm64.
#[cfg(target_arch = "aarch64")]
const KEXEC_FILE_LOAD: libc::c_long = 294;
#[cfg(not(target_arch = "aarch64"))]
const KEXEC_FILE_LOAD: libc::c_long = libc::SYS_kexec_file_load;
/// All architectures have the same numbers for what is new. Linux 6.15.
const OPEN_TREE_ATTR: libc::c_long = 467;
/// Linux 6.17: flags and attributes of files, as by the `ioctl` that no program [has](ioctl).
const FILE_SETATTR: libc::c_long = 469;

/// The same, where only this architecture has them.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: [libc::c_long; 3] = [libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: [libc::c_long; 0] = [];

/// What a program would share with the host without a namespace of its own: by number, as none can be made.
const SHARED: [libc::c_long; 8] = [
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_msgctl,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
];

/// `clone` with one of these is denied: other namespaces, and a child that is its maker's sibling. The parent of a copied
/// program is outside the sandbox, and so would be that of such a child: nobody would wait for it, and without that the
/// sandbox cannot end; nor would what it uses be seen.
const CLONES: [libc::c_int; 8] = [
    libc::CLONE_PARENT,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// `close_range` with this gives the thread a table of open files of its own before it closes some.
const CLOSE_RANGE_UNSHARE: u32 = 2;

/// The sockets that exist for programs. The others reach into rarely used parts of the kernel.
const SOCKETS: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// The protocols of internet sockets: the default of the type, TCP, UDP and ping. Not MPTCP, UDP-Lite, SCTP and their
/// like, which are kernel modules that few programs use.
const PROTOCOLS: [libc::c_int; 5] = [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6];

/// The types of internet sockets, with the flags they may have: streams and datagrams. The others are kernel modules again
/// (DCCP, SCTP), or the wire (`SOCK_PACKET`).
const TYPES: [libc::c_int; 8] = {
    const ALSO: libc::c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let (stream, datagram) = (libc::SOCK_STREAM, libc::SOCK_DGRAM);
    [
        stream,
        stream | libc::SOCK_NONBLOCK,
        stream | libc::SOCK_CLOEXEC,
        stream | ALSO,
        datagram,
        datagram | libc::SOCK_NONBLOCK,
        datagram | libc::SOCK_CLOEXEC,
        datagram | ALSO,
    ]
};

/// What gives a socket a program that the kernel compiles: packet filters, and choices among sockets of one port. Only tools
/// that read the wire use them.
const SOCKET_PROGRAMS: [libc::c_int; 4] =
    [libc::SO_ATTACH_FILTER, libc::SO_ATTACH_BPF, libc::SO_ATTACH_REUSEPORT_CBPF, libc::SO_ATTACH_REUSEPORT_EBPF];

/// What changes how another process is scheduled. The first argument is its number; zero is the caller.
const SCHEDULING: [libc::c_long; 4] =
    [libc::SYS_sched_setaffinity, libc::SYS_sched_setattr, libc::SYS_sched_setparam, libc::SYS_sched_setscheduler];

/// What a filter depends on, and its programs.
type Made = ((Level, Network, FileChanges), Arc<[BpfProgram]>);

/// The filters that this process, or the one that it is a copy of, has made. A helper has one thread, so nobody holds the
/// lock when it is copied.
static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());

/// Makes the filters that copies of this process will [`install`], once for all of them: half a millisecond each.
pub(super) fn prepare(plan: &Plan, shares_user: bool) -> io::Result<()> {
    let changes = FileChanges::without_broker(plan.policy.level, shares_user);
    if changes == FileChanges::Refused {
        made(plan, FileChanges::Brokered)?;
    }
    made(plan, changes).map(drop)
}

fn made(plan: &Plan, changes: FileChanges) -> io::Result<Arc<[BpfProgram]>> {
    let key = (plan.policy.level, plan.policy.network, changes);
    let mut all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, programs)) = all.iter().find(|(known, _)| *known == key) {
        return Ok(Arc::clone(programs));
    }
    let made: Arc<[BpfProgram]> = programs(key.0, key.1, key.2).map_err(io::Error::other)?.into();
    all.push((key, Arc::clone(&made)));
    Ok(made)
}

/// Restricts this process and all that it will start. Needs `no_new_privileges`. `shares_user`: whether there can be
/// files and processes of the program's user other than its own.
pub(super) fn install(plan: &Plan, shares_user: bool) -> io::Result<()> {
    apply(&made(plan, FileChanges::without_broker(plan.policy.level, shares_user))?)
}

/// The same where a [file broker](super::broker) is to be asked; gives the listener for it. `None`: nothing is installed,
/// because the kernel has no listeners, or a filter around this process has one already.
pub(super) fn install_asking(plan: &Plan) -> io::Result<Option<Listener>> {
    let programs = made(plan, FileChanges::Brokered)?;
    let Some((asking, others)) = programs.split_first() else { return Ok(None) };
    let Ok(listener) = Listener::install(asking) else { return Ok(None) };
    apply(others)?;
    Ok(Some(listener))
}

fn apply(programs: &[BpfProgram]) -> io::Result<()> {
    programs.iter().try_for_each(|program| apply_filter(program).map_err(io::Error::other))
}

/// The same for a program that installs it itself: the kernel's instructions, one after the other.
pub(super) fn encoded(plan: &Plan, shares_user: bool) -> io::Result<Vec<Vec<u8>>> {
    let encode = |program: &BpfProgram| {
        let bytes = |step: &sock_filter| {
            let [a, b] = step.code.to_ne_bytes();
            let [c, d, e, f] = step.k.to_ne_bytes();
            [a, b, step.jt, step.jf, c, d, e, f]
        };
        program.iter().flat_map(bytes).collect()
    };
    let changes = FileChanges::without_broker(plan.policy.level, shares_user);
    Ok(made(plan, changes)?.iter().map(encode).collect())
}

/// With a broker, the first one is that which asks it.
fn programs(
    level: Level,
    network: Network,
    changes: FileChanges,
) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let mut denied: BTreeMap<i64, Vec<SeccompRule>> =
        DENIED.iter().chain(&DENIED_HERE).map(|&call| (call, Vec::new())).collect();

    denied.extend(on_others(level)?);
    denied.extend(set_id::made()?);
    let mut pairs = vec![rule(&[is_not(0, libc::AF_UNIX)])?];
    if !level.has_namespaces() {
        denied.extend(SHARED.map(|call| (call, Vec::new())));
        // Datagram sockets of a pair can be sent from to any socket in the file system.
        let kind = |kind: libc::c_int| {
            rule(&[(1, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(0xf), u64::from(kind.unsigned_abs()))])
        };
        pairs.extend([kind(libc::SOCK_DGRAM)?, kind(libc::SOCK_RAW)?]);
    }
    denied.insert(libc::SYS_socketpair, pairs);
    // A disk could be full within milliseconds, before anybody has looked. The C library writes a byte into each block at
    // this answer, which some file systems give; what makes holes stays.
    let is_no_hole = rule(&[(1, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(PUNCH_HOLE), 0)])?;
    let mut unsupported = BTreeMap::from([(libc::SYS_fallocate, vec![is_no_hole]), (FILE_SETATTR, Vec::new())]);
    let attributes = ATTRIBUTES.map(|call| (call, Vec::new()));
    let mut programs = Vec::new();
    match changes {
        FileChanges::Direct => {}
        FileChanges::Brokered => {
            // As of a file system without attributes: programs that copy access lists go on with the mode then.
            unsupported.extend(attributes);
            programs.push(compile_asking(file_changes()?)?);
        }
        FileChanges::Refused => {
            denied.extend(attributes);
            denied.extend(file_changes()?);
        }
    }
    let mut clones = Vec::new();
    for flag in CLONES {
        let flag = u64::from(flag.unsigned_abs());
        clones.push(rule(&[(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)])?);
    }
    // A thread has the open files of its process: they are counted by processes.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let both = thread | u64::from(libc::CLONE_FILES.unsigned_abs());
    clones.push(rule(&[(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(both), thread)])?);
    denied.insert(libc::SYS_clone, clones);
    let apart = u64::from(CLOSE_RANGE_UNSHARE);
    let is_apart = rule(&[(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(apart), apart)])?;
    denied.insert(libc::SYS_close_range, vec![is_apart]);

    let request = |&request: &u32| rule(&[(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(request))]);
    denied.insert(libc::SYS_ioctl, ioctl::DENIED.iter().map(request).collect::<Result<_, _>>()?);

    let sockets: Option<&[libc::c_int]> = match (level.has_namespaces(), network) {
        (true, _) => Some(&SOCKETS),
        // The sockets in the host's file system must stay closed, and Landlock does not close them.
        (false, Network::Host) => Some(&SOCKETS[1..]),
        (false, Network::None | Network::Proxy) => None,
    };
    let mut rules = Vec::new();
    if let Some(sockets) = sockets {
        let none_of: Vec<_> = sockets.iter().map(|&family| is_not(0, family)).collect();
        rules.push(rule(&none_of)?);
        for family in [libc::AF_INET, libc::AF_INET6] {
            let other = PROTOCOLS.iter().map(|&protocol| is_not(2, protocol));
            rules.push(rule(&std::iter::once(is(0, family)).chain(other).collect::<Vec<_>>())?);
            let other = TYPES.iter().map(|&kind| is_not(1, kind));
            rules.push(rule(&std::iter::once(is(0, family)).chain(other).collect::<Vec<_>>())?);
        }
        // Interfaces and addresses, which the C library asks for. The rest reports on, or changes, the machine.
        rules.push(rule(&[is(0, libc::AF_NETLINK), is_not(2, libc::NETLINK_ROUTE)])?);
    }
    denied.insert(libc::SYS_socket, rules);

    let attach = SOCKET_PROGRAMS.map(|option| rule(&[is(1, libc::SOL_SOCKET), is(2, option)]));
    let mut options = attach.into_iter().collect::<Result<Vec<_>, _>>()?;
    // Another protocol on top of a connection, such as the kernel's own TLS: modules that are loaded at this call.
    options.push(rule(&[is(1, libc::IPPROTO_TCP), is(2, libc::TCP_ULP)])?);
    denied.insert(libc::SYS_setsockopt, options);

    // Filters cannot look into the structures that these take. The C libraries go on with `clone` at this answer, and programs with
    // `openat`.
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new()), (libc::SYS_openat2, Vec::new())]);
    programs.extend([
        answers::as_done()?,
        compile(denied, libc::EPERM)?,
        compile(unknown, libc::ENOSYS)?,
        compile(unsupported, libc::EOPNOTSUPP)?,
        answers::out_of_large_pages()?,
    ]);
    programs.push(ioctl::only_allowed());
    if cfg!(target_arch = "x86_64") {
        programs.push(no_x32());
    }
    programs.push(no_filters_and_no_holds_on_files()?);
    Ok(programs)
}

/// No more filters of system calls. The last one: it holds for those that would follow.
///
/// What they are compiled to comes out of 256 MiB that the whole machine has for this (`net.core.bpf_jit_limit`). A
/// program with a few hundred processes takes all of it, and then no sandbox can be made any more, nor a container. The
/// answer is that of a kernel without filters, which programs that would protect themselves by one go on with.
///
/// And no locks that belong to an open file and to no process: one that is under way in a socket could not be counted. No
/// leases and delegations either, by which whoever has a file of its own user's open, if only for reading, holds up for
/// 45 seconds everybody who opens or changes it, the server among them. The answer is that of a kernel before these were
/// made.
fn no_filters_and_no_holds_on_files() -> Result<BpfProgram, seccompiler::BackendError> {
    let by_call = rule(&[is(0, SECCOMP_SET_MODE_FILTER)])?;
    let by_prctl = rule(&[is(0, libc::PR_SET_SECCOMP), is(1, SECCOMP_MODE_FILTER)])?;
    let holds = HOLDS.iter().map(|&command| rule(&[is(1, command)])).collect::<Result<_, _>>()?;
    let calls = [(libc::SYS_seccomp, vec![by_call]), (libc::SYS_prctl, vec![by_prctl]), (libc::SYS_fcntl, holds)];
    compile(BTreeMap::from(calls), libc::EINVAL)
}

/// Commands of `fcntl` by which one holds up others.
const HOLDS: [libc::c_int; 4] = [libc::F_OFD_SETLK, libc::F_OFD_SETLKW, libc::F_SETLEASE, SETDELEG];
/// Linux 6.19.
const SETDELEG: libc::c_int = 1024 + 16;
const PUNCH_HOLE: u64 = libc::FALLOC_FL_PUNCH_HOLE as u64;
const SECCOMP_SET_MODE_FILTER: libc::c_int = libc::SECCOMP_SET_MODE_FILTER as libc::c_int;
const SECCOMP_MODE_FILTER: libc::c_int = libc::SECCOMP_MODE_FILTER as libc::c_int;

/// Calls that change another process's scheduling, priority or limits, where they could mean one that is not the
/// program's own: its sandbox's first process has the same user, and so has, at [`Level::Landlock`], perhaps the server.
///
/// In a PID namespace, that one is number 1, or the table's is, and all others are the program's own or of a command that it
/// could end as well: threads pin each other by their
/// numbers, as OpenMP with `OMP_PROC_BIND` does. Elsewhere only zero, the caller itself, is surely its own.
fn on_others(level: Level) -> Result<Vec<(libc::c_long, Vec<SeccompRule>)>, seccompiler::BackendError> {
    let foreign = |at: u8| if level.has_namespaces() { is(at, 1) } else { is_not(at, 0) };
    let mut calls = Vec::new();
    for call in SCHEDULING {
        calls.push((call, vec![rule(&[foreign(0)])?]));
    }
    // Without new limits it only asks for the old.
    let sets = (2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0);
    calls.push((libc::SYS_prlimit64, vec![rule(&[foreign(0), sets])?]));
    let by = |which: libc::c_int| rule(&[is(0, which), foreign(1)]);
    let of_users = rule(&[is(0, PRIO_USER)])?;
    calls.push((libc::SYS_setpriority, vec![by(PRIO_PROCESS)?, by(PRIO_GROUP)?, of_users]));
    // Core scheduling, of others by their numbers.
    calls.push((libc::SYS_prctl, vec![rule(&[is(0, PR_SCHED_CORE)])?]));
    Ok(calls)
}

const PRIO_PROCESS: libc::c_int = libc::PRIO_PROCESS as libc::c_int;
const PRIO_GROUP: libc::c_int = libc::PRIO_PGRP as libc::c_int;
const PRIO_USER: libc::c_int = libc::PRIO_USER as libc::c_int;
const PR_SCHED_CORE: libc::c_int = 62;

type Condition = (u8, SeccompCmpArgLen, SeccompCmpOp, u64);

/// An `int` argument has this value.
fn is(at: u8, value: libc::c_int) -> Condition {
    (at, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(value.unsigned_abs()))
}

/// An `int` argument has another value.
fn is_not(at: u8, value: libc::c_int) -> Condition {
    (at, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(value.unsigned_abs()))
}

/// Holds when all conditions do.
fn rule(conditions: &[Condition]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = conditions.iter().cloned();
    SeccompRule::new(
        conditions.map(|(at, len, op, value)| SeccompCondition::new(at, len, op, value)).collect::<Result<_, _>>()?,
    )
}

/// Answers what a rule holds for with an error, allows the rest, and ends processes that use the system calls of
/// another architecture.
fn compile(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno.unsigned_abs()), arch)?.try_into()
}

/// Has a listener answer what a rule holds for. The compiler knows no such action, so another one stands for it.
fn compile_asking(rules: BTreeMap<i64, Vec<SeccompRule>>) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trace(0), arch)?;
    let mut program: BpfProgram = filter.try_into()?;
    let stand_in = step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_TRACE);
    for instruction in program.iter_mut().filter(|instruction| **instruction == stand_in) {
        instruction.k = libc::SECCOMP_RET_USER_NOTIF;
    }
    Ok(program)
}

/// x86-64 has the same calls a second time, under numbers from 2^30 on, which the rules above do not name.
fn no_x32() -> BpfProgram {
    const FIRST: u32 = 1 << 30;
    vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the call's number is what comes first
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, FIRST),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// One of the kernel's instructions. All of their codes fit into 16 bits.
fn step(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_compiles_and_fits() {
        for level in Level::ALL {
            for network in [Network::None, Network::Host] {
                for changes in [FileChanges::Direct, FileChanges::Brokered, FileChanges::Refused] {
                    for program in programs(level, network, changes).expect("the rules are valid") {
                        assert!(program.len() < 4096, "{level}: {}", program.len());
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_first_of_a_brokers_filters_asks() {
        let asks = |program: &BpfProgram| program.iter().any(|step| step.k == libc::SECCOMP_RET_USER_NOTIF);
        for network in [Network::None, Network::Host] {
            let brokered = programs(Level::Landlock, network, FileChanges::Brokered).expect("the rules are valid");
            assert_eq!(brokered.iter().map(asks).filter(|&asks| asks).count(), 1);
            assert!(asks(&brokered[0]));
            let refused = programs(Level::Landlock, network, FileChanges::Refused).expect("the rules are valid");
            assert!(!refused.iter().any(asks));
        }
    }
}
