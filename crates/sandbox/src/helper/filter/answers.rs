//! Calls that are answered as if they had done what they do not, or as by a machine that has not what they ask for:
//! programs know how to go on with these answers, and not with `EPERM`.

use std::collections::BTreeMap;

use seccompiler::{BackendError, BpfProgram, SeccompCmpArgLen, SeccompCmpOp};

use super::{compile, is, rule};

const HUGE_PAGES: u64 = libc::MAP_HUGETLB as u64;
const CORE: libc::c_int = libc::RLIMIT_CORE as libc::c_int;

/// As if done: a new limit for cores, which is [as low as can be](super::super::confine::leave_no_core). At zero it would
/// allow them again where the machine pipes them to a program of its own. Programs that are careful with their memory,
/// such as `gpg`, insist on that call.
///
/// To be installed before what denies calls about other processes: of two answers the later filter's counts.
pub(super) fn as_done() -> Result<BpfProgram, BackendError> {
    let sets = (2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0);
    let calls =
        [(libc::SYS_prlimit64, vec![rule(&[is(1, CORE), sets])?]), (libc::SYS_setrlimit, vec![rule(&[is(0, CORE)])?])];
    compile(BTreeMap::from(calls), 0)
}

/// Large pages are a pool that the machine has set aside for somebody, and count as nobody's memory.
pub(super) fn out_of_large_pages() -> Result<BpfProgram, BackendError> {
    let is_large = rule(&[(3, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(HUGE_PAGES), HUGE_PAGES)])?;
    compile(BTreeMap::from([(libc::SYS_mmap, vec![is_large])]), libc::ENOMEM)
}
