use super::*;

/// Two pages of a caller, after which nothing is there.
struct Caller {
    memory: Vec<u8>,
}

/// Where its memory begins.
const BASE: u64 = 0x10_000;

impl Caller {
    fn with(bytes: &[u8]) -> Self {
        let mut memory = bytes.to_vec();
        memory.resize(2 * PAGE as usize, 0);
        Self { memory }
    }

    /// With its last bytes just before the end of the memory.
    fn ending_with(bytes: &[u8]) -> (Self, u64) {
        let mut memory = vec![b'x'; 2 * PAGE as usize - bytes.len()];
        memory.extend_from_slice(bytes);
        (Self { memory }, BASE + 2 * PAGE - bytes.len() as u64)
    }

    fn asks(&self, number: libc::c_long, args: &[u64]) -> Result<Option<Request>, Errno> {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        let memory = |address: u64, buffer: &mut [u8]| {
            let start = usize::try_from(address.checked_sub(BASE).ok_or(Errno::FAULT)?).map_err(|_| Errno::FAULT)?;
            let there = self.memory.get(start..).filter(|there| !there.is_empty()).ok_or(Errno::FAULT)?;
            let len = there.len().min(buffer.len());
            buffer[..len].copy_from_slice(&there[..len]);
            Ok(len)
        };
        Request::read(&Call::made_up(number, all), &memory)
    }

    fn target(&self, number: libc::c_long, args: &[u64]) -> Target {
        self.asks(number, args).expect("it is valid").expect("it changes something").target
    }
}

const HERE: u64 = libc::AT_FDCWD as u64;
const EMPTY_PATH: u64 = libc::AT_EMPTY_PATH as u64;

fn path(from: Start, path: &std::ffi::CStr, follows_link: bool) -> Target {
    Target::Path { from, path: path.to_owned(), follows_link }
}

#[test]
fn paths_begin_where_the_call_says() {
    let caller = Caller::with(b"a/b\0");
    assert_eq!(caller.target(libc::SYS_fchmodat, &[HERE, BASE, 0o644]), path(Start::WorkingDirectory, c"a/b", true));
    assert_eq!(caller.target(libc::SYS_fchmodat, &[7, BASE, 0o644]), path(Start::Open(7), c"a/b", true));
    // The upper half of a register is no part of an `int`.
    let upper = 1 << 32;
    assert_eq!(caller.target(libc::SYS_fchmodat, &[7 | upper, BASE, 0o644]), path(Start::Open(7), c"a/b", true));
    let args = [HERE, BASE, 0o644, NO_FOLLOW];
    assert_eq!(caller.target(FCHMODAT2, &args), path(Start::WorkingDirectory, c"a/b", false));
    let unknown = caller.asks(FCHMODAT2, &[HERE, BASE, 0o644, 1]);
    assert_eq!(unknown.expect_err("there is no such flag"), Errno::INVAL);
}

#[test]
fn a_descriptor_is_named_in_four_ways() {
    assert_eq!(Caller::with(b"").target(libc::SYS_fchmod, &[5, 0o600]), Target::Open(5));
    assert_eq!(Caller::with(b"\0").target(FCHMODAT2, &[5, BASE, 0o600, EMPTY_PATH]), Target::Open(5));
    assert_eq!(Caller::with(b"").target(libc::SYS_utimensat, &[5, 0, 0, 0]), Target::Open(5));
    let link = Caller::with(b"/proc/self/fd/5\0");
    assert_eq!(link.target(libc::SYS_fchmodat, &[HERE, BASE, 0o600]), Target::Open(5));
    // The link itself is not what is open.
    let itself = link.target(FCHMODAT2, &[HERE, BASE, 0o600, NO_FOLLOW]);
    assert_eq!(itself, path(Start::WorkingDirectory, c"/proc/self/fd/5", false));
    for other in
        [&b"/proc/self/fd/5/x\0"[..], b"/proc/self/fd/\0", b"/proc/self/fd/+5\0", b"/proc/self/fd/99999999999\0"]
    {
        let target = Caller::with(other).target(libc::SYS_fchmodat, &[HERE, BASE, 0o600]);
        assert!(matches!(target, Target::Path { .. }), "{target:?}");
    }
}

#[test]
fn an_empty_path_names_nothing_unless_it_may() {
    let caller = Caller::with(b"\0");
    assert_eq!(caller.asks(libc::SYS_fchmodat, &[5, BASE, 0o600]).expect_err("it is empty"), Errno::NOENT);
    let args = [HERE, BASE, 0o600, EMPTY_PATH];
    assert_eq!(caller.target(FCHMODAT2, &args), path(Start::WorkingDirectory, c".", true));
    assert_eq!(caller.asks(libc::SYS_utimensat, &[HERE, 0, 0, 0]).expect_err("it names nothing"), Errno::FAULT);
    assert_eq!(caller.asks(libc::SYS_utimensat, &[5, 0, 0, NO_FOLLOW]).expect_err("there is no link"), Errno::INVAL);
}

