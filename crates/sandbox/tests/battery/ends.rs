//! Programs that do not end.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use agb_sandbox::{Command, Launcher, Level, ProgramEnd};
use rustix::process::{Pid, Signal};

use crate::world::{PATIENCE, World, line, spawn};

/// A program that leaves children, grandchildren and daemons behind, all of which carry the mark.
fn family(mark: &str) -> Command {
    let code = format!(
        r"
import os, time
for i in range(50):
    if os.fork() == 0:
        if i % 2: os.setsid()
        if i % 3 == 0 and os.fork(): os._exit(0)
        os.execv('/usr/bin/sleep', ['{mark}', '1000'])
print('ready', flush=True)
time.sleep(1000)
"
    );
    Command::new("/usr/bin/python3").args(["-I", "-S", "-c", &code])
}

/// The processes that have a word as their name.
pub(crate) fn marked(mark: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("there is /proc");
    let lines = entries.flatten().filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.starts_with(mark.as_bytes())).count()
}

pub(crate) fn nothing_outlives_a_sandbox(world: &World) {
    for level in world.levels.iter().copied().chain([Level::None]) {
        for by_drop in [false, true] {
            let mark = format!("agb-family-{}-{level}-{by_drop}", std::process::id());
            let (mut child, mut ends) =
                world.spawn(&world.policy(level), &family(&mark)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(line(&mut ends.output), "ready");
            await_marked(&mark, 50);
            let start = Instant::now();
            if by_drop {
                drop(child);
                await_marked(&mark, 0);
            } else {
                child.kill_all();
                let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("it ends");
                let took = start.elapsed();
                assert_eq!(status.signal(), Some(libc::SIGKILL), "{level}");
                assert_eq!(marked(&mark), 0, "{level}: `wait` says that nothing runs any more");
                println!("{level}: 51 processes ended after {:.1} ms", took.as_secs_f64() * 1e3);
            }
        }
    }
}

/// The first process of a sandbox, as this process sees it: the program's parent.
pub(crate) fn first_process(program: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{program}/stat")).expect("the program runs");
    let fields = stat.rsplit_once(')').expect("the name is in parentheses").1;
    fields.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).expect("its parent's number")
}

