//! What a program asks of the file broker, read from its call once.

use std::ffi::CString;
use std::os::fd::RawFd;

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

use crate::sys::FCHMODAT2;
use crate::sys::listener::Call;

/// A change that a program wants.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) target: Target,
    pub(super) change: Change,
}

/// The file to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// What the caller has open under this number.
    Open(RawFd),
    /// What the caller's path leads to from a folder that it has open, or from its working directory.
    Path { from: Start, path: CString, follows_link: bool },
}

/// Where a relative path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    WorkingDirectory,
    Open(RawFd),
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Without the set-user-ID and set-group-ID bits.
    Mode(u32),
    Times(Timestamps),
    /// `None`: as it is.
    Owner {
        user: Option<u32>,
        group: Option<u32>,
    },
}

/// Reads the caller's memory from an address on; answers how much could be read.
pub(super) type Memory<'a> = &'a dyn Fn(u64, &mut [u8]) -> Result<usize, Errno>;

/// The longest path, its end included, as the kernel's `PATH_MAX`.
const MAX_PATH: usize = 4096;

/// The smallest page that Linux has: within one, memory is there or not.
const PAGE: u64 = 4096;

/// Modes that give a program somebody else's rights.
const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;

impl Request {
    /// `None`: the call changes nothing, and the kernel would not even look for the file.
    pub(super) fn read(call: &Call, memory: Memory<'_>) -> Result<Option<Self>, Errno> {
        let [a, b, c, d, e, _] = call.args;
        #[cfg(target_arch = "x86_64")]
        let here = Start::WorkingDirectory;
        let (target, change) = match call.number {
            libc::SYS_fchmod => (Target::Open(int(a)), mode(b)?),
            libc::SYS_fchmodat => (at(from(a), b, 0, memory)?, mode(c)?),
            FCHMODAT2 => (at(from(a), b, d, memory)?, mode(c)?),
            libc::SYS_fchown => (Target::Open(int(a)), owner(b, c)),
            libc::SYS_fchownat => (at(from(a), b, e, memory)?, owner(c, d)),
            libc::SYS_utimensat => {
                let Some(times) = timespecs(c, memory)? else { return Ok(None) };
                let target = match (b, from(a)) {
                    (0, _) if flags(d)? != 0 => return Err(Errno::INVAL),
                    (0, Start::WorkingDirectory) => return Err(Errno::FAULT),
                    (0, Start::Open(fd)) => Target::Open(fd),
                    (_, from) => at(from, b, d, memory)?,
                };
                (target, Change::Times(times))
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => (at(here, a, 0, memory)?, mode(b)?),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown => (at(here, a, 0, memory)?, owner(b, c)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_lchown => (at(here, a, NO_FOLLOW, memory)?, owner(b, c)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_utime => (at(here, a, 0, memory)?, Change::Times(seconds(b, memory)?)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_utimes => (at(here, a, 0, memory)?, Change::Times(microseconds(b, memory)?)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_futimesat => {
                let target = match (b, from(a)) {
                    (0, Start::WorkingDirectory) => return Err(Errno::FAULT),
                    (0, Start::Open(fd)) => Target::Open(fd),
                    (_, from) => at(from, b, 0, memory)?,
                };
                (target, Change::Times(microseconds(c, memory)?))
            }
            _ => return Err(Errno::PERM),
        };
        Ok(Some(Self { target, change }))
    }
}

#[cfg(any(test, target_arch = "x86_64"))]
const NO_FOLLOW: u64 = libc::AT_SYMLINK_NOFOLLOW as u64;

/// An `int` argument: the lower half of a register.
fn int(argument: u64) -> i32 {
    (argument as u32).cast_signed()
}

fn from(argument: u64) -> Start {
    match int(argument) {
        libc::AT_FDCWD => Start::WorkingDirectory,
        fd => Start::Open(fd),
    }
}

fn flags(argument: u64) -> Result<i32, Errno> {
    let flags = int(argument);
    if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) == 0 { Ok(flags) } else { Err(Errno::INVAL) }
}

/// What a call names by a path.
fn at(from: Start, path: u64, argument: u64, memory: Memory<'_>) -> Result<Target, Errno> {
    let flags = flags(argument)?;
    let follows_link = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    let path = string(path, memory)?;
    if path.is_empty() {
        return match from {
            _ if flags & libc::AT_EMPTY_PATH == 0 => Err(Errno::NOENT),
            Start::Open(fd) => Ok(Target::Open(fd)),
            Start::WorkingDirectory => Ok(Target::Path { from, path: c".".to_owned(), follows_link }),
        };
    }
    // The C library changes by this name what it has open as a place only.
    match open_file(path.as_bytes()) {
        Some(fd) if follows_link => Ok(Target::Open(fd)),
        _ => Ok(Target::Path { from, path, follows_link }),
    }
}

/// The caller's own descriptor that a path names.
fn open_file(path: &[u8]) -> Option<RawFd> {
    let number = [&b"/proc/self/fd/"[..], b"/dev/fd/"].iter().find_map(|folder| path.strip_prefix(*folder))?;
    let number = str::from_utf8(number).ok()?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok()).flatten()
}

fn mode(argument: u64) -> Result<Change, Errno> {
    let mode = int(argument).cast_unsigned() & 0o7777;
    if mode & SET_ID == 0 { Ok(Change::Mode(mode)) } else { Err(Errno::PERM) }
}

fn owner(user: u64, group: u64) -> Change {
    let number = |argument| Some(int(argument).cast_unsigned()).filter(|&number| number != u32::MAX);
    Change::Owner { user: number(user), group: number(group) }
}

const NOW: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
};

/// `None`: both times are to stay.
fn timespecs(address: u64, memory: Memory<'_>) -> Result<Option<Timestamps>, Errno> {
    if address == 0 {
        return Ok(Some(NOW));
    }
    let [access, access_part, modification, modification_part] = numbers(address, memory)?;
    let times = timestamps((access, access_part), (modification, modification_part));
    Ok((access_part != UTIME_OMIT || modification_part != UTIME_OMIT).then_some(times))
}

#[cfg(target_arch = "x86_64")]
fn seconds(address: u64, memory: Memory<'_>) -> Result<Timestamps, Errno> {
    if address == 0 {
        return Ok(NOW);
    }
    let [access, modification] = numbers(address, memory)?;
    Ok(timestamps((access, 0), (modification, 0)))
}

#[cfg(target_arch = "x86_64")]
fn microseconds(address: u64, memory: Memory<'_>) -> Result<Timestamps, Errno> {
    if address == 0 {
        return Ok(NOW);
    }
    let [access, access_part, modification, modification_part] = numbers(address, memory)?;
    let nanoseconds = |part: i64| if (0..1_000_000).contains(&part) { Ok(part * 1000) } else { Err(Errno::INVAL) };
    Ok(timestamps((access, nanoseconds(access_part)?), (modification, nanoseconds(modification_part)?)))
}

/// Seconds and nanoseconds of each.
fn timestamps(access: (i64, i64), modification: (i64, i64)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: access.0, tv_nsec: access.1 },
        last_modification: Timespec { tv_sec: modification.0, tv_nsec: modification.1 },
    }
}

