//! What the machine and the server's rights mean for a sandbox.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use super::Failure;
use crate::error::Stage;
use crate::plan::Plan;
use crate::policy::SLOTS;
use crate::sys::{identity, mount, process};
use crate::{Level, Network, machine};

/// The first host user of the slots, where all numbers are free to use.
///
/// 2,000,000,000: in the range 1,879,048,192 to 2,147,483,647, which no allocation of Debian's or systemd's touches.
const FIRST_USER: u32 = 2_000_000_000;

/// The same where numbers are scarce, as in a container with 65,536 of them.
///
/// 30,000: Debian's policy keeps 30,000 to 59,999 unassigned.
const FIRST_USER_SCARCE: u32 = 30_000;

/// The user inside a user namespace. It is nobody's number outside.
pub(super) const INSIDE: u32 = 1000;

/// The launcher's own rights, looked up once.
#[derive(Debug)]
pub(crate) struct Host {
    /// The host's `/proc`, for a process that has left the host's file system.
    pub(super) proc: OwnedFd,
    user: u32,
    group: u32,
    /// Root of the whole machine, whose files no sandbox may own.
    is_host_root: bool,
    is_admin: bool,
    /// The first host user of the slots, if this process may become other users.
    first_user: Option<u32>,
    /// This is the host of a nursery.
    in_nest: bool,
    pub(crate) landlock: i32,
    /// How many processes and threads the machine has room for.
    pub(super) most_tasks: u64,
}

/// Who the program will be, and by which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The namespaces to create with the first process.
    pub(super) namespaces: libc::c_int,
    /// The host user and group to become after the file system is built; `None`: those that the server has.
    pub(super) become_user: Option<u32>,
    /// When a user namespace is made: at once, with the others, or after becoming another user.
    pub(super) user_namespace: UserNamespace,
    /// The number that the program sees as its own.
    pub(super) user_inside: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UserNamespace {
    No,
    /// It owns the other namespaces, which gives the rights to set them up. The program's own is below it.
    First,
    /// The others belong to the host: nothing in the sandbox has rights over them, not even before all are dropped.
    Last,
}

impl Host {
    pub(crate) fn look() -> io::Result<Self> {
        let (user, group) = (identity::user(), identity::group());
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let map = Map::parse(&map);
        let first_user = [FIRST_USER, FIRST_USER_SCARCE].into_iter().find(|&first| map.has(first, SLOTS));
        Ok(Self {
            proc: process::lift(File::open("/proc")?.into(), 10)?,
            user,
            group,
            is_host_root: user == 0 && map.is_whole(),
            is_admin: identity::has_capability(identity::SYS_ADMIN),
            first_user: first_user.filter(|_| user == 0),
            landlock: identity::landlock_version(),
            in_nest: false,
            most_tasks: machine::most_tasks(),
        })
    }

    /// The same for the host of a nursery.
    pub(super) fn in_nest(mut self) -> Self {
        self.in_nest = true;
        self
    }

    /// The same for a process that has entered the user namespace which a session's network belongs to.
    pub(super) fn inside_owner(&self) -> io::Result<Self> {
        Ok(Self {
            proc: self.proc.try_clone()?,
            user: identity::user(),
            group: identity::group(),
            is_host_root: false,
            is_admin: true,
            first_user: None,
            landlock: self.landlock,
            in_nest: true,
            most_tasks: self.most_tasks,
        })
    }

    /// How a nursery is made.
    pub(super) fn nest(&self) -> Result<Nest, Failure> {
        let slots = self.first_user.filter(|_| self.is_admin);
        if self.is_host_root && slots.is_none() {
            return Err(Failure::new(Stage::User, libc::EPERM, "root without CAP_SYS_ADMIN cannot make a nursery"));
        }
        let (users, groups) = match slots {
            Some(first) => {
                let map = format!("0 {} 1\n{first} {first} {SLOTS}\n", first + SLOTS);
                (map.clone(), map)
            }
            None => (format!("0 {} 1", self.user), format!("0 {} 1", self.group)),
        };
        let namespaces = libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS;
        Ok(Nest { namespaces, users, groups, has_slots: slots.is_some() })
    }

    /// Which host user and group the program has in the end.
    pub(super) fn user_of(&self, place: &Place) -> (u32, u32) {
        place.become_user.map_or((self.user, self.group), |user| (user, user))
    }

    /// Whether processes of the program's user can be others than its own.
    pub(super) fn shares_user(&self, place: &Place) -> bool {
        place.become_user.is_none()
    }

    /// The host user of a slot, where this process may become it and the level makes it.
    pub(crate) fn slot_user(&self, level: Level, slot: u32) -> Option<u32> {
        let may_become = match level {
            Level::Namespaces | Level::NamespacesRoot => self.is_admin,
            Level::Landlock => true,
            Level::None => false,
        };
        self.first_user.filter(|_| may_become).map(|first| first + slot)
    }

