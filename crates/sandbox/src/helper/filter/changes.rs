//! The calls that change files without Landlock being asked, and who makes them for a program.

use std::collections::BTreeMap;

use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompRule};

use super::rule;
use crate::Level;
use crate::sys::FCHMODAT2;

/// Who changes modes, times and owners of files for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileChanges {
    /// The program does: the kernel knows the session's files, by their user or by what is mounted.
    Direct,
    /// The [file broker](super::super::broker), for the session's files.
    Brokered,
    /// Nobody: the kernel would not tell the session's files from the server's, and no broker can be asked.
    Refused,
}

impl FileChanges {
    pub(super) fn without_broker(level: Level, shares_user: bool) -> Self {
        if !level.has_namespaces() && shares_user { Self::Refused } else { Self::Direct }
    }
}

/// The calls that change files without Landlock being asked.
pub(super) fn file_changes() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let calls = CHANGES.iter().chain(&CHANGES_HERE).map(|&call| (call, Vec::new()));
    let mut changes: BTreeMap<_, _> = calls.collect();
    // A name, or a time. What is left gives a file that is open the time that it is now, as `touch` and so builds need it.
    let given = |at: u8| rule(&[(at, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)]);
    changes.insert(libc::SYS_utimensat, vec![given(1)?, given(2)?]);
    Ok(changes)
}

/// What changes modes and owners of files without Landlock being asked: by their names, or by a descriptor, which may be
/// open for nothing but reading and so may be that of a file in an image. Times are changed by `utimensat` besides.
const CHANGES: [libc::c_long; 5] =
    [libc::SYS_fchmod, libc::SYS_fchmodat, FCHMODAT2, libc::SYS_fchown, libc::SYS_fchownat];

/// The same, times included, where only this architecture has them.
#[cfg(target_arch = "x86_64")]
const CHANGES_HERE: [libc::c_long; 6] =
    [libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
const CHANGES_HERE: [libc::c_long; 0] = [];

/// What changes other attributes in the same way.
pub(super) const ATTRIBUTES: [libc::c_long; 8] = [
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    SETXATTRAT,
    REMOVEXATTRAT,
];
/// All architectures have the same numbers for what is new. `file_setattr` is refused at all levels.
const SETXATTRAT: libc::c_long = 463;
const REMOVEXATTRAT: libc::c_long = 466;
