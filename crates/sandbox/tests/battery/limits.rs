//! Programs that use up what they can.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agb_sandbox::{Command, Controller, Exceeded, Launcher, Level, Policy, SpawnError};
use rustix::process::Signal;

use crate::world::{PATIENCE, World, line, spawn};

pub(crate) fn limits_hold(world: &World) {
    let code = r"
import os, errno
def attempt(name, action):
    try: action(); print(name, 'WORKED')
    except MemoryError: print(name, 'MemoryError')
    except OSError as error: print(name, errno.errorcode[error.errno])
def fill(path, size):
    with open(path, 'wb') as file:
        for _ in range(size >> 20): file.write(bytes(1 << 20)); file.flush()
def bomb():
    for _ in range(200):
        if os.fork() == 0: os.read(5, 1)
keep = os.pipe(); os.dup2(keep[0], 5) if keep[0] != 5 else None
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
attempt('memory', lambda: bytearray(100 << 20))
attempt('file', lambda: fill('big', 9 << 20))
attempt('tmp', lambda: [fill('/tmp/%d' % i, 7 << 20) for i in range(4)])
attempt('open', lambda: [os.dup(1) for _ in range(200)])
";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.memory = 64 << 20;
        policy.limits.processes = 20;
        policy.limits.open_files = 64;
        policy.limits.file_size = 8 << 20;
        policy.limits.tmp_size = 16 << 20;
        // Where the kernel would count those of other sessions as well, the server counts: see `sessions`.
        let counts = level.has_namespaces() || world.launcher.user_of(level, 0).is_some();
        let bomb = if counts { "attempt('processes', bomb)" } else { "" };
        let (status, text) = world.python(&policy, &format!("{code}{bomb}"));
        assert!(status.success(), "{level}: {status}: {text}");
        let mut expected = vec!["memory MemoryError", "file EFBIG", "open EMFILE"];
        expected.extend(counts.then_some("processes EAGAIN"));
        if level.has_namespaces() {
            expected.insert(2, "tmp ENOSPC");
        }
        let lines: Vec<&str> = text.lines().filter(|line| level.has_namespaces() || !line.starts_with("tmp")).collect();
        assert_eq!(lines, expected, "{level}");
    }
}

/// What takes room counts, whatever its name, path and mode, and whether it has any.
pub(crate) fn hidden_files_count(world: &World) {
    const WAYS: [(&str, &str); 11] = [
        ("as it is", "fill(open('f', 'wb'))"),
        ("without a name", "f = open('f', 'wb'); os.unlink('f'); fill(f)"),
        ("never named", "f = os.fdopen(os.open('.', os.O_TMPFILE | os.O_WRONLY), 'wb'); fill(f)"),
        ("too deep", "for _ in range(30): os.mkdir('n' * 250); os.chdir('n' * 250)\nfill(open('f', 'wb'))"),
        ("in a folder made closed", "os.mkdir('d', 0o300); fill(open('d/f', 'wb'))"),
        ("in a closed folder", "os.mkdir('d'); fill(open('d/f', 'wb')); os.fchmod(os.open('d', os.O_RDONLY), 0o300)"),
        (
            "in a folder without rights",
            "os.mkdir('d'); fill(open('d/f', 'wb')); os.fchmod(os.open('d', os.O_RDONLY), 0)",
        ),
        (
            "in one not to be entered",
            "os.mkdir('d'); fill(open('d/f', 'wb')); os.fchmod(os.open('d', os.O_RDONLY), 0o600)",
        ),
        (
            "with many names",
            "os.mkdir('d'); f = open('d/f', 'wb')\nfor i in range(60): os.link('d/f', 'd/%d' % i)\nfill(f)",
        ),
        (
            "mapped",
            "f = open('f', 'w+b'); fill(f); import mmap; m = mmap.mmap(f.fileno(), 0); os.unlink('f'); os.closerange(5, 100)",
        ),
        (
            "mapped behind many others",
            "import mmap; more = [mmap.mmap(-1, 4096, 0x22, 1 + i % 2 * 2) for i in range(30000)]\n\
             f = open('f', 'w+b'); fill(f); m = mmap.mmap(f.fileno(), 0); os.unlink('f'); os.closerange(5, 100)",
        ),
    ];
    let fill = "import os\ndef fill(file):\n    for _ in range(60): file.write(bytes(1 << 20))\n    file.flush()\n";
    for &level in &world.levels {
        // No call changes rights at landlock where programs have the server's user: `attempts_are_stopped` tries them.
        let changes_rights = level.has_namespaces() || world.launcher.user_of(level, 0).is_some();
        for (way, code) in WAYS.into_iter().filter(|(_, code)| changes_rights || !code.contains("fchmod")) {
            is_killed_for_its_disk(world, level, way, &format!("{fill}{code}\nwhile True: pass"));
        }
    }
}