    /// Decides how a plan is carried out.
    pub(super) fn place(&self, plan: &Plan) -> Result<Place, Failure> {
        let slot_user = self.slot_user(plan.policy.level, plan.policy.slot);
        let net = match plan.policy.network {
            Network::None | Network::Proxy => libc::CLONE_NEWNET,
            Network::Host => 0,
        };
        let inner = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | net;
        let refused = |reason: &str| Err(Failure::new(Stage::User, libc::EPERM, reason));
        match plan.policy.level {
            Level::Namespaces => match slot_user {
                Some(user) => Ok(Place {
                    namespaces: inner,
                    become_user: Some(user),
                    user_namespace: UserNamespace::Last,
                    user_inside: INSIDE,
                }),
                None if self.is_host_root => {
                    refused("root without CAP_SYS_ADMIN cannot make namespaces for another user")
                }
                // The nursery's own root is the server's user, and has the rights already.
                None if self.in_nest => Ok(Place {
                    namespaces: inner,
                    become_user: None,
                    user_namespace: UserNamespace::Last,
                    user_inside: INSIDE,
                }),
                None => Ok(Place {
                    namespaces: inner | libc::CLONE_NEWUSER,
                    become_user: None,
                    user_namespace: UserNamespace::First,
                    user_inside: INSIDE,
                }),
            },
            Level::NamespacesRoot => match slot_user {
                Some(user) => Ok(Place {
                    namespaces: inner,
                    become_user: Some(user),
                    user_namespace: UserNamespace::No,
                    user_inside: user,
                }),
                None => refused("the level namespaces-root needs a server with root's rights and CAP_SYS_ADMIN"),
            },
            Level::Landlock => match slot_user {
                None if self.is_host_root => refused("no other user to become"),
                user => Ok(Place {
                    namespaces: 0,
                    become_user: user,
                    user_namespace: UserNamespace::No,
                    user_inside: user.unwrap_or(self.user),
                }),
            },
            Level::None => Ok(Place {
                namespaces: 0,
                become_user: None,
                user_namespace: UserNamespace::No,
                user_inside: self.user,
            }),
        }
    }
}

/// A nursery's own namespaces, and who its users are.
#[derive(Debug)]
pub(super) struct Nest {
    pub(super) namespaces: libc::c_int,
    users: String,
    groups: String,
    /// Whether its root may become the slots' users.
    pub(super) has_slots: bool,
}

impl Nest {
    /// Gives the users to a process that has just been made in a user namespace.
    pub(super) fn map(&self, host: &Host, pid: i32) -> io::Result<()> {
        use std::io::Write;
        let write = |name: &str, text: &str| {
            let path = std::ffi::CString::new(format!("{pid}/{name}")).expect("a number and a name");
            File::from(open_proc(host, &path, libc::O_WRONLY)?).write_all(text.as_bytes())
        };
        if !self.has_slots {
            write("setgroups", "deny")?;
        }
        write("uid_map", &self.users)?;
        write("gid_map", &self.groups)
    }
}

impl Place {
    /// The nursery's own.
    pub(super) const NEST: Self =
        Self { namespaces: 0, become_user: None, user_namespace: UserNamespace::No, user_inside: 0 };
}

/// Opens something of the host's `/proc` from wherever this process is.
pub(super) fn open_proc(host: &Host, path: &std::ffi::CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    use std::os::fd::AsFd;
    mount::open(host.proc.as_fd(), path, flags)
}

/// Has a connection in this process's network hold as little as any other socket: by itself it would hold up to 10 MiB, of memory that
/// all connections of the machine share (`net.ipv4.tcp_mem`), and that no limit of a session counts everywhere.
///
/// 208 KiB: as `net.core.wmem_default`. Only as far as `/proc/sys` can be written, which in some containers it cannot.
pub(super) fn bound_connections(host: &Host) {
    for (file, sizes) in
        [(c"sys/net/ipv4/tcp_wmem", &b"4096 16384 212992"[..]), (c"sys/net/ipv4/tcp_rmem", b"4096 131072 212992")]
    {
        if let Ok(file) = open_proc(host, file, libc::O_WRONLY) {
            let _ = io::Write::write_all(&mut File::from(file), sizes);
        }
    }
}

/// Has all who are in this process's user namespace have at most so many watches of files together. Only as far as `/proc/sys` can
/// be written, which in some containers it cannot: then there is the limit of the user outside.
pub(super) fn bound_watches(host: &Host, most: u64) {
    if let Ok(file) = open_proc(host, c"sys/user/max_inotify_instances", libc::O_WRONLY) {
        let _ = io::Write::write_all(&mut File::from(file), most.to_string().as_bytes());
    }
}

/// A user namespace's map: ranges of numbers that exist in it.
struct Map(Vec<(u32, u32)>);

impl Map {
    /// Lines of `inside outside count`.
    fn parse(text: &str) -> Self {
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().map(str::parse::<u32>);
            let (first, _, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some((first, count))
        };
        Self(text.lines().filter_map(range).collect())
    }

    fn has(&self, first: u32, count: u32) -> bool {
        self.0.iter().any(|&(start, len)| first >= start && first - start < len && len - (first - start) >= count)
    }

    /// The map of the machine itself.
    fn is_whole(&self) -> bool {
        self.0 == [(0, u32::MAX)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_taken_from_numbers_that_exist() {
        let whole = Map::parse("         0          0 4294967295\n");
        assert!(whole.is_whole() && whole.has(FIRST_USER, SLOTS));
        let container = Map::parse("0 100000 65536\n");
        assert!(!container.is_whole() && !container.has(FIRST_USER, SLOTS) && container.has(FIRST_USER_SCARCE, SLOTS));
        let alone = Map::parse("0 1000 1\n");
        assert!(!alone.has(FIRST_USER_SCARCE, SLOTS));
    }
}
