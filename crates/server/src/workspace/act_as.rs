//! Using files in the name of a session's user.

use std::io;
use std::marker::PhantomData;
use std::sync::LazyLock;

use rustix::process::{Gid, getegid, geteuid, getgroups};
use rustix::thread::set_thread_groups;

/// The server's supplementary groups. It never changes them.
static GROUPS: LazyLock<Groups> = LazyLock::new(|| Groups::new(getgroups().unwrap_or_default(), unknown_group()));

struct Groups {
    /// There are some.
    are_there: bool,
    /// Those that a thread gets back. Not those that its user namespace does not know, as of a container's root: the kernel
    /// shows all of them by one number and gives none back by it. A thread that has acted as somebody is without them.
    own: Vec<Gid>,
}

impl Groups {
    fn new(mut all: Vec<Gid>, unknown: Gid) -> Self {
        let are_there = !all.is_empty();
        all.retain(|group| *group != unknown);
        Self { are_there, own: all }
    }
}

/// The number that stands for groups which the user namespace does not know.
fn unknown_group() -> Gid {
    let said = std::fs::read_to_string("/proc/sys/kernel/overflowgid").ok();
    Gid::from_raw(said.and_then(|said| said.trim().parse().ok()).unwrap_or(65534))
}

/// For files, this thread is another user as long as this lives, and so without root's rights over them, and without the
/// rights of the groups that root is in.
///
/// Linux keeps a user for file access, and groups, in each thread; the rest of the process stays what it is.
pub(crate) struct ActAs {
    /// The groups are to be had back.
    is_without_groups: bool,
    /// It belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

impl ActAs {
    /// Becomes this user and their group; `None`: stays who we are.
    pub(crate) fn user(user: Option<u32>) -> io::Result<Option<Self>> {
        let Some(user) = user else { return Ok(None) };
        let mut acting = Self { is_without_groups: false, _not_send: PhantomData };
        if GROUPS.are_there {
            set_thread_groups(&[])?;
            acting.is_without_groups = true;
        }
        // The group first: afterwards there is no right to.
        if set_group(user) == user && set_user(user) == user {
            return Ok(Some(acting));
        }
        drop(acting);
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

impl Drop for ActAs {
    fn drop(&mut self) {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        // The thread goes back to its pool: it must not do somebody else's work as this user.
        let has_groups = !self.is_without_groups || set_thread_groups(&GROUPS.own).is_ok();
        if set_user(user) != user || set_group(group) != group || !has_groups {
            lost("become the server's user again");
        }
    }
}

/// Does something with the server's own rights over files, on a thread that may act as somebody else.
pub(crate) fn as_server<T>(work: impl FnOnce() -> T) -> T {
    let _itself = Itself::again();
    work()
}

/// This thread is the server's user again as long as this lives, whoever it acts as. It belongs to the thread, and is within
/// the [`ActAs`] that made it another.
struct Itself {
    /// Whom it acts as before and afterwards.
    acts_as: Option<(u32, u32)>,
    _not_send: PhantomData<*const ()>,
}

impl Itself {
    fn again() -> Self {
        let (own_user, own_group) = (geteuid().as_raw(), getegid().as_raw());
        let before = (set_user(u32::MAX), set_group(u32::MAX));
        let acts_as = (before != (own_user, own_group)).then_some(before);
        if acts_as.is_some()
            && (set_user(own_user) != own_user
                || set_group(own_group) != own_group
                || GROUPS.are_there && set_thread_groups(&GROUPS.own).is_err())
        {
            lost("become the server's user again");
        }
        Self { acts_as, _not_send: PhantomData }
    }
}

impl Drop for Itself {
    fn drop(&mut self) {
        let Some((user, group)) = self.acts_as else { return };
        // What follows is a stranger's: it must not be done with root's rights.
        let keeps_groups = GROUPS.are_there && set_thread_groups(&[]).is_err();
        if keeps_groups || set_group(group) != group || set_user(user) != user {
            lost("act as a session's user again");
        }
    }
}

fn lost(what: &str) -> ! {
    tracing::error!("a thread cannot {what}");
    std::process::abort();
}

/// Sets the thread's user for files, and says which it is now.
fn set_user(user: u32) -> u32 {
    set(user, libc::setfsuid)
}

/// Sets the thread's group for files, and says which it is now.
fn set_group(group: u32) -> u32 {
    set(group, libc::setfsgid)
}

fn set(id: u32, call: unsafe extern "C" fn(u32) -> libc::c_int) -> u32 {
    // SAFETY: `setfsuid` or `setfsgid`: system calls on integers; a number that is none changes nothing and asks only.
    // One's own is always allowed.
    unsafe {
        call(id);
        call(u32::MAX).unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn groups_that_nobody_knows_are_not_asked_for() {
        let group = Gid::from_raw;
        let groups = Groups::new(vec![group(4), group(65534), group(27), group(65534)], group(65534));
        assert!(groups.are_there && groups.own == [group(4), group(27)]);
        let groups = Groups::new(vec![group(65534)], group(65534));
        assert!(groups.are_there && groups.own.is_empty());
        assert!(!Groups::new(Vec::new(), group(65534)).are_there);
    }

    #[test]
    fn files_belong_to_the_user_only_as_long_as_one_acts() {
        if !geteuid().is_root() {
            assert!(ActAs::user(Some(2_000_000_001)).is_err(), "only root may");
            return;
        }
        let dir = std::env::temp_dir().join(format!("agb-owner-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("the temporary directory is writable");
        let file = dir.join("file");
        std::fs::write(&file, "1").expect("it was made above");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("it is ours");
        let acting = ActAs::user(Some(2_000_000_001)).expect("root may");
        assert!(std::fs::read(&file).is_err() && std::fs::write(dir.join("new"), "").is_err());
        assert!(getgroups().expect("it is asked").is_empty());
        as_server(|| {
            assert_eq!(getgroups().expect("it is asked"), GROUPS.own);
            assert_eq!(as_server(|| std::fs::read(&file)).expect("it is ours"), b"1");
            assert!(std::fs::read(&file).is_ok(), "as before");
        });
        assert!(std::fs::read(&file).is_err() && std::fs::write(dir.join("new"), "").is_err());
        assert!(getgroups().expect("it is asked").is_empty());
        drop(acting);
        assert_eq!(getgroups().expect("it is asked"), GROUPS.own);
        assert_eq!(std::fs::read(&file).expect("it is ours"), b"1");
        std::fs::write(dir.join("new"), "").expect("the directory is ours");
        assert_eq!(dir.join("new").metadata().expect("it was made above").uid(), 0);
        std::fs::remove_dir_all(&dir).expect("it was made above");
    }
}
