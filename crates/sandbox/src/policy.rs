//! What is to be run, and what it may do.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{Level, Limits};

/// Where the working directory appears at the levels with namespaces.
pub const HOME: &str = "/home/user";

/// Where a sandbox with [`Network::Proxy`] finds its proxy: the usual port of one.
pub const PROXY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3128);

/// The number of session slots, and so of host users that a server with privilege uses.
pub const SLOTS: u32 = 20_000;

/// What a program may reach over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Network {
    /// Nothing. At the levels with namespaces the program has a loopback device of its own, on which its own servers
    /// and clients meet; otherwise it cannot make a socket.
    #[default]
    None,
    /// Nothing but a proxy: a socket at [`PROXY`] in a network of its own, and connections to it are served by the
    /// launcher's [proxy factory](crate::Launcher::set_proxy_factory). Needs a level with namespaces.
    Proxy,
    /// All that the server's machine reaches, its loopback services included. Sockets in the file system and in the
    /// abstract name space stay closed where the kernel can (Linux 6.12) or the level does.
    Host,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Proxy => "proxy",
            Self::Host => "host",
        })
    }
}

/// A name that is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network: use none or host")]
pub struct UnknownNetwork(pub String);

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(name: &str) -> Result<Self, UnknownNetwork> {
        match name {
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ => Err(UnknownNetwork(name.to_owned())),
        }
    }
}

/// A directory of the host that a program may write, and where it finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The directory, absolute. It belongs to the session, as [`Policy::workdir`] does.
    pub dir: PathBuf,
    /// Where it appears, absolute: outside of `/tmp`, of the working directory, and of what is the system's.
    pub at: PathBuf,
}

/// A symbolic link that a sandbox has in its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it appears, absolute, in a directory that is not the system's.
    pub at: PathBuf,
    /// Where it leads.
    pub target: PathBuf,
}

/// What a program may do. Build one with [`Policy::new`] and change what needs changing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// How the program is isolated. There is no falling back: what a machine offers is in the
    /// [`Report`](crate::Report).
    pub level: Level,
    /// The one directory of the host that the program may write, absolute. It belongs to the session: all its
    /// sandboxes get the same one, nobody else does. A server with privilege gives it to the slot's user.
    pub workdir: PathBuf,
    /// Where the working directory appears inside, absolute; by default [`HOME`]. At the levels without namespaces
    /// it appears where it is.
    pub mount_at: PathBuf,
    /// A second directory that the program may write, absolute, for temporary files: the sandboxes of one session share
    /// what is in it. With namespaces it is `/tmp` there, elsewhere `TMPDIR` says where it is. `None`: each sandbox has
    /// temporary files of its own, in memory where it has namespaces.
    pub tmp: Option<PathBuf>,
    /// Directories and files outside the system's own (`/usr`, a few of `/etc`) that the program may read and
    /// execute, absolute: the image, a virtual environment, an interpreter elsewhere. They appear where they are, also below `/tmp`.
    pub readonly: Vec<PathBuf>,
    /// More directories of the session's that the program may write, each at a place of its own. Needs a level with
    /// namespaces.
    pub mounts: Vec<Mount>,
    /// Symbolic links, such as one that gives an interpreter another name. Only the levels with namespaces have them.
    pub links: Vec<Link>,
    /// What it may use up.
    pub limits: Limits,
    /// What it may reach.
    pub network: Network,
    /// Its environment on top of `PATH`, `HOME`, `TMPDIR`, `USER`, `LANG` and `TZ` (UTC), which it may replace. The server's is
    /// not inherited.
    pub env: Vec<(String, String)>,
    /// The session's slot, below [`SLOTS`]. A server with privilege runs each slot as a host user of its own, so no
    /// two sessions that live at the same time may have the same one.
    pub slot: u32,
}

impl Policy {
    /// No network, default limits, nothing to read but the system.
    #[must_use]
    pub fn new(level: Level, workdir: impl Into<PathBuf>, slot: u32) -> Self {
        Self {
            level,
            workdir: workdir.into(),
            mount_at: PathBuf::from(HOME),
            tmp: None,
            readonly: Vec::new(),
            mounts: Vec::new(),
            links: Vec::new(),
            limits: Limits::default(),
            network: Network::None,
            env: Vec::new(),
            slot,
        }
    }

    /// The directories that belong to the session.
    pub(crate) fn own_dirs(&self) -> impl Iterator<Item = &PathBuf> {
        let mounts = self.mounts.iter().map(|mount| &mount.dir);
        std::iter::once(&self.workdir).chain(&self.tmp).chain(mounts)
    }

    /// Where the program finds its working directory. It is also its `HOME`.
    #[must_use]
    pub fn workdir_inside(&self) -> &Path {
        if self.level.has_namespaces() { &self.mount_at } else { &self.workdir }
    }
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The executable's absolute path inside the sandbox.
    pub program: PathBuf,
    /// The arguments after the program's name.
    pub args: Vec<String>,
    /// Where it starts, relative to the working directory; empty: there. Links on the way are followed inside the
    /// sandbox, where they lead nowhere else.
    pub dir: PathBuf,
    /// See [`keep_background`](Self::keep_background).
    pub keeps_background: bool,
    /// See [`on_terminal`](Self::on_terminal).
    pub on_terminal: bool,
    /// See [`share_processes`](Self::share_processes).
    pub shares_processes: bool,
    /// See [`even_when_full`](Self::even_when_full).
    pub even_when_full: bool,
}

impl Command {
    /// A program without arguments.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            dir: PathBuf::new(),
            keeps_background: false,
            on_terminal: false,
            shares_processes: false,
            even_when_full: false,
        }
    }

    /// Lets what the program has started go on when it ends itself: the sandbox ends with the last process in it, or when
    /// its [`Child`](crate::Child) is ended or dropped. [`Child::program_end`](crate::Child::program_end) says how the
    /// program ended.
    #[must_use]
    pub fn keep_background(mut self) -> Self {
        self.keeps_background = true;
        self
    }

    /// The program's first descriptor is a terminal ([`Terminal::open`](crate::Terminal::open)), and becomes the one that
    /// controls it: job control, Ctrl-C and `/dev/tty` work, and its processes are hung up when the terminal is closed.
    #[must_use]
    pub fn on_terminal(mut self) -> Self {
        self.on_terminal = true;
        self
    }

    /// Puts it into the process table that its session's programs with this have in common: they see, signal and end each
    /// other, as on one machine. They have [`Limits::processes`] together. Without namespaces, or where the sandbox can have no
    /// `/proc`, it is of no effect: [`Child::shares_processes`](crate::Child::shares_processes) tells.
    #[must_use]
    pub fn share_processes(mut self) -> Self {
        self.shares_processes = true;
        self
    }

    /// Starts it although its session has more on disk than it may. Then it can remove files, and neither make nor change any;
    /// [`Child::only_removes`](crate::Child::only_removes) says so. Others are refused ([`SpawnError::Full`](crate::SpawnError)).
    #[must_use]
    pub fn even_when_full(mut self) -> Self {
        self.even_when_full = true;
        self
    }

    /// Starts it in a directory below the working directory.
    #[must_use]
    pub fn in_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }
}
