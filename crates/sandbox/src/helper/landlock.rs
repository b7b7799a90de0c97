//! Closing the host's file system to a process that shares it.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Failure;
use super::host::{Host, Place};
use crate::error::Stage;
use crate::plan::{Plan, TMP};
use crate::{Level, Network};

/// What this crate knows to ask for; older kernels give what they have.
const NEWEST: ABI = ABI::V6;

/// Readable and executable: the system. Compare `root`, where the same is mounted.
const SYSTEM: [&str; 8] = ["/usr", "/nix/store", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Readable: what programs need to start or to behave as elsewhere. The list of users is among them, because the C
/// library asks it for the program's own; it holds no secret.
const READABLE: [&str; 37] = [
    "/etc/R",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/debian_version", // pip does not work when it is there and may not be read
    "/etc/fonts",
    "/etc/group",
    "/etc/java-11-openjdk",
    "/etc/java-17-openjdk",
    "/etc/java-21-openjdk",
    "/etc/java-25-openjdk",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/protocols",
    "/etc/python3",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", // Node.js does not start when it is there and may not be read
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/random",
    "/proc/sys/vm/max_map_count",
    "/proc/sys/vm/overcommit_memory",
    "/proc/uptime",
    "/proc/version",
];

/// More of the same for programs that use the host's network.
const RESOLVER: [&str; 3] = ["/etc/hosts", "/etc/host.conf", "/etc/resolv.conf"];

/// Devices that hold nothing and control nothing.
const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// A program's own terminal, whichever that is.
const TERMINAL: &str = "/dev/tty";

/// The first version that keeps signals inside (Linux 6.12). Older ones do where the program is a user of its own: it
/// may signal nobody else's processes then.
const SIGNALS: i32 = 6;

/// The directory for temporary files, made by the program's user.
pub(super) fn make_tmp(plan: &Plan) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(plan.policy.workdir.join(TMP)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Keeps this process, a sandbox's first, from signalling any but its descendants: then it can end all of them by one
/// call, in which none can get away by copying itself. False: this kernel cannot.
///
/// Before the program is started: what is not below this restriction cannot be signalled.
pub(super) fn contain_signals(host: &Host, level: Level) -> bool {
    level == Level::Landlock && host.landlock >= SIGNALS && scope(false).is_ok()
}

/// Restricts this process and all that it will start.
pub(super) fn restrict(host: &Host, place: &Place, plan: &Plan) -> Result<(), Failure> {
    match plan.policy.level {
        Level::Landlock if host.landlock == 0 => Err(Failure::new(Stage::Landlock, libc::EOPNOTSUPP, "")),
        Level::Landlock if host.landlock < SIGNALS && host.shares_user(place) => {
            let reason = "for an ordinary user, 6.12: before, programs could signal that user's other processes";
            Err(Failure::new(Stage::Landlock, libc::EOPNOTSUPP, reason))
        }
        Level::Landlock => {
            // They are there for the server: who cannot see them now is the program's user.
            if let Some(path) = plan.policy.readonly.iter().find(|path| !path.exists()) {
                return Err(Failure::new(Stage::Image, libc::EACCES, path.display().to_string()));
            }
            let status =
                close_all(plan).map_err(|error| Failure::new(Stage::Landlock, libc::EIO, error.to_string()))?;
            match status {
                RulesetStatus::NotEnforced => Err(Failure::new(Stage::Landlock, libc::EOPNOTSUPP, "")),
                _ => Ok(()),
            }
        }
        // The abstract name space of sockets belongs to the network, which this program shares with the host.
        Level::Namespaces | Level::NamespacesRoot if plan.policy.network == Network::Host => {
            scope(plan.joins_processes).map_err(|error| Failure::new(Stage::Landlock, libc::EIO, error.to_string()))
        }
        _ => Ok(()),
    }
}

/// Keeps this process, a sandbox's first, and all that it will start from making files and opening them for writing, but for
/// devices and what the kernel shows of processes. What is there can be removed.
///
/// Before the filter of system calls, which knows no rules.
pub(super) fn keep_from_writing(host: &Host) -> Result<(), Failure> {
    let written = AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::MakeSock
        | AccessFs::MakeFifo
        | AccessFs::MakeChar
        | AccessFs::MakeBlock;
    let close = || -> Result<RulesetStatus, RulesetError> {
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(written)?
            .create()?
            .add_rules(path_beneath_rules(existing(&["/dev", "/proc"]), written))?
            .restrict_self()?;
        Ok(status.ruleset)
    };
    let closed = if host.landlock == 0 { Ok(RulesetStatus::NotEnforced) } else { close() };
    match closed.map_err(|error| Failure::new(Stage::Landlock, libc::EIO, error.to_string()))? {
        RulesetStatus::NotEnforced => {
            let reason = "the session is full, and without it nothing keeps a program from writing: use the file tools";
            Err(Failure::new(Stage::Landlock, libc::EOPNOTSUPP, reason))
        }
        _ => Ok(()),
    }
}

fn close_all(plan: &Plan) -> Result<RulesetStatus, RulesetError> {
    let policy = &plan.policy;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    let mut readable: Vec<&str> = READABLE.to_vec();
    match policy.network {
        Network::None | Network::Proxy => rules = rules.handle_access(AccessNet::from_all(NEWEST))?,
        Network::Host => readable.extend(RESOLVER),
    }
    let system: Vec<PathBuf> =
        SYSTEM.iter().map(PathBuf::from).chain(policy.readonly.iter().cloned()).filter(|path| path.exists()).collect();
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let terminal = plan.on_terminal.then_some(TERMINAL);
    // /dev/stdout leads to what that is: this one below /dev/pts, and no other there.
    let stdin = io::stdin();
    let opened = plan.on_terminal.then(|| Ok::<_, RulesetError>(PathBeneath::new(&stdin, device | AccessFs::IoctlDev)));
    let status = rules
        .create()?
        .add_rules(path_beneath_rules(existing(&readable), read))?
        .add_rules(path_beneath_rules(system, AccessFs::from_read(NEWEST)))?
        .add_rules(path_beneath_rules(existing(&DEVICES), device))?
        .add_rules(path_beneath_rules(terminal, device | AccessFs::IoctlDev))?
        .add_rules(opened)?
        .add_rules(path_beneath_rules(std::iter::once(&policy.workdir).chain(&policy.tmp), all_but_devices()))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// What may be done in the working directory.
fn all_but_devices() -> BitFlags<AccessFs> {
    AccessFs::from_all(NEWEST) & !(AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev)
}

fn existing<'a>(paths: &'a [&'a str]) -> impl Iterator<Item = &'a Path> {
    paths.iter().map(Path::new).filter(|path| path.exists())
}

/// `signals_others`: others of its session are in its process table, and nobody else is.
fn scope(signals_others: bool) -> Result<(), RulesetError> {
    let scope = if signals_others { Scope::AbstractUnixSocket.into() } else { Scope::from_all(NEWEST) };
    Ruleset::default().set_compatibility(CompatLevel::BestEffort).scope(scope)?.create()?.restrict_self()?;
    Ok(())
}
