//! How strongly a program is isolated.

use std::fmt;
use std::str::FromStr;

/// A way to isolate a program, weakest last. `Level::Namespaces < Level::None`: the first that a machine offers is
/// the one to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A user namespace of its own, with mount, pid, network, ipc, uts and cgroup namespaces in or beside it: works
    /// for root and for ordinary users. The program sees a file system made for it, no other process, no network
    /// device but its own loopback, and holds no right over anything, not even inside.
    Namespaces,
    /// The same without the user namespace, where the system forbids those but the server has `CAP_SYS_ADMIN`. The
    /// program runs as a host user that nothing else uses.
    NamespacesRoot,
    /// No namespaces: Landlock closes the file system, seccomp the system calls, limits the rest. For containers
    /// and systems that forbid namespaces. File names outside can be tested for existence, the host's name is
    /// visible, there is no loopback network, and temporary files count against no limit of their own. Where the
    /// server is not root, Landlock does not tell the session's files from the server's when modes, times and owners change:
    /// the sandbox's first process makes these calls for the program, for the session's files only. Where the kernel or a
    /// container's runtime does not let it ([`Offer::changes_files`](crate::Offer::changes_files)), they are refused, and
    /// programs that copy modes fail: `bzip2`, `git init`, Node's `copyFile`. Either way what is open can be given the time
    /// that it is now (`touch`), files of an image included.
    Landlock,
    /// No isolation whatever: the program runs as the server's user and may do all that this user may. Only its
    /// environment is cleared, its limits are set and its process tree is ended with it.
    None,
}

impl Level {
    /// All levels, strongest first.
    pub const ALL: [Self; 4] = [Self::Namespaces, Self::NamespacesRoot, Self::Landlock, Self::None];

    /// Whether the program has a file system and a process table of its own.
    #[must_use]
    pub fn has_namespaces(self) -> bool {
        matches!(self, Self::Namespaces | Self::NamespacesRoot)
    }

    /// The name that settings and reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::NamespacesRoot => "namespaces-root",
            Self::Landlock => "landlock",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not a level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an isolation level: use namespaces, namespaces-root, landlock or none")]
pub struct UnknownLevel(pub String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        Self::ALL.into_iter().find(|level| level.name() == name).ok_or_else(|| UnknownLevel(name.to_owned()))
    }
}
