//! What is to be run, and what it may do.

use std::path::{Path, PathBuf};

use crate::{Level, Limits};

/// Where the working directory appears at the levels with namespaces.
pub const HOME: &str = "/home/user";

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
    /// All that the server's machine reaches, its loopback services included. Sockets in the file system and in the
    /// abstract name space stay closed where the kernel can (Linux 6.12) or the level does.
    Host,
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
    /// Directories and files outside the system's own (`/usr`, a few of `/etc`) that the program may read and
    /// execute, absolute: the image, a virtual environment, an interpreter elsewhere. They appear where they are.
    pub readonly: Vec<PathBuf>,
    /// What it may use up.
    pub limits: Limits,
    /// What it may reach.
    pub network: Network,
    /// Its environment on top of `PATH`, `HOME`, `TMPDIR`, `USER` and `LANG`, which it may replace. The server's is
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
            readonly: Vec::new(),
            limits: Limits::default(),
            network: Network::None,
            env: Vec::new(),
            slot,
        }
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
}

impl Command {
    /// A program without arguments.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }
}
