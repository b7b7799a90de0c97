//! Mounts by descriptors (Linux 5.12 and later): nothing is looked up twice, and nothing is visible before it is done.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, symlinkat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};

use super::check;

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
    copy_below(CWD, path)
}

/// The same of a directory below one that is attached.
pub(crate) fn copy_below(dir: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(dir, path, flags)?)
}

/// A new file system, attached nowhere yet. Options without a value are flags.
pub(crate) fn create(kind: &CStr, options: &[(&CStr, Option<&CStr>)], attributes: Attributes) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        match value {
            Some(value) => fsconfig_set_string(&context, *key, *value)?,
            None => fsconfig_set_flag(&context, *key)?,
        }
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::from_bits_retain(attributes.bits() as libc::c_uint);
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
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
    attach_with(mount, dir, path, MoveMountFlags::empty())
}

/// Attaches a mount at what is open, whatever its path leads to by now.
pub(crate) fn attach_to(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    attach_with(mount, place, c"", MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH)
}

/// Attaches a mount at an absolute path.
pub(crate) fn attach_at(mount: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    attach_with(mount, CWD, path, MoveMountFlags::empty())
}

fn attach_with(mount: BorrowedFd<'_>, dir: BorrowedFd<'_>, path: &CStr, flags: MoveMountFlags) -> io::Result<()> {
    Ok(move_mount(mount, c"", dir, path, flags | MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Takes what is mounted at an absolute path out of this mount namespace.
pub(crate) fn detach(path: &CStr) -> io::Result<()> {
    Ok(unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?)
}

/// This process's root directory.
pub(crate) fn open_root() -> io::Result<OwnedFd> {
    open(CWD, c"/", libc::O_PATH | libc::O_DIRECTORY)
}

/// Makes a mount the root of this mount namespace and lets go of everything else in it.
pub(crate) fn make_root(root: BorrowedFd<'_>) -> io::Result<()> {
    fchdir(root)?;
    // The old root is mounted over the new one, where the unmount finds it.
    pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    Ok(chdir(c"/")?)
}

/// Creates a directory.
pub(crate) fn make_dir(dir: BorrowedFd<'_>, path: &CStr, mode: u32) -> io::Result<()> {
    Ok(mkdirat(dir, path, Mode::from_raw_mode(mode))?)
}

/// Creates a symbolic link.
pub(crate) fn make_link(target: &CStr, dir: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    Ok(symlinkat(target, dir, path)?)
}

/// Creates a file, or opens it for writing.
pub(crate) fn make_file(dir: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    open(dir, path, libc::O_WRONLY | libc::O_CREAT)
}

/// Opens what is there.
pub(crate) fn open(dir: BorrowedFd<'_>, path: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    let flags = OFlags::from_bits_retain(flags.unsigned_abs()) | OFlags::CLOEXEC;
    Ok(openat(dir, path, flags, Mode::from_raw_mode(0o644))?)
}
