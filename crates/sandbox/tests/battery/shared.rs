//! Commands that share a process table: what they see of each other, and that each ends alone.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use agb_sandbox::{Child, Command, Launcher, Level, Policy, ProgramEnd};
use rustix::process::{Pid, Signal};

use crate::ends::{SOON, await_marked, first_process, marked};
use crate::world::{Ends, PATIENCE, World, line, spawn};

fn python(code: &str) -> Command {
    Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]).keep_background().share_processes()
}

fn shell(script: &str) -> Command {
    Command::new("/bin/sh").args(["-c", script]).keep_background().share_processes()
}

fn start(world: &World, policy: &Policy, command: &Command) -> (Child, Ends) {
    world.spawn(policy, command).unwrap_or_else(|error| panic!("{}: {error}", policy.level))
}

/// Runs a command to its end, with what it leaves in the background.
fn output(world: &World, policy: &Policy, command: &Command) -> String {
    let (mut child, mut ends) = start(world, policy, command);
    let mut text = String::new();
    ends.output.read_to_string(&mut text).expect("it prints text");
    child.wait_timeout(PATIENCE).expect("waiting works").expect("the command ends");
    text
}

fn await_program_end(child: &mut Child) -> ProgramEnd {
    let begin = Instant::now();
    loop {
        match child.program_end() {
            ProgramEnd::NotYet => assert!(begin.elapsed() < PATIENCE, "the command does not end"),
            end => return end,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The levels at which there is something to share.
fn levels(world: &World) -> impl Iterator<Item = Level> {
    world.levels.iter().copied().filter(|level| level.has_namespaces()).collect::<Vec<_>>().into_iter()
}

/// A command that leaves a sleeping process with this name in the background, and prints its number.
fn leave(mark: &str) -> Command {
    shell(&format!(
        "SECRET=word exec 3>&- 4>&-; python3 -I -S -c \"import os; os.execvp('sleep', ['{mark}', '1000'])\" > log 2>&1 & echo $!"
    ))
}

pub(crate) fn commands_see_and_end_each_other(world: &World) {
    for level in world.levels.iter().copied() {
        let policy = world.policy(level);
        let mark = format!("agb-seen-{}-{level}", std::process::id());
        let (mut first, mut ends) = start(world, &policy, &leave(&mark));
        let number = line(&mut ends.output);
        await_program_end(&mut first);
        await_marked(&mark, 1);
        let look = format!(
            "import os
def lines(name):
    try: return open('/proc/{number}/' + name, 'rb').read()
    except OSError as error: return str(error.errno).encode()
print({mark:?} in lines('cmdline').decode(), b'PATH=' in lines('environ'))
try: print(sorted(os.readlink('/proc/{number}/fd/' + fd).split('/')[-1] for fd in os.listdir('/proc/{number}/fd')))
except OSError: print('-')
try: os.kill({number}, 15)
except OSError as error: print(type(error).__name__)"
        );
        let other = output(world, &world.policy(level), &python(&look));
        assert!(!other.contains("True"), "{level}: another session's command sees nothing: {other}");
        if !first.shares_processes() {
            assert!(!level.has_namespaces(), "{level}: it shares its processes");
            assert_eq!(marked(&mark), 1, "{level}");
            continue;
        }
        let apart = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", &look]);
        assert!(
            !output(world, &policy, &apart).contains("True"),
            "{level}: a program that does not share sees nothing"
        );
        assert_eq!(marked(&mark), 1, "{level}");
        let seen = output(world, &policy, &python(&look));
        assert_eq!(seen, "True True\n['log', 'log', 'null']\n", "{level}");
        assert!(first.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}: its last process has ended");
        // By name, as everybody writes it.
        let (mut first, mut ends) = start(world, &policy, &leave(&mark));
        line(&mut ends.output);
        await_program_end(&mut first);
        await_marked(&mark, 1);
        assert_eq!(output(world, &policy, &shell("cat /proc/*/cmdline | tr '\\0' ' ' | grep -c [a]gb-seen")), "1\n");
        let end = format!(
            "for at in /proc/[0-9]*; do grep -q ^{mark} $at/cmdline && kill ${{at#/proc/}}; done 2> /dev/null; kill -9 -1"
        );
        assert_eq!(output(world, &policy, &shell(&end)), "", "{level}");
        await_marked(&mark, 0);
        assert_eq!(output(world, &policy, &shell("echo lives")), "lives\n", "{level}: the table does");
    }
}

/// Those that leave nobody time: each is gone when its child is there.
const RACERS: &str = "
import os
for _ in range(40):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork(): os._exit(0)
print('ready', flush=True)
while True: pass
";

pub(crate) fn a_command_ends_alone(world: &World) {
    for level in levels(world) {
        let policy = world.policy(level);
        let mark = format!("agb-stays-{}-{level}", std::process::id());
        let (mut stays, mut ends) = start(world, &policy, &leave(&mark));
        line(&mut ends.output);
        await_program_end(&mut stays);
        await_marked(&mark, 1);
        // What has a session of its own, and what has lost its parents, is the command's nevertheless.
        let gone = format!("agb-gone-{}-{level}", std::process::id());
        let family = format!(
            "import os, time
for i in range(50):
    if os.fork() == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        os.execv('/usr/bin/sleep', ['{gone}', '1000'])
print('ready', flush=True)
time.sleep(1000)"
        );
        let (mut child, mut ends) = start(world, &policy, &python(&family));
        assert_eq!(line(&mut ends.output), "ready", "{level}");
        await_marked(&gone, 50);
        let begin = Instant::now();
        child.kill_all();
        assert!(child.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}");
        assert_eq!((marked(&gone), marked(&mark)), (0, 1), "{level}");
        println!("{level}: 51 processes of a command ended after {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);

        let (mut child, mut ends) = start(world, &policy, &python(RACERS));
        assert_eq!(line(&mut ends.output), "ready", "{level}");
        let begin = Instant::now();
        child.kill_all();
        assert!(child.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}");
        println!("{level}: 40 that race their end ended after {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
        assert!(begin.elapsed() < SOON, "{level}: {:?}", begin.elapsed());
        assert_eq!(marked(&mark), 1, "{level}: the others go on");
        assert_eq!(
            output(world, &policy, &shell("set -- /proc/[0-9]*; echo $#")),
            "5\n",
            "{level}: nothing else is there"
        );
        assert!(world.launcher.end_slot(policy.slot, PATIENCE), "{level}");
        assert_eq!(marked(&mark), 0, "{level}: it ends with its session");
        assert!(stays.wait_timeout(Duration::ZERO).expect("waiting works").is_some(), "{level}");
    }
}

/// A start that the end of its session has overtaken makes a process table once more.
pub(crate) fn a_start_behind_the_end_of_its_slot_leaves_nothing(world: &World) {
    for level in levels(world) {
        let policy = world.policy(level);
        let mark = format!("agb-behind-{}-{level}", std::process::id());
        assert!(world.launcher.end_slot(policy.slot, PATIENCE), "{level}");
        let late = python(&format!("import time; print('ready', flush=True); time.sleep(100) # {mark}"));
        let (mut child, mut ends) = start(world, &policy, &late);
        assert_eq!(line(&mut ends.output), "ready", "{level}");
        let with = tables(world);
        assert!(with > 0, "{level}: a command has a process table");
        world.launcher.forget_slot(policy.slot);
        assert!(child.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}: it is ended");
        drop(child);
        await_marked(&mark, 0);
        let begin = Instant::now();
        while tables(world) == with {
            assert!(begin.elapsed() < PATIENCE, "{level}: the table ends");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(world.launcher.end_slot(policy.slot, Duration::ZERO), "{level}: nothing of it runs");
    }
}

/// How many process tables there are.
fn tables(world: &World) -> usize {
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let is_table = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "agb-processes")
            && std::iter::successors(Some(*pid), |pid| parent(*pid)).any(|pid| pid == world.launcher.id())
    };
    let all = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_table).count()
}

/// A command does to the supervisor of another one what it can: it is the same user.
pub(crate) fn what_loses_its_supervisor_ends(world: &World) {
    for level in levels(world) {
        for signal in ["KILL", "STOP", "TERM", "HUP"] {
            let policy = world.policy(level);
            let mark = format!("agb-lost-{}-{level}-{signal}", std::process::id());
            let script = format!(
                "import os, time, ctypes
ctypes.CDLL(None).prctl(1, 0)
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        os.execv('/usr/bin/sleep', ['{mark}', '1000'])
print(os.getppid(), flush=True)
time.sleep(1000)"
            );
            let (mut child, mut ends) = start(world, &policy, &python(&script));
            let supervisor = line(&mut ends.output);
            await_marked(&mark, 20);
            let attack = format!(
                "for name in mem environ fd/10 root/bin cwd; do cat /proc/{supervisor}/$name /proc/1/$name; done 2> /dev/null\n\
                 kill -KILL 1; kill -STOP 1; kill -{signal} {supervisor}; echo done"
            );
            let begin = Instant::now();
            assert_eq!(output(world, &policy, &shell(&attack)), "done\n", "{level}");
            if signal == "TERM" || signal == "HUP" {
                assert_eq!(child.program_end(), ProgramEnd::NotYet, "{level}: it takes no notice of SIG{signal}");
            }
            if signal == "KILL" {
                await_marked(&mark, 0);
                let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("it has ended");
                assert_eq!(status.signal(), Some(libc::SIGKILL), "{level}");
            } else {
                child.kill_all();
                assert!(child.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}");
                await_marked(&mark, 0);
            }
            assert!(begin.elapsed() < SOON, "{level}: {:?}", begin.elapsed());
            assert_eq!(output(world, &policy, &shell("echo lives")), "lives\n", "{level}: the table does");
        }
    }
}

/// Another command stops the supervisor as often as it is woken, while what is below races its end.
pub(crate) fn an_end_that_others_hinder_comes(world: &World) {
    for level in levels(world) {
        let policy = world.policy(level);
        let racers = format!("import os\nprint(os.getppid(), flush=True)\n{RACERS}");
        let (mut child, mut ends) = start(world, &policy, &python(&racers));
        let supervisor = line(&mut ends.output);
        assert_eq!(line(&mut ends.output), "ready", "{level}");
        let hinder = format!(
            "import os\nprint('ready', flush=True)\nwhile True:\n    try: os.kill({supervisor}, 19)\n    \
             except ProcessLookupError: break\nprint('gone', flush=True)"
        );
        let (mut other, mut others) = start(world, &policy, &python(&hinder));
        assert_eq!(line(&mut others.output), "ready", "{level}");
        let begin = Instant::now();
        child.kill_all();
        assert!(child.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}");
        println!("{level}: an end that others hinder came after {:.1} s", begin.elapsed().as_secs_f64());
        assert_eq!(line(&mut others.output), "gone", "{level}");
        assert!(other.wait_timeout(PATIENCE).expect("waiting works").is_some_and(|status| status.success()), "{level}");
        // What the supervisor has left is ended a moment later.
        let alone = || output(world, &policy, &shell("set -- /proc/[0-9]*; echo $#")) == "3\n";
        while !alone() {
            assert!(begin.elapsed() < PATIENCE, "{level}: something is left");
        }
    }
}

pub(crate) fn a_stopped_supervisor_does_not_keep_its_session(world: &World) {
    for level in levels(world) {
        let policy = world.policy(level);
        let mark = format!("agb-thousand-shared-{}-{level}", std::process::id());
        let code = format!(
            "import os\nfor _ in range(1000):\n    if os.fork() == 0:\n        os.setsid()\n        \
             os.execv('/usr/bin/sleep', ['{mark}', '1000'])\nprint('ready', flush=True)"
        );
        let mut policy_of_many = policy.clone();
        (policy_of_many.limits.processes, policy_of_many.limits.total_processes) = (1_100, 1_200);
        let (mut many, mut ends) = start(world, &policy_of_many, &python(&code));
        assert_eq!(line(&mut ends.output), "ready", "{level}");
        await_program_end(&mut many);
        await_marked(&mark, 1000);
        let (other, _ends) = start(world, &policy_of_many, &shell("sleep 1000"));
        let supervisor = Pid::from_raw(first_process(other.id())).expect("the parent of a process that runs");
        rustix::process::kill_process(supervisor, Signal::STOP).unwrap_or_else(|error| panic!("{level}: {error}"));
        let begin = Instant::now();
        many.kill_all();
        assert!(many.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}");
        println!("{level}: 1000 in the background ended after {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
        assert_eq!(marked(&mark), 0, "{level}");
        assert!(world.launcher.end_slot(policy.slot, PATIENCE), "{level}");
        assert!(begin.elapsed() < SOON, "{level}: {:?}", begin.elapsed());
    }
}

/// The limit of processes is one for all of them, and what is in a table outlives no launcher.
pub(crate) fn a_table_has_its_limits(world: &World) {
    for level in levels(world) {
        let mut policy = world.policy(level);
        policy.limits.processes = 20;
        let code = "import os, time
made = 0
try:
    while made < 100:
        if os.fork() == 0: time.sleep(1000)
        made += 1
except OSError: pass
print(made, flush=True)
time.sleep(1000)";
        let (_first, mut ends) = start(world, &policy, &python(code));
        let made: u32 = line(&mut ends.output).parse().expect("a number");
        assert!((17..=20).contains(&made), "{level}: {made}");
        let (_second, mut ends) = start(world, &policy, &python(code));
        assert_eq!(line(&mut ends.output), "0", "{level}: the first has all");
        assert!(world.launcher.end_slot(policy.slot, PATIENCE), "{level}");

        let launcher = Launcher::start("/proc/self/exe").expect("the launcher starts");
        let mark = format!("agb-shared-orphan-{}-{level}", std::process::id());
        let (mut child, mut ends) =
            spawn(&launcher, &world.policy(level), &leave(&mark)).unwrap_or_else(|error| panic!("{error}"));
        line(&mut ends.output);
        await_marked(&mark, 1);
        let pid = i32::try_from(launcher.id()).ok().and_then(Pid::from_raw).expect("a child of ours");
        rustix::process::kill_process(pid, Signal::KILL).expect("it is ours");
        assert!(child.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}");
        await_marked(&mark, 0);
    }
}

/// While they are made, too: they are the same user for a while before they have given up everything.
pub(crate) fn nobody_looks_into_a_supervisor(world: &World) {
    let look = "
import os, select, sys
seen, opened = set(), []
print('ready', flush=True)
while not select.select([3], [], [], 0)[0]:
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try: parent = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[1]
        except OSError: continue
        if parent != '0': continue
        seen.add(pid)
        for name in 'mem', 'environ', 'maps', 'root/proc', 'fd/0':
            try: file = os.open(f'/proc/{pid}/{name}', os.O_RDONLY)
            except OSError: continue
            # Of one that is ending, and has no memory any more, everybody may open the empty list of it; of one that has
            # ended since there is none to read.
            try: has_any = name != 'maps' or os.read(file, 1)
            except OSError: has_any = False
            if has_any: opened.append((pid, name))
            os.close(file)
    os.kill(1, 9)
print(len(seen) > 10, opened)
";
    for level in levels(world) {
        let policy = world.policy(level);
        let (mut child, mut ends) = start(world, &policy, &python(look));
        assert_eq!(line(&mut ends.output), "ready", "{level}");
        for _ in 0..40 {
            assert_eq!(output(world, &policy, &shell("echo lives")), "lives\n", "{level}");
        }
        std::io::Write::write_all(&mut ends.to, b"end\n").expect("somebody reads it");
        assert_eq!(line(&mut ends.output), "True []", "{level}: enough were seen, and none was opened");
        child.wait_timeout(PATIENCE).expect("waiting works").expect("the command ends");
    }
}

/// What sharing costs. Bounded by nothing but patience: how long a start takes is the machine's matter.
pub(crate) fn starts_in_a_table_are_fast(world: &World) {
    for level in levels(world) {
        let policy = world.policy(level);
        let median = |command: &Command| {
            let mut took: Vec<Duration> = (0..60)
                .map(|_| {
                    let begin = Instant::now();
                    let (mut child, _ends) = start(world, &policy, command);
                    assert!(
                        child.wait_timeout(PATIENCE).expect("waiting works").is_some_and(|status| status.success())
                    );
                    begin.elapsed()
                })
                .collect();
            took.sort_unstable();
            took[30].as_secs_f64() * 1e3
        };
        let apart = median(&Command::new("/bin/sh").args(["-c", "true"]).keep_background());
        println!("{level}: `sh -c true` apart {apart:.1} ms, in a table {:.1} ms", median(&shell("true")));
    }
}
