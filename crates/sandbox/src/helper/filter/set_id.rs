//! Files that would lend the rights of their user or group to others from the start.

use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompRule};

use super::{Condition, rule};

const BITS: [libc::mode_t; 2] = [libc::S_ISUID, libc::S_ISGID];

/// What tells `O_TMPFILE` from `O_DIRECTORY`, which is a part of it.
const TMPFILE: libc::c_int = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// Calls that make a file with set-user-ID or set-group-ID. The kernel leaves these out of the modes of new folders itself. What gives
/// its mode in memory, `openat2`, cannot be looked into: programs hear that there is no such call.
pub(super) fn made() -> Result<Vec<(libc::c_long, Vec<SeccompRule>)>, BackendError> {
    let mut calls = vec![(libc::SYS_openat, opened(2)?), (libc::SYS_mknodat, given(2)?)];
    #[cfg(target_arch = "x86_64")]
    calls.extend([(libc::SYS_open, opened(1)?), (libc::SYS_creat, given(1)?), (libc::SYS_mknod, given(1)?)]);
    Ok(calls)
}

/// The argument is a mode with one of them.
fn given(mode: u8) -> Result<Vec<SeccompRule>, BackendError> {
    BITS.iter().map(|&bit| rule(&[with(mode, bit.into())])).collect()
}

/// The argument is flags that make a file, and the next one such a mode. Without these flags it means nothing, and programs may
/// leave anything there.
fn opened(flags: u8) -> Result<Vec<SeccompRule>, BackendError> {
    let mut rules = Vec::new();
    for making in [libc::O_CREAT, TMPFILE] {
        for bit in BITS {
            rules.push(rule(&[with(flags, making.unsigned_abs().into()), with(flags + 1, bit.into())])?);
        }
    }
    Ok(rules)
}

fn with(at: u8, bit: u64) -> Condition {
    (at, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bit), bit)
}
