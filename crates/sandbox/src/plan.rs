//! What the server asks of its launcher, and what comes back: the messages between the two processes.
//!
//! Both are the same executable, so there is no version to negotiate. The launcher trusts its server; the server
//! does not have to trust anything but the launcher: after a program has started, only PID 1 of its sandbox, which
//! the program cannot touch, holds the other end of the control socket.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use crate::error::Stage;
use crate::reports::Abilities;
use crate::{Command, Exceeded, Level, Limits, Link, Mount, Network, Policy, SpawnError};

/// The largest plan. Below what a Unix socket takes as one message by default (208 KiB).
pub(crate) const MAX_PLAN: usize = 128 << 10;

/// The largest control message.
pub(crate) const MAX_MESSAGE: usize = 1 << 10;

/// Everything that the launcher needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) policy: Policy,
    pub(crate) program: CString,
    /// With the program's name as the first.
    pub(crate) args: Vec<CString>,
    pub(crate) env: Vec<CString>,
    /// Relative to the working directory.
    pub(crate) dir: PathBuf,
    pub(crate) kind: Kind,
    /// The files of control groups that the sandbox's first process writes itself into.
    pub(crate) groups: Vec<PathBuf>,
    /// The session has a network already: its descriptor comes with the plan, before the control socket.
    pub(crate) joins_network: bool,
    /// The session has a process table already: the descriptors of its namespaces come with the plan, behind the network's.
    pub(crate) joins_processes: bool,
    /// [`Command::keep_background`].
    pub(crate) keeps_background: bool,
    /// [`Command::on_terminal`].
    pub(crate) on_terminal: bool,
    /// The limit of disk or files that the session is above: the program may remove files, and neither make nor change any.
    pub(crate) full: Option<Exceeded>,
}

/// What is to become of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sandbox with the program in it.
    Program,
    /// A sandbox that is looked around in instead.
    Trial,
    /// A nursery with the program as its zygote; the working directory is the one that all sessions' lie in.
    Nursery,
    /// A sandbox in a nursery, with a copy of its zygote as the program.
    Copy,
    /// A process table for the session's commands: a first process, and no program.
    Processes,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Program, Self::Trial, Self::Nursery, Self::Copy, Self::Processes];
}

impl Plan {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, SpawnError> {
        let mut out = Writer(Vec::with_capacity(1 << 10));
        let Policy { level, workdir, mount_at, tmp, readonly, mounts, links, limits, network, env: _, slot } =
            &self.policy;
        out.number(*level as u64);
        out.path(workdir);
        out.path(mount_at);
        out.list(tmp.as_slice(), |out, path| out.path(path));
        out.list(readonly, |out, path| out.path(path));
        out.list(mounts, |out, mount| {
            out.path(&mount.dir);
            out.path(&mount.at);
        });
        out.list(links, |out, link| {
            out.path(&link.at);
            out.path(&link.target);
        });
        let Limits { memory, processes, open_files, file_size, tmp_size, tmp_files, .. } = limits;
        let Limits { total_memory, disk, files, mappings, total_open_files, total_connections, .. } = limits;
        let Limits { total_setsids, locks, total_processes, cpus, nice, .. } = limits;

        for value in [memory, processes, open_files, file_size, tmp_size, tmp_files] {
            out.number(*value);
        }
        for value in [total_memory, disk, files, mappings, total_open_files, total_connections] {
            out.number(*value);
        }
        for value in [total_setsids, locks, total_processes] {
            out.number(*value);
        }
        out.number(u64::from(*cpus));
        out.number(u64::from(*nice));
        out.number(match network {
            Network::None => 0,
            Network::Host => 1,
            Network::Proxy => 2,
        });
        out.number(u64::from(*slot));
        out.bytes(self.program.as_bytes());
        out.list(&self.args, |out, arg| out.bytes(arg.as_bytes()));
        out.list(&self.env, |out, entry| out.bytes(entry.as_bytes()));
        out.path(&self.dir);
        out.number(self.kind as u64);
        out.list(&self.groups, |out, path| out.path(path));
        out.number(u64::from(self.joins_network));
        out.number(u64::from(self.joins_processes));
        out.number(u64::from(self.keeps_background));
        out.number(u64::from(self.on_terminal));
        out.number(match self.full {
            None => 0,
            Some(Exceeded::Files(_)) => 1,
            Some(_) => 2,
        });
        if out.0.len() > MAX_PLAN {
            return Err(SpawnError::TooLarge { size: out.0.len(), limit: MAX_PLAN });
        }
        Ok(out.0)
    }

