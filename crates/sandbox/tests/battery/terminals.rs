//! Programs on a terminal: it is theirs and no other's, and they are hung up with it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use agb_sandbox::{Child, Command, Level, Terminal};

use crate::world::{PATIENCE, World};

fn start(world: &World, level: Level, code: &str) -> (Child, Terminal) {
    let (terminal, theirs) = Terminal::open(91, 31).expect("this machine has terminals");
    let null = std::fs::File::open("/dev/null").expect("there is /dev/null");
    let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]).on_terminal();
    let fds = [theirs.as_fd(), theirs.as_fd(), theirs.as_fd(), null.as_fd(), null.as_fd()];
    let child = world.launcher.spawn(&world.policy(level), &command, fds).unwrap_or_else(|error| panic!("{error}"));
    (child, terminal)
}

/// What is shown up to this.
fn until(terminal: &Terminal, wanted: &str) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    let deadline = Instant::now() + PATIENCE;
    while !text.contains(wanted) {
        assert!(Instant::now() < deadline, "{wanted:?} is not in {text:?}");
        match terminal.read(&mut buffer) {
            Ok(read) => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => panic!("{error}: {text:?}"),
        }
    }
    text
}

pub(crate) fn a_terminal_is_its_programs_and_no_others(world: &World) {
    const CODE: &str = r"
import fcntl, os, signal, struct, termios, time
assert all(os.isatty(fd) for fd in (0, 1, 2)) and os.getsid(0) == os.getpid() == os.tcgetpgrp(0)
assert os.get_terminal_size() == (91, 31)
own = os.open('/dev/tty', os.O_RDWR)
assert os.tcgetpgrp(own) == os.getpid()
for path in ('/dev/stdout', '/proc/self/fd/1'):
    if os.path.exists(path):
        os.close(os.open(path, os.O_WRONLY | os.O_NOCTTY))
# It has its name, as programs such as `tty` and `mesg` look for it.
name = os.ttyname(0)
assert name.startswith('/dev/pts/') and os.stat(name).st_rdev == os.fstat(0).st_rdev, name
os.close(os.open(name, os.O_RDWR | os.O_NOCTTY))
def refused(what, *numbers):
    try:
        what()
    except OSError as error:
        assert error.errno in numbers, error
    else:
        raise AssertionError(numbers)
import errno
# There are no other terminals here, and none can be made or looked for.
refused(lambda: os.open('/dev/ptmx', os.O_RDWR), errno.ENOENT, errno.EACCES, errno.EPERM)
refused(lambda: os.open('OTHER', os.O_RDWR | os.O_NOCTTY), errno.ENOENT, errno.EACCES, errno.EPERM)
refused(lambda: os.open('/dev/console', os.O_RDWR | os.O_NOCTTY), errno.ENOENT, errno.EACCES, errno.EPERM)
refused(lambda: os.open('/dev/tty1', os.O_RDWR | os.O_NOCTTY), errno.ENOENT, errno.EACCES, errno.EPERM)
# What a console can do and what takes another's terminal.
refused(lambda: fcntl.ioctl(0, 0x541C, b'\x02'), errno.ENOTTY, errno.EPERM, errno.EINVAL)
refused(lambda: fcntl.ioctl(0, termios.TIOCCONS), errno.EPERM, errno.EBUSY, errno.EINVAL)
# Job control: a child in the foreground gets Ctrl-C, and this process does not.
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.signal(signal.SIGWINCH, lambda *_: os.write(1, f'now {os.get_terminal_size()}\n'.encode()))
child = os.fork()
if child == 0:
    # The signal itself ends it: Python's own handler could come a moment before the sleep, which would then last.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    print('ready', flush=True)
    time.sleep(1000)
    os._exit(1)
_, status = os.waitpid(child, 0)
os.tcsetpgrp(0, os.getpgrp())
print('child ended by', os.WTERMSIG(status), flush=True)
while True: time.sleep(0.05)
";
    // Another of the same user's, which is there all the time.
    let (_other, its) = Terminal::open(80, 24).expect("this machine has terminals");
    let other = std::fs::read_link(format!("/proc/self/fd/{}", its.as_raw_fd())).expect("it has a name");
    let code = CODE.replace("OTHER", &other.to_string_lossy());
    for level in world.levels.iter().copied().chain([Level::None]) {
        // Without isolation the host's terminals are there.
        let code = if level == Level::None {
            code.replace("refused(lambda", "(lambda *_: None)(lambda")
        } else {
            code.clone()
        };
        let (mut child, terminal) = start(world, level, &code);
        until(&terminal, "ready");
        terminal.write(b"\x03").expect("it is typed");
        until(&terminal, "child ended by 2");
        terminal.resize(120, 40).expect("it takes a size");
        until(&terminal, "columns=120, lines=40");
        // Closing it is the end of what does not ignore that.
        drop(terminal);
        let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("it ends");
        assert_eq!(status.signal(), Some(libc::SIGHUP), "{level}");
    }
}

pub(crate) fn what_ignores_a_hang_up_ends_with_its_sandbox(world: &World) {
    const CODE: &str = r"
import os, signal, time
signal.signal(signal.SIGHUP, signal.SIG_IGN)
r, w = os.pipe()
if os.fork() == 0:
    os.setsid(); os.write(w, b'x')
else:
    os.read(r, 1); print('ready', flush=True)
while True: time.sleep(0.05)
";
    for level in world.levels.iter().copied() {
        let (mut child, terminal) = start(world, level, CODE);
        until(&terminal, "ready");
        drop(terminal);
        assert_eq!(
            child.wait_timeout(Duration::from_millis(200)).expect("waiting works"),
            None,
            "{level}: it ignores it"
        );
        child.kill_all();
        let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("it ends");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{level}");
    }
}
