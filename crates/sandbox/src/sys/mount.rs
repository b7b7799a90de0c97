//! Mounts by descriptors (Linux 5.12 and later): nothing is looked up twice, and nothing is visible before it is done.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::{check, check_int};

const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;

/// What may not be done through a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    pub(crate) read_only: bool,
    pub(crate) no_devices: bool,
    pub(crate) no_exec: bool,
}

impl Attributes {
    /// The kernel's bits. Set-uid programs are never honoured.
    fn bits(self) -> u64 {
        const RDONLY: u64 = 0x1;
        const NOSUID: u64 = 0x2;
        const NODEV: u64 = 0x4;
        const NOEXEC: u64 = 0x8;
        NOSUID
            | if self.read_only { RDONLY } else { 0 }
            | if self.no_devices { NODEV } else { 0 }
            | if self.no_exec { NOEXEC } else { 0 }
    }
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// A copy of a mounted tree or file, attached nowhere yet.
pub(crate) fn copy(path: &CStr) -> io::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | libc::AT_RECURSIVE as libc::c_uint;
    // SAFETY: the string lives during the call; the descriptor is a new one that nobody else owns.
    unsafe { adopt(libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags)) }
}

/// The same of a directory below one that is attached.
pub(crate) fn copy_below(dir: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | libc::AT_RECURSIVE as libc::c_uint;
    // SAFETY: the string lives during the call; the descriptor is a new one that nobody else owns.
    unsafe { adopt(libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags)) }
}

/// A new file system, attached nowhere yet. Options without a value are flags.
pub(crate) fn create(kind: &CStr, options: &[(&CStr, Option<&CStr>)], attributes: Attributes) -> io::Result<OwnedFd> {
    // SAFETY: all strings live during the calls; the descriptors are new ones that nobody else owns.
    unsafe {
        let context = adopt(libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC))?;
        let configure = |command: libc::c_uint, key: *const libc::c_char, value: *const libc::c_char| {
            check(libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, 0))
        };
        for (key, value) in options {
            match value {
                Some(value) => configure(FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())?,
                None => configure(FSCONFIG_SET_FLAG, key.as_ptr(), ptr::null())?,
            };
        }
        configure(FSCONFIG_CMD_CREATE, ptr::null(), ptr::null())?;
        adopt(libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, attributes.bits() as libc::c_uint))
    }
}

/// Restricts a mount and, if `all`, those below it.
pub(crate) fn restrict(mount: BorrowedFd<'_>, attributes: Attributes, all: bool) -> io::Result<()> {
    let recursive = if all { libc::AT_RECURSIVE } else { 0 };
    set(mount.as_raw_fd(), c"", libc::AT_EMPTY_PATH | recursive, attributes.bits(), 0)
}

/// Cuts all mounts of this mount namespace off from those that they were copied from.
pub(crate) fn make_private() -> io::Result<()> {
    set(libc::AT_FDCWD, c"/", libc::AT_RECURSIVE, 0, libc::MS_PRIVATE)
}

fn set(dir: RawFd, path: &CStr, flags: libc::c_int, attributes: u64, propagation: u64) -> io::Result<()> {
    let attributes = MountAttr { set: attributes, clear: 0, propagation, userns_fd: 0 };
    // SAFETY: string and structure live during the call, and the size is the structure's.
    unsafe {
        check(libc::syscall(
            libc::SYS_mount_setattr,
            dir,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttr>(),
        ))?;
    }
    Ok(())
}

/// Attaches a mount at a path below a directory.
pub(crate) fn attach(mount: BorrowedFd<'_>, dir: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    attach_raw(mount, dir.as_raw_fd(), path, 0)
}

/// Attaches a mount at what is open, whatever its path leads to by now.
pub(crate) fn attach_to(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    attach_raw(mount, place.as_raw_fd(), c"", MOVE_MOUNT_T_EMPTY_PATH)
}

/// Attaches a mount at an absolute path.
pub(crate) fn attach_at(mount: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    attach_raw(mount, libc::AT_FDCWD, path, 0)
}

fn attach_raw(mount: BorrowedFd<'_>, dir: RawFd, path: &CStr, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: both strings live during the call.
    unsafe {
        check(libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            dir,
            path.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | flags,
        ))?;
    }
    Ok(())
}

/// Takes what is mounted at an absolute path out of this mount namespace.
pub(crate) fn detach(path: &CStr) -> io::Result<()> {
    // SAFETY: the string lives during the call.
    unsafe { check_int(libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW))? };
    Ok(())
}

/// This process's root directory.
pub(crate) fn open_root() -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the string lives during the call; the descriptor is a new one that nobody else owns.
    unsafe { adopt(libc::c_long::from(libc::open(c"/".as_ptr(), flags))) }
}

/// Makes a mount the root of this mount namespace and lets go of everything else in it.
pub(crate) fn make_root(root: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all strings live during the calls. The old root is mounted over the new one by `pivot_root(".", ".")`,
    // where the unmount finds it.
    unsafe {
        check_int(libc::fchdir(root.as_raw_fd()))?;
        check(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()))?;
        check_int(libc::umount2(c".".as_ptr(), libc::MNT_DETACH))?;
        check_int(libc::chdir(c"/".as_ptr()))?;
    }
    Ok(())
}

/// Creates a directory.
pub(crate) fn make_dir(dir: BorrowedFd<'_>, path: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: the string lives during the call.
    unsafe { check_int(libc::mkdirat(dir.as_raw_fd(), path.as_ptr(), mode))? };
    Ok(())
}

/// Creates a symbolic link.
pub(crate) fn make_link(target: &CStr, dir: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    // SAFETY: the strings live during the call.
    unsafe { check_int(libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), path.as_ptr()))? };
    Ok(())
}

/// Creates a file, or opens it for writing.
pub(crate) fn make_file(dir: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    open_at(dir, path, libc::O_WRONLY | libc::O_CREAT)
}

/// Opens what is there.
pub(crate) fn open(dir: BorrowedFd<'_>, path: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    open_at(dir, path, flags)
}

fn open_at(dir: BorrowedFd<'_>, path: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the string lives during the call; the descriptor is a new one that nobody else owns.
    unsafe {
        adopt(libc::c_long::from(libc::openat(
            dir.as_raw_fd(),
            path.as_ptr(),
            flags | libc::O_CLOEXEC,
            0o644 as libc::c_uint,
        )))
    }
}

/// Takes a descriptor that a system call has just returned.
///
/// # Safety
/// It is new, and nobody else owns it.
unsafe fn adopt(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(check(result)?).expect("a descriptor is an int");
    // SAFETY: the caller's promise.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
