//! Runs programs that nobody has read: isolated, limited, and gone when they end.
//!
//! A [`Launcher`] is a small process, this executable started anew, that makes sandboxes: the server, which may be
//! large and has many threads, is never copied. [`Launcher::probe`] finds out by doing which [`Level`]s the machine
//! offers; [`Launcher::spawn`] starts a [`Command`] under a [`Policy`]; the [`Child`] is signalled, ended and awaited.
//!
//! ```no_run
//! # use std::os::fd::AsFd;
//! use agb_sandbox::{Command, Launcher, Policy, main_if_helper};
//!
//! main_if_helper(); // first of all: the launcher does not get past this
//! let launcher = Launcher::start("/proc/self/exe")?;
//! let level = launcher.probe().best().ok_or("this machine offers no isolation")?;
//! let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
//! let policy = Policy::new(level, "/var/lib/example/session-1", 1);
//! let mut child = launcher.spawn(&policy, &Command::new("/usr/bin/true"), [null.as_fd(); 5])?;
//! assert!(child.wait()?.success());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a program is in
//!
//! | | namespaces | namespaces-root | landlock |
//! |---|---|---|---|
//! | namespaces | user, mount, pid, net, ipc, uts, cgroup | all of these but user | none |
//! | files | a read-only `tmpfs` with the system's `/usr` and parts of `/etc`, own `/tmp`, `/dev` and `/proc` | the same | the host's, closed by Landlock but for the same places |
//! | host user, if the server is root | the slot's | the slot's | the slot's |
//! | host user, if it is not | the server's | | the server's, needs Linux 6.12 |
//! | system calls | a list is denied | the same | a longer list is denied; if the server is not root, changes of modes and times are made by the first process |
//! | its end | PID 1 is killed, and the kernel ends the rest; of a command that shares its processes, its first process kills its descendants | the same | its first process kills its descendants |
//! | network | its session's, with `127.0.0.1` in common | the same | no sockets, or the host's |
//!
//! Everywhere: no capability, no new privileges, the environment of the policy and nothing else, five descriptors,
//! the [`Limits`], a session of its own, and its death with the launcher's. `tests/battery` tries to get out by all
//! ways that its authors know, and prints what stopped each.
//!
//! # Copies instead of starts
//!
//! What a program imports takes a hundred times longer than its start. At the level `namespaces` a [`Nursery`] holds a
//! program that has imported it, the zygote, and [`Launcher::copy`] makes a sandbox with a copy of that: in milliseconds,
//! and with the memory that none of them writes to shared. In the end a copy may do what a started program may, and no
//! more, which the tests of `agb-kernel` compare thing by thing. Until then it is trusted as the image is that it was
//! made from: the zygote has rights over the nursery and over the sandboxes in it, as root of a user namespace of its
//! own, and none over the machine. All copies of one zygote have their libraries at the same addresses and the same
//! seed for hashes; a session that learns them knows those of the others of its image.
//!
//! # What is not here
//!
//! * One process table for all of a session: its sandboxes share files, temporary files and network, and each has its own
//!   processes, but for [commands that share theirs](Command::share_processes).
//! * Exactness everywhere: what a session has on disk is watched by a thread of the server's and may be exceeded for a
//!   fifth of a second, and so is its memory where the machine has no control groups for the server; processor time is
//!   shared by priority only there.
//! * Which requests an egress proxy allows: the proxy decides (the crate `agb-egress`).
#![cfg(target_os = "linux")]

mod cgroup;
mod child;
mod dial;
mod disk;
mod epoll;
mod error;
mod exceeded;
mod helper;
mod inspection;
mod launcher;
mod level;
mod limits;
mod locks;
mod machine;
mod mapped;
mod network;
mod nursery;
mod plan;
mod policy;
mod processes;
mod remove;
mod report;
mod reports;
mod sandbox_use;
mod setsids;
mod signals;
mod stored;
mod sys;
mod terminal;
mod tree;
mod usage;
mod watch;
mod watched;

pub use cgroup::{ControlGroups, Controller, memory_left};
pub use child::{Child, ProgramEnd};
pub use error::{LauncherError, SpawnError, Stage};
pub use exceeded::Exceeded;
pub use helper::main_if_helper;
pub use helper::system_paths;
pub use launcher::{Launcher, ProxyFactory};
pub use level::{Level, UnknownLevel};
pub use limits::Limits;
pub use nursery::Nursery;
pub use policy::{Command, HOME, Link, Mount, Network, PROXY, Policy, SLOTS, UnknownNetwork};
pub use remove::remove_tree;
pub use report::{Offer, Report};
pub use terminal::Terminal;
pub use usage::Usage;