    /// `None`: these bytes are not a plan.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader(bytes);
        let level = *Level::ALL.get(usize::try_from(input.number()?).ok()?)?;
        let (workdir, mount_at) = (input.path()?, input.path()?);
        let tmp = input.list(Reader::path)?.pop();
        let readonly = input.list(Reader::path)?;
        let mounts = input.list(|input| Some(Mount { dir: input.path()?, at: input.path()? }))?;
        let links = input.list(|input| Some(Link { at: input.path()?, target: input.path()? }))?;
        let limits = Limits {
            memory: input.number()?,
            processes: input.number()?,
            open_files: input.number()?,
            file_size: input.number()?,
            tmp_size: input.number()?,
            tmp_files: input.number()?,
            total_memory: input.number()?,
            disk: input.number()?,
            files: input.number()?,
            mappings: input.number()?,
            total_open_files: input.number()?,
            total_connections: input.number()?,
            total_setsids: input.number()?,
            locks: input.number()?,
            total_processes: input.number()?,
            cpus: u32::try_from(input.number()?).ok()?,
            nice: u8::try_from(input.number()?).ok()?,
        };
        let network = match input.number()? {
            0 => Network::None,
            1 => Network::Host,
            2 => Network::Proxy,
            _ => return None,
        };
        let slot = u32::try_from(input.number()?).ok()?;
        let mut policy = Policy::new(level, workdir, slot);
        (policy.mount_at, policy.tmp, policy.readonly, policy.mounts) = (mount_at, tmp, readonly, mounts);
        policy.links = links;
        (policy.limits, policy.network) = (limits, network);
        let program = input.string()?;
        let args = input.list(Reader::string)?;
        let env = input.list(Reader::string)?;
        let dir = input.path()?;
        let kind = *Kind::ALL.get(usize::try_from(input.number()?).ok()?)?;
        let groups = input.list(Reader::path)?;
        let mut flag = || Some(input.number()? != 0);
        let (joins_network, joins_processes) = (flag()?, flag()?);
        let (keeps_background, on_terminal) = (flag()?, flag()?);
        let full = match input.number()? {
            0 => None,
            1 => Some(Exceeded::Files(policy.limits.files)),
            2 => Some(Exceeded::Disk(policy.limits.disk)),
            _ => return None,
        };
        let rest = input.0;
        rest.is_empty().then_some(Self {
            policy,
            program,
            args,
            env,
            dir,
            kind,
            groups,
            joins_network,
            joins_processes,
            keeps_background,
            on_terminal,
            full,
        })
    }

    /// Checks what can be checked without looking at the machine, and completes the rest.
    pub(crate) fn new(policy: &Policy, command: &Command, kind: Kind) -> Result<Self, SpawnError> {
        let invalid = |reason: String| Err(SpawnError::Invalid(reason));
        if policy.slot >= crate::policy::SLOTS {
            return invalid(format!("slot {} is not below {}", policy.slot, crate::policy::SLOTS));
        }
        if policy.limits.nice > 19 {
            return invalid(format!("limits.nice is {}, and must be 0 to 19", policy.limits.nice));
        }
        if policy.network == Network::Proxy && !policy.level.has_namespaces() {
            return invalid(format!("a proxy needs a network of its own, which the level {} has not", policy.level));
        }
        if matches!(kind, Kind::Nursery | Kind::Copy) {
            if policy.level != Level::Namespaces {
                return invalid(format!("a nursery needs the level {}, not {}", Level::Namespaces, policy.level));
            }
            if policy.network == Network::Host {
                // Programs there are closed by Landlock as well, which only a program itself can do.
                return invalid("a nursery's programs have a network of their own".to_owned());
            }
        }
        let mut policy = policy.clone();
        // Links are followed here, where the host's root is the root.
        policy.workdir = real(&policy.workdir, "the working directory")?;
        if !policy.workdir.is_dir() {
            return invalid(format!("the working directory {} is not a directory", policy.workdir.display()));
        }
        if let Some(tmp) = &mut policy.tmp {
            *tmp = real(tmp, "the directory for temporary files")?;
        }
        for path in &policy.readonly {
            real(path, "the read-only path")?;
            if hides_the_sandbox(path) && policy.level.has_namespaces() {
                return invalid(format!("{}: the sandbox has one of its own", path.display()));
            }
        }
        for mount in &mut policy.mounts {
            mount.dir = real(&mount.dir, "the mounted directory")?;
            if !policy.level.has_namespaces() {
                return invalid(format!("a mount needs a level with namespaces, not {}", policy.level));
            }
            let taken = ["/tmp", "/var/tmp"].map(Path::new).into_iter().chain([policy.mount_at.as_path()]);
            if taken.into_iter().any(|dir| mount.at.starts_with(dir) || dir.starts_with(&mount.at))
                || RESERVED.iter().any(|dir| mount.at.starts_with(dir))
            {
                return invalid(format!("{} is a place of the sandbox's", mount.at.display()));
            }
        }
        if let Some(link) = policy.links.iter().find(|link| RESERVED.iter().any(|dir| link.at.starts_with(dir))) {
            return invalid(format!("{} is a place of the system's", link.at.display()));
        }
        let plain = |path: &Path| {
            let mut parts = path.components();
            parts.next() == Some(Component::RootDir) && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        let mounted = policy.mounts.iter().map(|mount| &mount.at).chain(policy.links.iter().map(|link| &link.at));
        for path in policy.readonly.iter().chain([&policy.mount_at, &command.program]).chain(mounted) {
            if !plain(path) {
                return invalid(format!("{} is not an absolute path without `..`", path.display()));
            }
        }
        if policy.mount_at.components().count() < 2 || RESERVED.iter().any(|dir| policy.mount_at.starts_with(dir)) {
            return invalid(format!("{} is a place of the system's", policy.mount_at.display()));
        }
        if !command.dir.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return invalid(format!("{} is not a path below the working directory", command.dir.display()));
        }
        let program = c_string(command.program.as_os_str().as_bytes(), "the program's path")?;
        let mut args = vec![program.clone()];
        for arg in &command.args {
            args.push(c_string(arg.as_bytes(), "an argument")?);
        }
        let env = environment(&policy)?;
        Ok(Self {
            policy,
            program,
            args,
            env,
            dir: command.dir.clone(),
            kind,
            groups: Vec::new(),
            joins_network: false,
            joins_processes: false,
            keeps_background: command.keeps_background,
            on_terminal: command.on_terminal,
            full: None,
        })
    }
}

