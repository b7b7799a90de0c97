//! What the server asks of its launcher, and what comes back: the messages between the two processes.
//!
//! Both are the same executable, so there is no version to negotiate. The launcher trusts its server; the server
//! does not have to trust anything but the launcher: after a program has started, only PID 1 of its sandbox, which
//! the program cannot touch, holds the other end of the control socket.

mod bytes;
mod check;
mod message;

use std::ffi::CString;
use std::path::PathBuf;

use self::bytes::{Reader, Writer};
pub(crate) use self::message::{ENTERED, LEFT_OVER, MAX_MESSAGE, Message, order};
use crate::{Exceeded, Level, Limits, Link, Mount, Network, Policy, SpawnError};

/// The largest plan. Below what a Unix socket takes as one message by default (208 KiB).
pub(crate) const MAX_PLAN: usize = 128 << 10;

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
        let Limits { memory, processes, open_files, inotify_instances, file_size, tmp_size, tmp_files, .. } = limits;
        let Limits { total_memory, disk, files, mappings, total_open_files, total_connections, .. } = limits;
        let Limits { total_watches, total_setsids, locks, total_processes, cpus, nice, .. } = limits;

        for value in [memory, processes, open_files, inotify_instances, file_size, tmp_size, tmp_files] {
            out.number(*value);
        }
        for value in [total_memory, disk, files, mappings, total_open_files, total_connections] {
            out.number(*value);
        }
        for value in [total_watches, total_setsids, locks, total_processes] {
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
            inotify_instances: input.number()?,
            file_size: input.number()?,
            tmp_size: input.number()?,
            tmp_files: input.number()?,
            total_memory: input.number()?,
            disk: input.number()?,
            files: input.number()?,
            mappings: input.number()?,
            total_open_files: input.number()?,
            total_connections: input.number()?,
            total_watches: input.number()?,
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

    /// Whether the sandbox's first process is the first of its process table: the kernel ends all the others with it then.
    pub(crate) fn owns_processes(&self) -> bool {
        self.policy.level.has_namespaces() && !self.joins_processes
    }
}

/// The directory for temporary files in the working directory, where there is no `/tmp` of one's own.
pub(crate) const TMP: &str = ".tmp";

#[cfg(test)]
mod tests;