fn numbers<const N: usize>(address: u64, memory: Memory<'_>) -> Result<[i64; N], Errno> {
    let mut bytes = [[0; 8]; N];
    let flat = bytes.as_flattened_mut();
    if memory(address, flat)? < flat.len() {
        return Err(Errno::FAULT);
    }
    Ok(bytes.map(i64::from_ne_bytes))
}

/// A text that ends with a zero byte, read page by page: what comes after its end may not be there.
fn string(address: u64, memory: Memory<'_>) -> Result<CString, Errno> {
    let mut bytes = Vec::new();
    let mut at = address;
    while bytes.len() < MAX_PATH {
        let len = (PAGE - at % PAGE).min((MAX_PATH - bytes.len()) as u64) as usize;
        let start = bytes.len();
        bytes.resize(start + len, 0);
        let read = memory(at, &mut bytes[start..])?;
        if let Some(end) = bytes[start..start + read].iter().position(|&byte| byte == 0) {
            bytes.truncate(start + end);
            return CString::new(bytes).map_err(|_| Errno::INVAL);
        }
        if read < len {
            return Err(Errno::FAULT);
        }
        at = at.checked_add(len as u64).ok_or(Errno::FAULT)?;
    }
    Err(Errno::NAMETOOLONG)
}

#[cfg(test)]
mod tests;