/// Where a working directory may not appear: it would hide what the sandbox consists of.
const RESERVED: [&str; 9] = ["/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/dev", "/sys"];

/// What is made for each sandbox. Directories below `/tmp` can be shown in it, `/tmp` itself cannot.
fn hides_the_sandbox(path: &Path) -> bool {
    ["/dev", "/proc"].iter().any(|dir| path.starts_with(dir))
        || ["/", "/tmp", "/var", "/var/tmp"].iter().any(|dir| path == Path::new(dir))
}

fn real(path: &Path, what: &str) -> Result<PathBuf, SpawnError> {
    if !path.is_absolute() {
        return Err(SpawnError::Invalid(format!("{what} {} is not absolute", path.display())));
    }
    path.canonicalize()
        .map_err(|error| SpawnError::Invalid(format!("{what} {} cannot be used: {error}", path.display())))
}

fn c_string(bytes: &[u8], what: &str) -> Result<CString, SpawnError> {
    CString::new(bytes).map_err(|_| SpawnError::Invalid(format!("{what} contains a zero byte")))
}

fn environment(policy: &Policy) -> Result<Vec<CString>, SpawnError> {
    let home = policy.workdir_inside().to_string_lossy();
    let tmp = match (policy.level, &policy.tmp) {
        (Level::Namespaces | Level::NamespacesRoot, _) => "/tmp".to_owned(),
        (_, Some(tmp)) => tmp.to_string_lossy().into_owned(),
        (Level::Landlock, None) => format!("{home}/{TMP}"),
        (Level::None, None) => std::env::temp_dir().to_string_lossy().into_owned(),
    };
    let defaults = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
        ("HOME", &home),
        ("TMPDIR", &tmp),
        ("USER", "user"),
        ("LANG", "C.UTF-8"),
        // One zone in every language and on every host. An image's environment or the program changes it.
        ("TZ", "UTC"),
    ];
    let mut env = Vec::new();
    for (name, value) in defaults {
        if !policy.env.iter().any(|(given, _)| given == name) {
            env.push(c_string(format!("{name}={value}").as_bytes(), "a path")?);
        }
    }
    for (name, value) in &policy.env {
        if name.is_empty() || name.contains('=') {
            return Err(SpawnError::Invalid(format!("{name:?} cannot name an environment variable")));
        }
        env.push(c_string(format!("{name}={value}").as_bytes(), "the environment")?);
    }
    Ok(env)
}

