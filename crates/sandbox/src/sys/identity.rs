//! Who this process is: user, groups, capabilities, host name.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::{check, check_int};

/// `CAP_SETGID` and its kin, by their numbers.
pub(crate) const SETGID: u32 = 6;
pub(crate) const SETUID: u32 = 7;
pub(crate) const SETPCAP: u32 = 8;
pub(crate) const SYS_CHROOT: u32 = 18;
pub(crate) const SYS_ADMIN: u32 = 21;
/// Above the last capability there is; dropping one that does not exist fails harmlessly.
const LAST_CAPABILITY: libc::c_ulong = 63;

/// The effective user.
pub(crate) fn user() -> u32 {
    // SAFETY: a system call without arguments that cannot fail.
    unsafe { libc::geteuid() }
}

/// The effective group.
pub(crate) fn group() -> u32 {
    // SAFETY: a system call without arguments that cannot fail.
    unsafe { libc::getegid() }
}

/// Becomes another user and group for good, with no further groups. Needs privilege.
pub(crate) fn become_user(user: u32, group: u32) -> io::Result<()> {
    // SAFETY: system calls on integers. `syscall` and not the C library's functions: those would have to tell other
    // threads, and there are none.
    unsafe {
        check(libc::syscall(libc::SYS_setgroups, 0usize, ptr::null::<libc::gid_t>()))?;
        check(libc::syscall(libc::SYS_setresgid, group, group, group))?;
        check(libc::syscall(libc::SYS_setresuid, user, user, user))?;
    }
    Ok(())
}

/// Moves this process into new namespaces.
pub(crate) fn unshare(namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: a system call on an integer; the caller has one thread.
    unsafe { check_int(libc::unshare(namespaces))? };
    Ok(())
}

/// The host name inside this process's UTS namespace.
pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe the string, which lives during the call.
    unsafe { check_int(libc::sethostname(name.as_ptr().cast(), name.len()))? };
    Ok(())
}

/// Gives an open file to another user.
pub(crate) fn give_to(fd: BorrowedFd<'_>, user: u32, group: u32) -> io::Result<()> {
    // SAFETY: a system call on integers.
    unsafe { check_int(libc::fchown(fd.as_raw_fd(), user, group))? };
    Ok(())
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySet {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two sets of 32 bits.
const VERSION: u32 = 0x2008_0522;

/// Whether this process has a capability now.
pub(crate) fn has_capability(capability: u32) -> bool {
    let mut header = CapabilityHeader { version: VERSION, pid: 0 };
    let mut sets = [CapabilitySet::default(); 2];
    // SAFETY: header and both sets have the layout of version 3 and live during the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    result == 0 && sets[(capability / 32) as usize].effective & (1 << (capability % 32)) != 0
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
    let zero: libc::c_ulong = 0;
    for capability in (0..=LAST_CAPABILITY).filter(|&one| !kept.iter().any(|&kept| libc::c_ulong::from(kept) == one)) {
        // SAFETY: the option takes integers.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, zero, zero, zero) } == -1 {
            return; // no privilege, or past the last there is
        }
    }
}

/// Gives up every capability.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the option takes integers; header and sets have the layout of version 3 and live during the call.
    unsafe {
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, zero, zero, zero);
        let header = CapabilityHeader { version: VERSION, pid: 0 };
        let sets = [CapabilitySet::default(); 2];
        check(libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()))?;
    }
    Ok(())
}
