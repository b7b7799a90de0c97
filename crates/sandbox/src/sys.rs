//! The system calls that the rest of the crate uses, as safe functions.
//!
//! Most of them are `rustix`'s. All `unsafe` of the crate is in here, apart from the thread that acts for a user
//! ([`crate::remove`]). Nothing in here decides anything.
//!
//! The functions that change the calling process ([`process::exec`], [`identity`], [`mount`]) are only called in the
//! helper, which has one thread; see [`crate::helper`].

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) mod identity;
pub(crate) mod listener;
pub(crate) mod mount;
pub(crate) mod process;
pub(crate) mod socket;

/// `fchmodat2`, which `libc` does not name for each architecture: calls as new as this one have the same number on all.
pub(crate) const FCHMODAT2: libc::c_long = 452;

/// Turns the usual -1 into the error behind it.
pub(crate) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// [`check`] for calls that answer with an `int`.
pub(crate) fn check_int(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A path for a system call.
///
/// # Panics
/// If it has a zero byte, which no path of the file system's or of a plan's has.
pub(crate) fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path of the file system's or of a plan's has no zero byte")
}