/// This program exceeds 20 MiB on disk, in the way that is named, and is killed for that.
pub(crate) fn is_killed_for_its_disk(world: &World, level: Level, way: &str, code: &str) {
    let mut policy = world.policy(level);
    policy.limits.disk = 20 << 20;
    let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
    let (mut program, mut ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
    let ended = program.wait_timeout(PATIENCE).expect("waiting works");
    let mut text = String::new();
    if ended.is_some() {
        ends.output.read_to_string(&mut text).expect("it prints text");
    }
    assert_eq!(program.exceeded(), Some(Exceeded::Disk(20 << 20)), "{level}: {way}: {ended:?} {text}");
}

/// Who has more mappings than are looked through could hide a file among them. Others do not wait for the look.
pub(crate) fn mappings_are_bounded(world: &World) {
    let code = "import mmap\nmore = [mmap.mmap(-1, 4096, 0x22, 1 + i % 2 * 2) for i in range(20000)]\nwhile True: pass";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.mappings = 10_000;
        let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
        let (mut program, _ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
        let ended = program.wait_timeout(PATIENCE).expect("waiting works");
        assert_eq!(program.exceeded(), Some(Exceeded::Mappings(10_000)), "{level}: {ended:?}");
    }
}

/// Each may hold megabytes of events that nobody reads, of memory that the kernel counts for nobody.
pub(crate) fn watches_of_a_sandbox_are_bounded(world: &World) {
    let code = "import ctypes, os\nlibc = ctypes.CDLL(None)\nwhile libc.inotify_init1(0) >= 0: pass\n\
                print(sum(os.readlink(f'/proc/self/fd/{n}') == 'anon_inode:inotify' for n in os.listdir('/proc/self/fd')[:-1]))";
    for &level in world.levels.iter().filter(|level| **level == Level::Namespaces) {
        let mut policy = world.policy(level);
        for most in [16, 3] {
            policy.limits.inotify_instances = most;
            let (status, text) = world.python(&policy, code);
            assert!(status.success() && text.trim() == most.to_string(), "{level}: {status}: {text}");
        }
    }
}

/// The kernel counts the memory of locks for nobody.
pub(crate) fn locks_are_bounded(world: &World) {
    let code = "import fcntl\nfiles = [open(str(n), 'w') for n in range(2)]\n\
                for i in range(4000): fcntl.lockf(files[i % 2], fcntl.LOCK_EX, 1, 2 * i)\nwhile True: pass";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.locks = 3_000;
        let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
        let (mut program, _ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
        let ended = program.wait_timeout(PATIENCE).expect("waiting works");
        assert_eq!(program.exceeded(), Some(Exceeded::Locks(3_000)), "{level}: {ended:?}");
    }
}

/// Memory counts that is in files, and what the kernel needs to find memory; with control groups and without.
pub(crate) fn memory_that_is_no_processs_counts(world: &World) {
    let shared = "f = open('/dev/shm/f', 'wb')\nfor _ in range(150): f.write(bytes(1 << 20))\nwhile True: pass";
    // A page of the table for each 2 MiB.
    let tables = "import mmap\nm = mmap.mmap(-1, 96 << 30, mmap.MAP_PRIVATE | 0x4000, mmap.PROT_READ)\n\
                  for at in range(0, 96 << 30, 2 << 20): m[at]\nwhile True: pass";
    for level in world.levels.iter().copied() {
        for (what, code) in [("files in memory", shared), ("page tables", tables)] {
            if what == "files in memory" && !level.has_namespaces() {
                continue; // it has no /dev/shm
            }
            let mut policy = world.policy(level);
            policy.limits.total_memory = 64 << 20;
            let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
            let (mut program, _ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
            let status = program.wait_timeout(PATIENCE).expect("waiting works");
            assert_eq!(program.exceeded(), Some(Exceeded::Memory(64 << 20)), "{level}: {what}: {status:?}");
        }
    }
}

/// The kernel and the thread that watches both keep the limit: here the thread, which looks five times a second, is
/// too late.
pub(crate) fn control_groups_keep_a_sessions_memory(world: &World) {
    if !world.launcher.control_groups().has(Controller::Memory) {
        return println!("no control groups for memory: not tested");
    }
    let shared = "import mmap\nmap = mmap.mmap(-1, 200 << 20)\nfor at in range(0, 200 << 20, 4096): map[at] = 1\n\
                  print('has it all')";
    // The program goes on when its child is killed: it is ended with the reason, too.
    let child = "import os, mmap, time\nif os.fork() == 0:\n    map = mmap.mmap(-1, 200 << 20)\n    \
                 for at in range(0, 200 << 20, 4096): map[at] = 1\n    print('has it all')\ntime.sleep(60)";
    for &level in &world.levels {
        for code in [shared, child] {
            let mut policy = world.policy(level);
            policy.limits.total_memory = 64 << 20;
            let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
            let (mut program, mut ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
            let status = program.wait_timeout(PATIENCE).expect("waiting works").expect("the program ends");
            let mut text = String::new();
            ends.output.read_to_string(&mut text).expect("it prints text");
            assert_eq!((status.signal(), text.as_str()), (Some(libc::SIGKILL), ""), "{level}");
            assert_eq!(program.exceeded(), Some(Exceeded::Memory(64 << 20)), "{level}");
            // The session goes on, and who is killed for something else is not told that it was this.
            let (mut next, _ends) =
                world.spawn(&policy, &Command::new("/usr/bin/sleep").args(["60"])).expect("the next one starts");
            next.kill_all();
            next.wait().expect("waiting works");
            assert_eq!(next.exceeded(), None, "{level}");
        }
    }
}

/// A sandbox that is killed before its program runs says why.
pub(crate) fn a_start_without_memory_says_so(world: &World) {
    if !world.launcher.control_groups().has(Controller::Memory) {
        return println!("no control groups for memory: not tested");
    }
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.total_memory = 32 << 10;
        let started = world.spawn(&policy, &Command::new("/usr/bin/true"));
        let Err(refused) = started.map(drop) else { panic!("{level}: it runs in 32 KiB") };
        assert!(matches!(refused, SpawnError::Exceeded(Exceeded::Memory(_))), "{level}: {refused}");
    }
}

pub(crate) fn control_groups_keep_a_sessions_processes(world: &World) {
    if !world.launcher.control_groups().has(Controller::Processes) {
        return println!("no control groups for processes: not tested");
    }
    let code = "import os, time\nn = 0\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(60)\n        n += 1\n\
                except BlockingIOError: print(n, flush=True)\ntime.sleep(60)";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        (policy.limits.processes, policy.limits.total_processes) = (40, 30);
        let (_other, _ends) =
            world.spawn(&policy, &Command::new("/usr/bin/sleep").args(["60"])).expect("the session's first starts");
        let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
        let (_bomb, mut ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
        // Both programs and both of their first processes count.
        assert_eq!(line(&mut ends.output), (30 - 4).to_string(), "{level}");
    }
}

pub(crate) fn control_groups_keep_a_sessions_processors(world: &World) {
    if !world.launcher.control_groups().has(Controller::Processors) {
        return println!("no control groups for processors: not tested");
    }
    let code =
        "import time\nbegin = time.monotonic()\nwhile time.monotonic() - begin < 1: pass\nprint(time.process_time())";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.cpus = 200;
        let (_, text) = world.python(&policy, code);
        let used: f64 = text.trim().parse().expect("a number");
        // A fifth of a second and a bit; a machine that is busy gives less.
        assert!(used < 0.5, "{level}: {used} s of processor time in a second");
    }
}

pub(crate) fn who_stands_back_gets_less(world: &World) {
    if !world.launcher.control_groups().has(Controller::Processors) {
        return println!("no control groups for processors: not tested");
    }
    for &level in &world.levels {
        let policy = world.policy(level);
        let share = || -> Option<u32> {
            let files = groups(std::process::id())
                .into_iter()
                .flat_map(|group| ["cpu.shares", "cpu.weight"].map(|file| format!("{group}/{}/{file}", policy.slot)));
            files.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).next()
        };
        let start = || {
            spawn(&world.launcher, &policy, &Command::new("/usr/bin/sleep").args(["60"])).expect("the program starts")
        };
        let usual = {
            let _program = start();
            share().expect("a session has a group")
        };
        world.launcher.stand_back(policy.slot, true);
        let (first, second) = (start(), start());
        assert_eq!(share(), Some(usual / 4), "{level}");
        world.launcher.stand_back(policy.slot, false);
        assert_eq!(share(), Some(usual), "{level}: one that runs is given back what the others have");
        drop((first, second));
        let _program = start();
        assert_eq!(share(), Some(usual), "{level}: and so is the next");
    }
}

