//! What a server may have to run as: this process started anew with fewer rights, as on other machines.
//!
//! A test with a `main` of its own runs as it is, and then [`again`](PrivilegeProfile::run_again) in each of the
//! [others](PrivilegeProfile::others) that its user can take on. Only root can take on any.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Tells a process which profile it runs under.
const ACTIVE: &str = "AGB_TEST_PROFILE";

/// Nobody's number.
const USER: u32 = 1_999_999_999;

/// Rights and restrictions of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivilegeProfile {
    /// Root of the machine.
    Root,
    /// An ordinary user.
    User,
    /// Root where no user namespaces can be made: of a user namespace with all users, and
    /// `user.max_user_namespaces=0`.
    RootWithoutUserNamespaces,
    /// An ordinary user there.
    UserWithoutUserNamespaces,
    /// Root as in a container: with the capabilities that Docker leaves, and a filter of system calls like its own.
    ContainerRoot,
    /// An ordinary user behind that filter.
    ContainerUser,
}

impl PrivilegeProfile {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Root,
        Self::User,
        Self::RootWithoutUserNamespaces,
        Self::UserWithoutUserNamespaces,
        Self::ContainerRoot,
        Self::ContainerUser,
    ];

    /// What this process was started in by [`run_again`](Self::run_again).
    #[must_use]
    pub fn active() -> Option<Self> {
        let name = std::env::var(ACTIVE).ok()?;
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// What this process is without being dressed.
    #[must_use]
    pub fn of_this_process() -> Self {
        if rustix::process::geteuid().is_root() { Self::Root } else { Self::User }
    }

    /// Those that a process in this one can take on.
    #[must_use]
    pub fn others(self) -> Vec<Self> {
        if self == Self::Root { Self::ALL[1..].to_vec() } else { Vec::new() }
    }

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "an ordinary user",
            Self::RootWithoutUserNamespaces => "root without user namespaces",
            Self::UserWithoutUserNamespaces => "an ordinary user without user namespaces",
            Self::ContainerRoot => "root in a container",
            Self::ContainerUser => "an ordinary user in a container",
        }
    }

    fn is_user(self) -> bool {
        matches!(self, Self::User | Self::UserWithoutUserNamespaces | Self::ContainerUser)
    }

    /// Whether there is a filter of system calls around it, so that no program of it can gain rights.
    #[must_use]
    pub fn is_in_container(self) -> bool {
        matches!(self, Self::ContainerRoot | Self::ContainerUser)
    }

    /// Starts this process's executable in it, with these arguments, and waits for its end.
    pub fn run_again(self, args: &[String]) -> io::Result<ExitStatus> {
        let mut command = Command::new("/proc/self/exe");
        command.args(args).env(ACTIVE, self.name()).current_dir("/");
        let without = matches!(self, Self::RootWithoutUserNamespaces | Self::UserWithoutUserNamespaces);
        let filters = if self.is_in_container() { container_filters()? } else { Vec::new() };
        // Two pipes: the child says its number, and hears that it has its users.
        let (mut number, mut says) = io::pipe()?;
        let (mut hears, mut mapped) = io::pipe()?;
        // SAFETY: between `fork` and `exec` there are system calls only, on values that were made before.
        unsafe {
            command.pre_exec(move || {
                if without {
                    check(libc::unshare(libc::CLONE_NEWUSER))?;
                    says.write_all(&libc::getpid().to_le_bytes())?;
                    hears.read_exact(&mut [0])?;
                    let mut most = File::options().write(true).open("/proc/sys/user/max_user_namespaces")?;
                    most.write_all(b"0")?;
                }
                for filter in &filters {
                    seccompiler::apply_filter(filter).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
                }
                if self.is_in_container() {
                    drop_to_container_capabilities();
                }
                if self.is_user() {
                    check(libc::setgroups(0, std::ptr::null()))?;
                    check(libc::setgid(USER))?;
                    check(libc::setuid(USER))?;
                }
                Ok(())
            });
        }
        let mapping = std::thread::spawn(move || -> io::Result<()> {
            let mut pid = [0; 4];
            if number.read_exact(&mut pid).is_err() {
                return Ok(()); // it needs none
            }
            let pid = i32::from_le_bytes(pid);
            for map in ["uid_map", "gid_map"] {
                fs::write(format!("/proc/{pid}/{map}"), "0 0 4294967295")?;
            }
            mapped.write_all(&[1])
        });
        let child = command.spawn();
        drop(command); // and with it our ends of the pipes
        let status = child?.wait();
        mapping.join().map_err(|_| io::Error::other("the maps of users could not be written"))??;
        status
    }
}

impl fmt::Display for PrivilegeProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Gives up what Docker gives up by default: the next program has what is left.
fn drop_to_container_capabilities() {
    // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod,
    // audit_write, setfcap
    const KEPT: [u32; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];
    for capability in (0..64).filter(|capability| !KEPT.contains(capability)) {
        // For one that does not exist it fails harmlessly.
        let _ = remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability));
    }
}

/// Like Docker's default for a container without `CAP_SYS_ADMIN`: what makes namespaces and mounts, and what looks
/// into other processes or the kernel, is refused; `clone3` does not exist.
fn container_filters() -> io::Result<Vec<BpfProgram>> {
    const REFUSED: [libc::c_long; 26] = [
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_fanotify_init,
        libc::SYS_open_by_handle_at,
        libc::SYS_userfaultfd,
        libc::SYS_add_key,
        libc::SYS_keyctl,
        libc::SYS_request_key,
        libc::SYS_io_uring_setup,
        libc::SYS_quotactl,
        libc::SYS_sethostname,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_syslog,
    ];
    const NAMESPACES: [libc::c_int; 7] = [
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUTS,
    ];
    let mut refused: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|&call| (call, Vec::new())).collect();
    let with = |flag: libc::c_int| {
        let flag = u64::from(flag.unsigned_abs());
        let has = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag);
        SeccompRule::new(vec![has?])
    };
    let clones: Result<Vec<_>, _> = NAMESPACES.into_iter().map(with).collect();
    refused.insert(libc::SYS_clone, clones.map_err(io::Error::other)?);
    let unknown = std::collections::BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    [(refused, libc::EPERM), (unknown, libc::ENOSYS)]
        .into_iter()
        .map(|(rules, errno)| {
            let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
            let answer = SeccompAction::Errno(errno.unsigned_abs());
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch);
            filter.and_then(TryInto::try_into).map_err(io::Error::other)
        })
        .collect()
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
