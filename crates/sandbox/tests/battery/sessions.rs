//! Limits of a session as a whole, against programs that are many, live short, or do nothing until they do all at once.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use agb_sandbox::{Child, Command, Controller, Exceeded, Level, Policy, SpawnError};

use crate::world::{Ends, PATIENCE, World, line};

/// The programs of different sandboxes have the same host user: the server's.
fn share_user(world: &World, level: Level) -> bool {
    !level.has_namespaces() && world.launcher.user_of(level, 0).is_none()
}

fn python(code: &str) -> Command {
    Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code])
}

fn start(world: &World, policy: &Policy, code: &str) -> (Child, Ends) {
    world.spawn(policy, &python(code)).unwrap_or_else(|error| panic!("{}: {error}", policy.level))
}

/// Each program writes less than anybody sees at once, and has ended before anybody looks.
pub(crate) fn a_full_session_only_removes_files(world: &World) {
    const LIMIT: Exceeded = Exceeded::Disk(4 << 20);
    let attempts = r"
import errno, mmap, os
def attempt(name, action):
    try: action(); print(name, 'WORKED')
    except OSError as error: print(name, errno.errorcode[error.errno])
attempt('a new file', lambda: open('new', 'w'))
attempt('a file that is there', lambda: open('small', 'a'))
attempt('a hole in one', lambda: mmap.mmap(os.open('sparse', os.O_RDWR), 1 << 20))
attempt('a new folder', lambda: os.mkdir('folder'))
attempt('a new link', lambda: os.symlink('small', 'link'))
attempt('one name more', lambda: os.link('small', 'other'))
attempt('a file without a name', lambda: os.open('.', os.O_TMPFILE | os.O_WRONLY))
attempt('a temporary file', lambda: open(os.environ['TMPDIR'] + '/new', 'w'))
open('/dev/null', 'w').write('x'); print(open('small').read())
";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        let tmp = world.dir.join(format!("tmp-{}", policy.slot));
        std::fs::create_dir(&tmp).expect("the parent is ours");
        policy.tmp = Some(tmp);
        policy.limits.disk = 4 << 20;
        let (status, text) =
            world.python(&policy, "open('small', 'w').write('x'); open('sparse', 'w').truncate(1 << 30)");
        assert!(status.success(), "{level}: {text}");
        let begin = Instant::now();
        let mut written = 0;
        loop {
            let shell = ["-c".to_owned(), format!("head -c 1000000 /dev/zero > a{written}")];
            let (mut program, _ends) = world
                .spawn(&policy, &Command::new("/bin/sh").args(shell).even_when_full())
                .unwrap_or_else(|error| panic!("{level}: {error}"));
            let _ = program.wait_timeout(PATIENCE).expect("waiting works").expect("it ends");
            if program.only_removes().is_some() {
                assert_eq!(program.only_removes(), Some(LIMIT), "{level}");
                break;
            }
            written += 1;
            assert!(begin.elapsed() < PATIENCE, "{level}: {written} MB were written");
        }
        let refused = world.spawn(&policy, &python("pass")).map(drop).expect_err("it could write");
        assert_eq!(refused, SpawnError::Full(LIMIT), "{level}");
        let (mut program, mut ends) =
            world.spawn(&policy, &python(attempts).even_when_full()).unwrap_or_else(|error| panic!("{level}: {error}"));
        program.wait_timeout(PATIENCE).expect("waiting works").expect("it ends");
        let mut text = String::new();
        ends.output.read_to_string(&mut text).expect("it prints text");
        let names = [
            "a new file",
            "a file that is there",
            "a hole in one",
            "a new folder",
            "a new link",
            "one name more",
            "a file without a name",
            "a temporary file",
        ];
        let refused = |name: &str| ["EACCES", "EXDEV", "EPERM"].map(|error| format!("{name} {error}"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), names.len() + 1, "{level}: {text}");
        for (name, line) in names.iter().zip(&lines) {
            assert!(refused(name).iter().any(|expected| expected == line), "{level}: {line}");
        }
        assert_eq!(lines.last(), Some(&"x"), "{level}: what is there can be read");
        let shell = Command::new("/bin/sh").args(["-c", "rm a*"]).even_when_full();
        let (mut program, _ends) = world.spawn(&policy, &shell).unwrap_or_else(|error| panic!("{level}: {error}"));
        assert!(program.wait().expect("waiting works").success(), "{level}");
        let (status, text) = world.python(&policy, "open('new', 'w').write('y')");
        assert!(status.success(), "{level}: there is room again: {text}");
    }
}