#[test]
fn paths_are_read_as_far_as_they_go() {
    let (caller, at) = Caller::ending_with(b"end\0");
    assert_eq!(caller.target(libc::SYS_fchmodat, &[HERE, at, 0]), path(Start::WorkingDirectory, c"end", true));
    let (caller, at) = Caller::ending_with(b"end");
    assert_eq!(caller.asks(libc::SYS_fchmodat, &[HERE, at, 0]).expect_err("it has no end"), Errno::FAULT);
    assert_eq!(caller.asks(libc::SYS_fchmodat, &[HERE, 1, 0]).expect_err("nothing is there"), Errno::FAULT);
    let long = Caller::with(&[b'a'; MAX_PATH]);
    assert_eq!(long.asks(libc::SYS_fchmodat, &[HERE, BASE, 0]).expect_err("it is too long"), Errno::NAMETOOLONG);
    let longest = Caller::with(&[b'a'; MAX_PATH - 1]);
    assert!(longest.asks(libc::SYS_fchmodat, &[HERE, BASE, 0]).is_ok());
}

#[test]
fn a_mode_gives_nobody_elses_rights() {
    let caller = Caller::with(b"a\0");
    for refused in [0o4755, 0o2755, 0o6000] {
        let answer = caller.asks(libc::SYS_fchmodat, &[HERE, BASE, refused]);
        assert_eq!(answer.expect_err("somebody else's rights"), Errno::PERM, "{refused:o}");
    }
    let request = caller.asks(libc::SYS_fchmodat, &[HERE, BASE, 0o10_1777]).expect("it is valid").expect("a change");
    assert!(matches!(request.change, Change::Mode(0o1777)), "{request:?}");
}

/// Numbers in memory.
fn numbers_in(numbers: &[i64]) -> Caller {
    Caller::with(&numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<_>>())
}

fn times(answer: Result<Option<Request>, Errno>) -> [(i64, i64); 2] {
    match answer.expect("it is valid").expect("it changes something").change {
        Change::Times(Timestamps { last_access: a, last_modification: m }) => {
            [(a.tv_sec, a.tv_nsec), (m.tv_sec, m.tv_nsec)]
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn times_are_read_as_each_call_writes_them() {
    let caller = numbers_in(&[1, 2, 3, 4]);
    assert_eq!(times(caller.asks(libc::SYS_utimensat, &[5, 0, BASE, 0])), [(1, 2), (3, 4)]);
    assert_eq!(times(caller.asks(libc::SYS_utimensat, &[5, 0, 0, 0])), [(0, UTIME_NOW), (0, UTIME_NOW)]);
    let omitted = numbers_in(&[0, UTIME_OMIT, 0, UTIME_OMIT]);
    assert!(omitted.asks(libc::SYS_utimensat, &[5, 0, BASE, 0]).expect("it is valid").is_none());
    let (short, at) = Caller::ending_with(&[0; 31]);
    assert_eq!(short.asks(libc::SYS_utimensat, &[5, 0, at, 0]).expect_err("one byte is missing"), Errno::FAULT);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_older_calls_are_known_too() {
    let caller = numbers_in(&[1, 2, 3, 4, i64::from_ne_bytes(*b"name\0\0\0\0")]);
    let name = BASE + 32;
    let named = |follows_link| path(Start::WorkingDirectory, c"name", follows_link);
    assert_eq!(times(caller.asks(libc::SYS_utime, &[name, BASE])), [(1, 0), (2, 0)]);
    assert_eq!(times(caller.asks(libc::SYS_utimes, &[name, BASE])), [(1, 2000), (3, 4000)]);
    assert_eq!(times(caller.asks(libc::SYS_futimesat, &[5, 0, BASE])), [(1, 2000), (3, 4000)]);
    let late = numbers_in(&[1, 1_000_000, 3, 4]);
    assert_eq!(late.asks(libc::SYS_futimesat, &[5, 0, BASE]).expect_err("a whole second"), Errno::INVAL);
    assert_eq!(caller.target(libc::SYS_chmod, &[name, 0o600]), named(true));
    assert_eq!(caller.target(libc::SYS_lchown, &[name, 1, 2]), named(false));
    let request =
        caller.asks(libc::SYS_chown, &[name, 1, u64::from(u32::MAX)]).expect("it is valid").expect("a change");
    assert!(matches!(request.change, Change::Owner { user: Some(1), group: None }), "{request:?}");
}

#[test]
fn a_call_that_nobody_was_to_pass_on_is_refused() {
    assert_eq!(Caller::with(b"").asks(libc::SYS_mount, &[BASE]).expect_err("not this one"), Errno::PERM);
}