/// More than an end takes on a busy machine, and half of what it took when a program could slow its first process down.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A program does to its sandbox's first process what it can, and keeps all processors busy.
pub(crate) fn a_program_cannot_delay_its_end(world: &World) {
    let code = r"
import os, resource
def attempt(action):
    try: action()
    except OSError: pass
first = os.getppid()
attempt(lambda: os.kill(first, 19))
attempt(lambda: os.sched_setaffinity(first, {0}))
attempt(lambda: os.sched_setscheduler(first, os.SCHED_IDLE, os.sched_param(0)))
attempt(lambda: os.setpriority(os.PRIO_PROCESS, first, 19))
attempt(lambda: os.setpriority(os.PRIO_USER, 0, 19))
attempt(lambda: resource.prlimit(first, resource.RLIMIT_NOFILE, (0, 0)))
attempt(lambda: resource.prlimit(first, resource.RLIMIT_NPROC, (0, 0)))
for _ in range(150):
    if os.fork() == 0:
        os.setsid()
        while True: pass
print('ready', flush=True)
while True: pass
";
    for &level in &world.levels {
        let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
        let mut policy = world.policy(level);
        policy.limits.total_setsids = 1000; // it would be ended by that limit instead
        let (mut child, mut ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(line(&mut ends.output), "ready");
        let start = Instant::now();
        child.kill_all();
        assert!(child.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}");
        let took = start.elapsed();
        println!("{level}: 151 busy processes ended after {:.1} ms", took.as_secs_f64() * 1e3);
        assert!(took < SOON, "{level}: {took:?}");
    }
}

/// A first process that does not do its work, for whatever reason, is made to, or done without.
pub(crate) fn a_first_process_that_stands_still_delays_nothing(world: &World) {
    for &level in &world.levels {
        for signal in [Signal::STOP, Signal::KILL] {
            let mark = format!("agb-still-{}-{level}-{}", std::process::id(), signal.as_raw());
            let policy = world.policy(level);
            let (child, mut ends) = world.spawn(&policy, &family(&mark)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(line(&mut ends.output), "ready");
            await_marked(&mark, 50);
            let first = Pid::from_raw(first_process(child.id())).expect("the parent of a process that runs");
            rustix::process::kill_process(first, signal).unwrap_or_else(|error| panic!("{level}: {error}"));
            let start = Instant::now();
            assert!(world.launcher.end_slot(policy.slot, PATIENCE), "{level}");
            assert!(
                signal == Signal::KILL || marked(&mark) == 0,
                "{level}: `end_slot` says that nothing runs any more"
            );
            await_marked(&mark, 0);
            assert!(start.elapsed() < SOON, "{level}: {:?}", start.elapsed());
        }
    }
}

/// As many as there may be, each in a session and a group of its own, behind a command that has ended.
pub(crate) fn a_thousand_in_the_background_end_with_their_session(world: &World) {
    for &level in &world.levels {
        let mark = format!("agb-thousand-{}-{level}", std::process::id());
        let code = format!(
            "import os\nfor _ in range(1000):\n    if os.fork() == 0:\n        os.setsid()\n        \
             os.execv('/usr/bin/sleep', ['{mark}', '1000'])\nprint('ready', flush=True)"
        );
        let mut policy = world.policy(level);
        (policy.limits.processes, policy.limits.total_processes) = (1_100, 1_100);
        let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", &code]).keep_background();
        let (mut child, mut ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(line(&mut ends.output), "ready", "{level}");
        let start = Instant::now();
        while child.program_end() == ProgramEnd::NotYet {
            assert!(start.elapsed() < PATIENCE, "{level}: the command does not end");
        }
        await_marked(&mark, 1000);
        let start = Instant::now();
        assert!(world.launcher.end_slot(policy.slot, PATIENCE), "{level}");
        println!("{level}: 1000 in the background ended after {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(marked(&mark), 0, "{level}: `end_slot` says that nothing runs any more");
        assert!(start.elapsed() < SOON, "{level}: {:?}", start.elapsed());
    }
}

/// What a command leaves in the background goes on, is reached by the session's other programs, and ends with it.
pub(crate) fn the_background_of_a_session_lives_as_long_as_it(world: &World) {
    let serve = "echo word > index.html; python3 -I -m http.server --bind 127.0.0.1 8080 > log 2>&1 &\n\
                 until python3 -I -S -c \"import socket; socket.create_connection(('127.0.0.1', 8080))\" 2> /dev/null\n\
                 do :; done; echo serving";
    let ask = "import urllib.request\nprint(urllib.request.urlopen('http://127.0.0.1:8080/').read().decode().strip())";
    let ask_in = |policy: &agb_sandbox::Policy| {
        let command = Command::new("/usr/bin/python3").args(["-I", "-c", ask]);
        let (mut child, mut ends) = world.spawn(policy, &command).unwrap_or_else(|error| panic!("{error}"));
        child.wait_timeout(PATIENCE).expect("waiting works").expect("the program ends");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut ends.output, &mut text).expect("it prints text");
        text
    };
    for level in world.levels.iter().copied().filter(|level| level.has_namespaces()) {
        let policy = world.policy(level);
        let (_bystander, _ends) =
            world.spawn(&policy, &Command::new("/usr/bin/sleep").args(["1000"])).expect("the session's first starts");
        let command = Command::new("/bin/sh").args(["-c", serve]).keep_background();
        let (mut child, mut ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(line(&mut ends.output), "serving", "{level}");
        let start = Instant::now();
        let status = loop {
            if let ProgramEnd::Ended(status) = child.program_end() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "{level}: the shell has ended");
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(status.success(), "{level}: {status}");
        assert_eq!(child.wait_timeout(Duration::ZERO).expect("waiting works"), None, "{level}: the server goes on");
        assert_eq!(ask_in(&policy), "word\n", "{level}: another program of the session reaches it");
        assert!(ask_in(&world.policy(level)).contains("ConnectionRefused"), "{level}: another session does not");
        assert!(world.launcher.end_slot(policy.slot, PATIENCE), "{level}");
        assert!(child.wait_timeout(Duration::ZERO).expect("waiting works").is_some(), "{level}");
        assert_eq!(child.program_end(), ProgramEnd::Ended(status), "{level}: it keeps what was said");
        assert!(
            ask_in(&policy).contains("ConnectionRefused"),
            "{level}: the next session of the slot has nothing of it"
        );
    }
}

/// It goes when the last process in it does.
pub(crate) fn a_sandbox_ends_with_its_background(world: &World) {
    for level in world.levels.iter().copied().chain([Level::None]) {
        let shell = "(read word; echo heard $word; exec 1>&-) < /dev/fd/3 & exit 7";
        let command = Command::new("/bin/sh").args(["-c", shell]).keep_background();
        let (mut child, mut ends) =
            world.spawn(&world.policy(level), &command).unwrap_or_else(|error| panic!("{error}"));
        let start = Instant::now();
        while child.program_end() == ProgramEnd::NotYet {
            assert!(start.elapsed() < PATIENCE, "{level}: the shell has ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(child.wait_timeout(Duration::ZERO).expect("waiting works"), None, "{level}: the rest goes on");
        std::io::Write::write_all(&mut ends.to, b"it\n").expect("somebody reads it");
        assert_eq!(line(&mut ends.output), "heard it", "{level}");
        let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("it ends with its last process");
        assert_eq!(status.code(), Some(7), "{level}");
    }
}

pub(crate) fn await_marked(mark: &str, wanted: usize) {
    let start = Instant::now();
    while marked(mark) != wanted {
        assert!(start.elapsed() < PATIENCE, "{mark}: {} processes run, and {wanted} should", marked(mark));
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn nothing_outlives_the_launcher(world: &World) {
    for level in world.levels.iter().copied().chain([Level::None]) {
        for by_kill in [false, true] {
            let launcher = Launcher::start("/proc/self/exe").expect("the launcher starts");
            let mark = format!("agb-orphans-{}-{level}-{by_kill}", std::process::id());
            let (mut child, mut ends) =
                spawn(&launcher, &world.policy(level), &family(&mark)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(line(&mut ends.output), "ready");
            await_marked(&mark, 50);
            if by_kill {
                let pid = i32::try_from(launcher.id()).ok().and_then(Pid::from_raw);
                let pid = pid.expect("a child of ours that is not reaped yet");
                rustix::process::kill_process(pid, Signal::KILL).expect("it is ours");
            } else {
                drop(launcher);
            }
            assert!(child.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}");
            await_marked(&mark, 0);
        }
    }
}