/// The program is killed for that.
fn is_killed(world: &World, policy: &Policy, code: &str, exceeded: Exceeded) {
    let (mut program, _ends) = start(world, policy, code);
    let ended = program.wait_timeout(PATIENCE).expect("waiting works");
    assert_eq!(program.exceeded(), Some(exceeded), "{}: {ended:?}", policy.level);
}

pub(crate) fn open_files_of_a_session_are_bounded(world: &World) {
    let code = "import os, time\nfor _ in range(9):\n    if os.fork() == 0: break\n\
                kept = [os.open('/dev/null', 0) for _ in range(300)]\ntime.sleep(100)";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.total_open_files = 2_000;
        is_killed(world, &policy, code, Exceeded::OpenFiles(2_000));
    }
}

/// Connections that nobody accepts, closed by who made them: no process has them open.
pub(crate) fn connections_of_a_session_are_bounded(world: &World) {
    let code = "import socket, time\nlistener = socket.create_server(('127.0.0.1', 0), backlog=1000)\n\
                for _ in range(400): socket.create_connection(listener.getsockname()).close()\ntime.sleep(100)";
    for &level in world.levels.iter().filter(|level| level.has_namespaces()) {
        let mut policy = world.policy(level);
        policy.limits.total_connections = 300;
        is_killed(world, &policy, code, Exceeded::Connections(300));
    }
}

/// The same of sockets that are no internet's: each connection leaves two.
pub(crate) fn local_connections_of_a_session_are_bounded(world: &World) {
    let code = "import socket, time\nkept = []\nfor name in range(40):\n    listener = socket.socket(socket.AF_UNIX)\n    \
                listener.bind(f'\\0agb-{name}')\n    listener.listen(100)\n    kept.append(listener)\n    \
                for _ in range(10):\n        one = socket.socket(socket.AF_UNIX)\n        \
                one.connect(f'\\0agb-{name}')\n        one.close()\ntime.sleep(100)";
    for &level in world.levels.iter().filter(|level| level.has_namespaces()) {
        let mut policy = world.policy(level);
        policy.limits.total_connections = 500;
        is_killed(world, &policy, code, Exceeded::Connections(500));
    }
}

/// What is watched by `epoll` is the kernel's memory, and counts for a user, who may be the server's.
pub(crate) fn watches_of_a_session_are_bounded(world: &World) {
    let code = "import os, select, time\nread, _ = os.pipe()\nends = [os.dup(read) for _ in range(100)]\nkept = []\n\
                for _ in range(30):\n    one = select.epoll()\n    kept.append(one)\n    \
                for end in ends: one.register(end)\ntime.sleep(100)";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.total_watches = 2_000;
        is_killed(world, &policy, code, Exceeded::Watches(2_000));
        policy.limits.total_watches = 4_000;
        let (mut program, _ends) = start(world, &policy, code);
        let ended = program.wait_timeout(Duration::from_secs(1)).expect("waiting works");
        assert_eq!((ended, program.exceeded()), (None, None), "{level}: 3,000 are allowed");
    }
}

/// Where each `setsid` has a share of the processors, a session has a limited number of them; elsewhere they cost nothing.
pub(crate) fn setsids_of_a_session_are_bounded(world: &World) {
    if std::fs::read_to_string(AUTOGROUPS).is_ok_and(|text| text.trim() != "1") {
        return println!("no share of the processors for each setsid: not tested");
    }
    let counts = !world.launcher.control_groups().has(Controller::Processors);
    let code = |count: u32, work: &str| {
        format!(
            "import os, time\nfor _ in range({count}):\n    if os.fork() == 0:\n        os.setsid()\n        \
             if os.fork() == 0: {work}\n        os._exit(0)\ntime.sleep(3)\nprint('all there')"
        )
    };
    let (busy, idle) = ("exec('while True: pass')", "time.sleep(100)");
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.total_setsids = 20;
        let allowed = |code: &str| {
            let (status, text) = world.python(&policy, code);
            assert!(status.success() && text == "all there\n", "{level}: {status}: {text}");
        };
        allowed(&code(15, busy));
        allowed(&code(100, idle));
        if counts {
            is_killed(world, &policy, &code(30, busy), Exceeded::Setsids(20));
        } else {
            allowed(&code(30, busy));
        }
    }
}

/// Where the kernel says whether each `setsid` has a share of the processors.
pub(crate) const AUTOGROUPS: &str = "/proc/sys/kernel/sched_autogroup_enabled";

