//! Who this process is: user, groups, capabilities, host name.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;

use rustix::fs::{AtFlags, chownat, fchown};
use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::system::sethostname;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::check_int;

/// `CAP_SETGID` and its kin, by their numbers.
pub(crate) const SETGID: u32 = 6;
pub(crate) const SETUID: u32 = 7;
pub(crate) const SETPCAP: u32 = 8;
pub(crate) const SYS_CHROOT: u32 = 18;
pub(crate) const SYS_ADMIN: u32 = 21;
/// Above the last capability there is; dropping one that does not exist fails harmlessly.
const LAST_CAPABILITY: u32 = 63;

/// The effective user.
pub(crate) fn user() -> u32 {
    geteuid().as_raw()
}

/// The effective group.
pub(crate) fn group() -> u32 {
    getegid().as_raw()
}

/// Becomes another user and group for good, with no further groups. Needs privilege.
///
/// By calls about this thread, and not by the C library's functions: those would have to tell other threads, and there are
/// none.
pub(crate) fn become_user(user: u32, group: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    Ok(set_thread_res_uid(user, user, user)?)
}

/// Moves this process into new namespaces.
pub(crate) fn unshare(namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: a system call on an integer; the caller has one thread.
    unsafe { check_int(libc::unshare(namespaces))? };
    Ok(())
}

/// The host name inside this process's UTS namespace.
pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    Ok(sethostname(name.as_bytes())?)
}

/// Gives an open file to another user.
pub(crate) fn give_to(fd: BorrowedFd<'_>, user: u32, group: u32) -> io::Result<()> {
    Ok(fchown(fd, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?)
}

/// Gives what is open as a place only (`O_PATH`) to another user.
pub(crate) fn give_place_to(place: BorrowedFd<'_>, user: u32, group: u32) -> io::Result<()> {
    Ok(chownat(place, c"", Some(Uid::from_raw(user)), Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)?)
}

/// Whether this process has a capability now.
pub(crate) fn has_capability(capability: u32) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.bits() & (1 << capability) != 0)
}

/// The kernel's version of Landlock; zero: none.
pub(crate) fn landlock_version() -> i32 {
    const VERSION: usize = 1;
    // SAFETY: with this flag, the call takes no structure and answers with a number.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<libc::c_void>(), 0usize, VERSION) };
    i32::try_from(version).unwrap_or(0).max(0)
}

/// Gives up every way to get a capability by starting a program. Does nothing without the privilege to.
pub(crate) fn drop_bounding_set() {
    keep_in_bounding_set(&[]);
}

/// The same, but for these.
pub(crate) fn keep_in_bounding_set(kept: &[u32]) {
    for capability in (0..=LAST_CAPABILITY).filter(|one| !kept.contains(one)) {
        if remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability)).is_err() {
            return; // no privilege, or past the last there is
        }
    }
}

/// Gives up every capability.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    let _ = clear_ambient_capability_set(); // older kernels have none
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}