/// The directory for temporary files in the working directory, where there is no `/tmp` of one's own.
pub(crate) const TMP: &str = ".tmp";

/// What a sandbox says over its control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// From the launcher: the sandbox's first process exists; a descriptor that names it comes with this.
    Created,
    /// From the program's process, just before it becomes the program: the kernel tells its number.
    Starting,
    /// From the sandbox's first process: the program runs.
    Running(Abilities),
    /// Something failed; it ends.
    Failed { stage: Stage, errno: i32, detail: String },
    /// From the sandbox's first process: the listening socket for its egress proxy comes with this.
    ProxySocket,
    /// From the sandbox's first process: the network that it has made for its session comes with this.
    Network,
    /// From the first process of a process table: the namespaces that others enter it by come with this.
    Processes,
    /// From the sandbox's first process: a signal that was ordered is sent.
    Signalled,
    /// The program has ended, as `wait` reports it.
    Ended { status: i32 },
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        match self {
            Self::Created => out.number(0),
            Self::Starting => out.number(1),
            Self::Running(Abilities { has_proc, changes_files }) => {
                out.number(2);
                out.number(u64::from(*has_proc));
                out.number(u64::from(*changes_files));
            }
            Self::Failed { stage, errno, detail } => {
                out.number(3);
                out.number(Stage::ALL.iter().position(|known| known == stage).expect("ALL has all") as u64);
                out.number(u64::from(errno.unsigned_abs()));
                let end = (0..=detail.len().min(MAX_MESSAGE / 2)).rev().find(|&at| detail.is_char_boundary(at));
                out.bytes(&detail.as_bytes()[..end.unwrap_or(0)]);
            }
            Self::ProxySocket => out.number(5),
            Self::Signalled => out.number(6),
            Self::Network => out.number(7),
            Self::Processes => out.number(8),
            Self::Ended { status } => {
                out.number(4);
                out.number(u64::from(status.cast_unsigned()));
            }
        }
        out.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader(bytes);
        let message = match input.number()? {
            0 => Self::Created,
            1 => Self::Starting,
            2 => Self::Running(Abilities { has_proc: input.number()? != 0, changes_files: input.number()? != 0 }),
            3 => Self::Failed {
                stage: *Stage::ALL.get(usize::try_from(input.number()?).ok()?)?,
                errno: i32::try_from(input.number()?).ok()?,
                detail: String::from_utf8_lossy(input.bytes()?).into_owned(),
            },
            5 => Self::ProxySocket,
            6 => Self::Signalled,
            7 => Self::Network,
            8 => Self::Processes,
            4 => Self::Ended { status: u32::try_from(input.number()?).ok()?.cast_signed() },
            _ => return None,
        };
        input.0.is_empty().then_some(message)
    }
}

/// What the server tells a sandbox's first process: a signal for the program's process group, or zero: end.
pub(crate) fn order(signal: u8) -> [u8; 1] {
    [signal]
}

/// What the server tells the first process of a process table: who has entered it, by the descriptor that comes with this.
pub(crate) const ENTERED: [u8; 1] = [1];

/// The same: something could not enter it as it should, and may have left others.
pub(crate) const LEFT_OVER: [u8; 1] = [2];

impl Plan {
    /// Whether the sandbox's first process is the first of its process table: the kernel ends all the others with it then.
    pub(crate) fn owns_processes(&self) -> bool {
        self.policy.level.has_namespaces() && !self.joins_processes
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn path(&mut self, path: &Path) {
        self.bytes(path.as_os_str().as_bytes());
    }

    fn list<T>(&mut self, items: &[T], one: impl Fn(&mut Self, &T)) {
        self.number(items.len() as u64);
        for item in items {
            one(self, item);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(OsString::from_vec(self.bytes()?.to_vec()).into())
    }

    fn string(&mut self) -> Option<CString> {
        CString::new(self.bytes()?).ok()
    }

    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len = self.number()?;
        (0..len).map(|_| one(self)).collect()
    }
}

#[cfg(test)]
mod tests;
