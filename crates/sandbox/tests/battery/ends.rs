//! Programs that do not end.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use agb_sandbox::{Command, Launcher, Level};

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
fn marked(mark: &str) -> usize {
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

fn await_marked(mark: &str, wanted: usize) {
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
                let pid = i32::try_from(launcher.id()).expect("a process number is an int");
                // SAFETY: a system call on integers; the launcher is a child of ours that is not reaped yet.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            } else {
                drop(launcher);
            }
            assert!(child.wait_timeout(PATIENCE).expect("waiting works").is_some(), "{level}");
            await_marked(&mark, 0);
        }
    }
}