/// Set for a process that starts a launcher with a program in it, and dies.
const DIE: &str = "AGB_BATTERY_DIE";

/// Is that process, if it was asked to be.
pub(crate) fn die_if_asked() {
    let Some(workdir) = std::env::var_os(DIE) else { return };
    let launcher = Launcher::start("/proc/self/exe").expect("the launcher starts");
    let level = launcher.probe().best().expect("this machine offers one");
    let policy = Policy::new(level, workdir, 7);
    let (_child, _ends) =
        spawn(&launcher, &policy, &Command::new("/usr/bin/sleep").args(["60"])).expect("the program starts");
    println!("{}", groups(std::process::id()).join(" "));
    rustix::process::kill_process(rustix::process::getpid(), Signal::KILL).expect("it is this process");
}

/// The control groups that a process has locked.
fn groups(pid: u32) -> Vec<String> {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    let paths = fds.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
    let names = paths.filter_map(|path| path.to_str().map(str::to_owned));
    names.filter(|path| path.starts_with("/sys/fs/cgroup") && path.contains("/agb-")).collect()
}

pub(crate) fn control_groups_of_the_dead_are_removed(world: &World) {
    if world.launcher.control_groups().used.is_empty() {
        return println!("no control groups: not tested");
    }
    let workdir = world.policy(world.levels[0]).workdir;
    let dying = std::process::Command::new("/proc/self/exe").env(DIE, workdir).output().expect("it starts");
    let left: Vec<PathBuf> =
        String::from_utf8(dying.stdout).expect("text").split_whitespace().map(PathBuf::from).collect();
    assert!(!left.is_empty() && dying.status.signal() == Some(libc::SIGKILL), "{left:?}: {}", dying.status);
    let start = Instant::now();
    while left.iter().any(|path| path.exists()) {
        assert!(start.elapsed() < PATIENCE, "{left:?} are still there");
        drop(Launcher::start("/proc/self/exe").expect("the next one starts"));
    }
    // And what this process's own launcher has for sessions that are over goes with them.
    let own = groups(std::process::id());
    let sessions = || own.iter().filter_map(|path| std::fs::read_dir(path).ok()).flatten().flatten();
    while sessions().any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        assert!(start.elapsed() < PATIENCE, "there are groups of sessions that are over");
        std::thread::sleep(Duration::from_millis(5));
    }
}