/// Has the kernel give them while this lives, if this process is root.
pub(crate) struct Autogroups(Option<String>);

impl Autogroups {
    pub(crate) fn on() -> Self {
        let before = std::fs::read_to_string(AUTOGROUPS).ok();
        Self(before.filter(|_| std::fs::write(AUTOGROUPS, "1").is_ok()))
    }
}

impl Drop for Autogroups {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            std::fs::write(AUTOGROUPS, before).expect("it could be written before");
        }
    }
}

/// What the kernel has for the server's user, timers and signals that wait, is not one session's.
pub(crate) fn timers_of_a_session_are_bounded(world: &World) {
    let many = "import ctypes, os, time\nlibc = ctypes.CDLL(None)\ntimer = ctypes.c_void_p()\n\
                while libc.syscall(222 if os.uname().machine == 'x86_64' else 107, 1, None, ctypes.byref(timer)) == 0: pass\nprint('no more', flush=True)\ntime.sleep(100)";
    let one = "import ctypes, os\ntimer = ctypes.c_void_p()\n\
               print(ctypes.CDLL(None).syscall(222 if os.uname().machine == 'x86_64' else 107, 1, None, ctypes.byref(timer)))";
    for &level in world.levels.iter().filter(|level| share_user(world, **level)) {
        let (mut first, _ends) = start(world, &world.policy(level), many);
        let ended = first.wait_timeout(PATIENCE).expect("waiting works");
        assert!(matches!(first.exceeded(), Some(Exceeded::Signals(_))), "{level}: {ended:?}");
        let (_, text) = world.python(&world.policy(level), one);
        assert_eq!(text, "0\n", "{level}: another session has none");
    }
}

/// A number that the kernel keeps for a user must not be what one session takes from another.
pub(crate) fn processes_of_a_session_are_its_own(world: &World) {
    let waits = "import os, time\nprint('ready', flush=True); os.read(3, 1)\n\
                 for _ in range(10):\n    if os.fork() == 0: time.sleep(100)\nprint('has all', flush=True)";
    let many = "import os, time\nfor _ in range(35):\n    if os.fork() == 0: time.sleep(100)\n\
                print('ready', flush=True); time.sleep(100)";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.processes = 40;
        let (mut other, mut other_ends) = start(world, &policy, waits);
        assert_eq!(line(&mut other_ends.output), "ready", "{level}");
        let mut hostile = Vec::new();
        for _ in 0..3 {
            let mut policy = world.policy(level);
            policy.limits.processes = 40;
            hostile.push(start(world, &policy, many));
            let ready = line(&mut hostile.last_mut().expect("it was pushed").1.output);
            assert_eq!(ready, "ready", "{level}");
        }
        other_ends.to.write_all(b"x").expect("it reads");
        assert_eq!(line(&mut other_ends.output), "has all", "{level}");
        other.kill_all();
        other.wait().expect("waiting works");
    }
}

/// Where the kernel would count the processes of all sessions together, the server counts.
pub(crate) fn processes_are_counted_where_users_are_shared(world: &World) {
    let code = "import os, time\nfor _ in range(50):\n    if os.fork() == 0: time.sleep(100)\ntime.sleep(100)";
    for level in world.levels.iter().copied().filter(|level| share_user(world, *level)) {
        let mut policy = world.policy(level);
        policy.limits.processes = 20;
        is_killed(world, &policy, code, Exceeded::Processes(20));
    }
}

/// Programs that are within their own limits, and together above the session's.
pub(crate) fn processes_of_a_session_are_counted(world: &World) {
    if world.launcher.control_groups().has(Controller::Processes) {
        return println!("control groups keep it: not tested");
    }
    let code = "import os, time\nfor _ in range(9):\n    if os.fork() == 0: break\ntime.sleep(100)";
    for &level in &world.levels {
        let mut policy = world.policy(level);
        policy.limits.total_processes = 25;
        let mut programs: Vec<_> = (0..3).map(|_| start(world, &policy, code)).collect();
        let begin = Instant::now();
        while programs.iter().all(|(program, _)| program.exceeded().is_none()) {
            assert!(begin.elapsed() < PATIENCE, "{level}: thirty processes live");
            std::thread::sleep(Duration::from_millis(5));
        }
        let killed: Vec<_> = programs.iter().filter_map(|(program, _)| program.exceeded()).collect();
        assert_eq!(killed, [Exceeded::TotalProcesses(25)], "{level}: the others are below it");
        programs.iter_mut().for_each(|(program, _)| program.kill_all());
    }
}
