//! The requests (`ioctl`) that a program may make of what it has open: a list of what is allowed.
//!
//! Each file system has requests of its own, and no list of the harmful ones is ever whole. They reserve room on a disk as
//! `fallocate` does, make folders that nobody can remove (snapshots), change flags and attributes of a file by a descriptor
//! that may only read, and keep keys in the kernel. Programs need few of them: the answer to all others is that of a file
//! that does not know the request, after which `cp`, archivers and databases do without.

use seccompiler::BpfProgram;

use super::step;

/// Kinds of requests that are allowed, by their second byte.
const KINDS: [u32; 2] = [
    0x54, // terminals; and what every descriptor has: how much there is to read, not to wait, to be closed by `exec`
    0x89, // sockets: the names and addresses of network devices
];

/// Requests of these kinds that are denied all the same.
pub(super) const DENIED: [u32; 13] = [
    // Typing into a terminal that a descriptor has been left open to.
    libc::TIOCSTI as u32,
    libc::TIOCLINUX as u32,
    // What has the kernel load a module, whoever asks: a terminal's line discipline, and of any socket bridges, frame relay
    // and virtual networks.
    libc::TIOCSETD as u32,
    0x8940, // SIOCGIFBR
    0x8941, // SIOCSIFBR
    0x8980, // SIOCADDDLCI
    0x8981, // SIOCDELDLCI
    0x8982, // SIOCGIFVLAN
    0x8983, // SIOCSIFVLAN
    0x89a0, // SIOCBRADDBR
    0x89a1, // SIOCBRDELBR
    0x89a2, // SIOCBRADDIF
    0x89a3, // SIOCBRDELIF
];

/// Single requests of files that are allowed.
const REQUESTS: [u32; 4] = [
    // Copies that share their blocks, for `cp` and Node.js. `copy_file_range` makes the same, and each copy counts in full.
    0x4004_9409, // FICLONE
    0x4020_940d, // FICLONERANGE
    // Archivers and `lsattr` read the flags and attributes of a file; those calls change nothing.
    0x8008_6601, // FS_IOC_GETFLAGS
    0x801c_581f, // FS_IOC_FSGETXATTR
];

/// Answers `ENOTTY` to every other request.
pub(super) fn only_allowed() -> BpfProgram {
    let call = u32::try_from(libc::SYS_ioctl).expect("calls have small numbers");
    let refuse = libc::SECCOMP_RET_ERRNO | libc::ENOTTY.unsigned_abs();
    let equals = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut steps = vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, NUMBER),
        step(equals, 1, 0, call),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, REQUEST),
    ];
    for request in REQUESTS {
        steps.push(step(equals, 0, 1, request));
        steps.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    }
    steps.push(step(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 0, 0, 8));
    steps.push(step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, 0xff));
    for kind in KINDS {
        steps.push(step(equals, 0, 1, kind));
        steps.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    }
    steps.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, refuse));
    steps
}

/// Where the call's number lies in what a filter is shown.
const NUMBER: u32 = 0;

/// Where the request lies: the second argument, behind the number, the architecture and an address. The kernel reads 32 bits
/// of it, which come first: the architectures that there are filters for are little-endian.
const REQUEST: u32 = 16 + 8;
const _: () = assert!(cfg!(target_endian = "little"), "the request's lower half comes first");
