//! What can go wrong before a program runs.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::Exceeded;

/// The step at which a sandbox could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Making or joining the session's control group.
    ControlGroup,
    /// Creating a process in new namespaces.
    Namespaces,
    /// Giving the new user namespace its one user.
    UserMap,
    /// Becoming the slot's host user.
    User,
    /// Giving up all capabilities.
    Capabilities,
    /// Building the file system.
    Mount,
    /// Switching the sandbox's loopback device on.
    Loopback,
    /// Entering the network that the session's other sandboxes have.
    Network,
    /// Entering the process table of the session's other commands.
    Processes,
    /// Handing the working directory or a pipe to the slot's user, or entering the directory.
    Workdir,
    /// Showing the program an image that its user can reach.
    Image,
    /// Closing the file system with Landlock.
    Landlock,
    /// Installing the system call filter.
    Filter,
    /// Setting a limit.
    Limit,
    /// Creating the program's process.
    Fork,
    /// Becoming the program.
    Exec,
    /// Copying a nursery's zygote into the sandbox.
    Copy,
    /// Looking, from inside, at what a trial sandbox allows.
    Trial,
}

impl Stage {
    pub(crate) const ALL: [Self; 18] = [
        Self::ControlGroup,
        Self::Namespaces,
        Self::UserMap,
        Self::User,
        Self::Capabilities,
        Self::Mount,
        Self::Loopback,
        Self::Network,
        Self::Processes,
        Self::Workdir,
        Self::Image,
        Self::Landlock,
        Self::Filter,
        Self::Limit,
        Self::Fork,
        Self::Exec,
        Self::Copy,
        Self::Trial,
    ];

    /// What to do when this step fails.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::ControlGroup => {
                "something else has removed or changed the server's control groups; start the server anew"
            }
            Self::Namespaces | Self::UserMap => {
                "this system forbids user namespaces to this user; allow them (sysctl user.max_user_namespaces, \
                 kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; in a container: \
                 seccomp=unconfined), give the server CAP_SYS_ADMIN, or use the level landlock"
            }
            Self::User => {
                "for this the server must be root, and may not have lost CAP_SETUID, CAP_SETGID and CAP_CHOWN; or run \
                 it as an ordinary user at another level"
            }
            Self::Capabilities => "run the server as an ordinary user, or give it CAP_SETPCAP",
            Self::Mount => {
                "check that the path exists and may be read by the server's user; if all mounts fail, Linux 5.12 and \
                 a security profile that allows mounts are needed (Ubuntu: an AppArmor profile with `userns,`)"
            }
            Self::Loopback => "the kernel needs network namespaces with a loopback device",
            Self::Network => {
                "a nursery's sandbox cannot enter a network that was made outside the nursery: start the program instead; \
                 elsewhere a descriptor for each session has to be left (ulimit -n)"
            }
            Self::Processes => {
                "this system forbids entering a PID namespace that there is (setns); commands of a session have a process \
                 table each then"
            }
            Self::Workdir => {
                "check that the working directory exists, and, at the level landlock with the server as root, that \
                 all users may pass through the directories above it (chmod o+x)"
            }
            Self::Image => {
                "at the level landlock nothing is mounted: programs have a user of their own, who must be able to pass \
                 through the directories above (chmod o+x, which /root seldom has); or keep the image elsewhere"
            }
            Self::Landlock => "Linux 5.13 with Landlock switched on is needed (boot with lsm=landlock,...)",
            Self::Filter => "the kernel needs CONFIG_SECCOMP_FILTER, and the machine to be x86-64, ARM64 or RISC-V",
            Self::Limit => "the server's own hard limit is lower; raise it, or lower the sandbox's limit",
            Self::Fork => "the machine or the server's user has no room for another process; see `ulimit -u`",
            Self::Exec => {
                "check that the program exists, is executable, and lies in /usr or in one of the policy's read-only \
                 directories, together with its libraries or script interpreter"
            }
            Self::Copy => "start the program instead, and make a new nursery",
            Self::Trial => "the kernel did not keep what it had promised; do not run untrusted programs at this level",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ControlGroup => "enter the session's control group",
            Self::Namespaces => "create namespaces",
            Self::UserMap => "set up the user namespace",
            Self::User => "become the sandbox's user",
            Self::Capabilities => "give up capabilities",
            Self::Mount => "build the file system",
            Self::Loopback => "switch on the loopback device",
            Self::Network => "enter the session's network",
            Self::Processes => "enter the session's process table",
            Self::Workdir => "enter the working directory",
            Self::Image => "show the program what it is to read",
            Self::Landlock => "close the file system with Landlock",
            Self::Filter => "install the system call filter",
            Self::Limit => "set a limit",
            Self::Fork => "create the program's process",
            Self::Exec => "start the program",
            Self::Copy => "copy the zygote",
            Self::Trial => "verify the isolation from inside",
        })
    }
}

/// Why a program was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The policy or the command cannot be right.
    #[error("the sandbox cannot be as asked for: {0}")]
    Invalid(String),
    /// Policy, command and environment together are too long.
    #[error(
        "arguments, environment and paths take {size} bytes, and at most {limit} are allowed; pass less, or in a file"
    )]
    TooLarge {
        /// What they take.
        size: usize,
        /// What they may take.
        limit: usize,
    },
    /// A step failed.
    #[error("a sandbox could not {stage}{}: {}; {}", of(.detail), io::Error::from_raw_os_error(*.errno), .stage.advice())]
    Failed {
        /// The step.
        stage: Stage,
        /// The system's error number.
        errno: i32,
        /// What it was about: a path, a limit. May be empty.
        detail: String,
    },
    /// The launcher has ended, and does not come back.
    #[error("the sandbox launcher has ended, and a new one could not be started")]
    LauncherGone,
    /// The sandbox ended before the program started, without saying why.
    #[error(
        "a sandbox's first process ended before its program ran, and did not say why: something has killed it; see the \
         kernel's log (out of memory?), and try again"
    )]
    Vanished,
    /// The same, and the kernel says that it has killed a process of the session for want of memory.
    #[error("a sandbox's first process was killed before its program ran: its session exceeded its {0}")]
    Exceeded(Exceeded),
    /// The session has more on disk than it may, so that nothing starts that could write more; see
    /// [`Command::even_when_full`](crate::Command::even_when_full).
    #[error(
        "its session is above its {0}, so that nothing starts that could write more: delete some of its files (by the file \
         tools, or a command such as `rm`), and try again"
    )]
    Full(Exceeded),
    /// It takes too long.
    #[error("a sandbox was not ready after {0:?}: the machine is overloaded; try again, or run fewer at once")]
    TimedOut(Duration),
    /// The server has run out of something.
    #[error("the server could not {what}: {}; it may have too many files open (`ulimit -n`)", io::Error::from_raw_os_error(*.errno))]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's error number.
        errno: i32,
    },
}

fn of(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

/// Why there is no launcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LauncherError {
    /// The helper program did not start.
    #[error("the sandbox launcher {} did not start: {reason}; it must be this server's own executable", .program.display())]
    NotStarted {
        /// The helper's executable.
        program: PathBuf,
        /// What happened.
        reason: String,
    },
    /// It started and is something else.
    #[error("{} is not a sandbox launcher of this version: its `main` must first call `main_if_helper`", .program.display())]
    NotAHelper {
        /// The helper's executable.
        program: PathBuf,
    },
}
