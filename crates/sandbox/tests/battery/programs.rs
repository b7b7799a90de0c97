//! What honest programs find, and how failures are told.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agb_sandbox::{Command, Level, Policy, SpawnError, Stage};

use crate::world::{PATIENCE, Removed, World, line};

pub(crate) fn programs_find_what_they_need(world: &World) {
    let code = r"
import os, socket, threading, subprocess, tempfile
word = os.read(3, 100); os.write(4, word.upper())
with open('/dev/fd/4', 'w') as again: again.write('!')
open('note', 'w').write('x'); print(oct(os.stat('note').st_mode & 0o777))
tempfile.NamedTemporaryFile().write(b'x')
thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()
print(subprocess.run(['sh', '-c', 'echo child $0', 'x'], capture_output=True, text=True).stdout.strip())
a, b = socket.socketpair(); a.send(b'pair'); print(b.recv(9).decode())
try: os.listdir('IMAGE'); open('IMAGE/new', 'w') if ISOLATED else print(0)
except OSError as error: print(error.errno)
print(sorted(os.environ)); print(os.environ['HOME'] == os.getcwd(), os.getuid() != 0)
try: open('/etc/debian_version').read()
except FileNotFoundError: pass
with open('room', 'w') as room: os.posix_fallocate(room.fileno(), 0, 1 << 20); print(os.stat('room').st_blocks * 512 >= 1 << 20)
import fcntl, struct, termios
reader, writer = os.pipe(); os.write(writer, b'four'); os.set_blocking(reader, False); os.set_inheritable(reader, True)
waits = struct.unpack('i', fcntl.ioctl(reader, termios.FIONREAD, bytes(4)))[0]
print(waits, os.isatty(reader), subprocess.run(['touch', 'note']).returncode)
";
    for level in world.levels.iter().copied().chain([Level::None]) {
        let mut policy = world.policy(level);
        policy.env = vec![("EXTRA".into(), "1".into())];
        let isolated = if level == Level::None { "False" } else { "True" };
        // Any directory that most machines have, and that a sandbox does not have by itself.
        let image = ["/opt", "/srv", "/mnt"].into_iter().find(|dir| std::fs::read_dir(dir).is_ok());
        policy.readonly = image.map(PathBuf::from).into_iter().collect();
        let command = Command::new("/usr/bin/python3").args([
            "-I",
            "-c",
            &code.replace("IMAGE", image.unwrap_or("/usr")).replace("ISOLATED", isolated),
        ]);
        let (mut child, mut ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
        ends.to.write_all(b"word").expect("the program reads it");
        let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("the program ends");
        let (mut text, mut answer) = (String::new(), String::new());
        ends.output.read_to_string(&mut text).expect("it prints text");
        ends.from.read_to_string(&mut answer).expect("it prints text");
        assert!(status.success(), "{level}: {status}: {text}");
        assert_eq!(answer, "WORD!", "{level}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..4], ["0o644", "thread", "child x", "pair"], "{level}");
        assert_eq!(lines[5], "['EXTRA', 'HOME', 'LANG', 'PATH', 'TMPDIR', 'TZ', 'USER']", "{level}");
        if level != Level::None {
            let refusal = if level.has_namespaces() { libc::EROFS } else { libc::EACCES };
            assert_eq!(lines[4], refusal.to_string(), "{level}");
            assert_eq!(lines[6], "True True", "{level}");
        }
        assert_eq!(lines[7], "True", "{level}: room for a file");
        assert_eq!(lines[8], "4 False 0", "{level}: requests of descriptors, and the time of a file");
        // The next sandbox of the session finds what this one has left.
        let (_, again) = world.python(&policy, "print(open('note').read())");
        assert_eq!(again, "x\n", "{level}");
    }
}

/// People clone, and keep their caches, below `/tmp`, which a sandbox has of its own.
pub(crate) fn an_image_below_tmp_is_shown_and_follows_no_link(world: &World) {
    let root = PathBuf::from(format!("/tmp/agb-image-{}", std::process::id()));
    let _removed = Removed(root.clone());
    let image = root.join("deep/image");
    std::fs::create_dir_all(&image).expect("/tmp can be written");
    std::fs::write(image.join("word"), "image\n").expect("it is ours");
    for level in world.levels.iter().copied() {
        for shared in [false, true] {
            let mut policy = world.policy(level);
            policy.readonly = vec![image.clone()];
            if shared {
                let tmp = policy.workdir.with_extension("tmp");
                std::fs::create_dir(&tmp).expect("the parent is ours");
                std::fs::set_permissions(&tmp, PermissionsExt::from_mode(0o777)).expect("it is ours");
                policy.tmp = Some(tmp);
            }
            let code = format!(
                "import os, tempfile\nprint(open('{0}/word').read(), end='')\n\
                 try: open('{0}/new', 'w')\nexcept OSError as error: print(error.errno)\n\
                 tempfile.NamedTemporaryFile().write(b'x')\n\
                 try: os.rename('{1}', '/tmp/away'); os.symlink('/etc', '{1}')\nexcept OSError: pass\n",
                image.display(),
                root.display()
            );
            let (status, text) = world.python(&policy, &code);
            assert!(status.success(), "{level}: {text}");
            let refusal = if level.has_namespaces() { libc::EROFS } else { libc::EACCES };
            assert_eq!(text, format!("image\n{refusal}\n"), "{level}");
            // In a /tmp that the session shares, there is a link now where the image's folder was.
            match world.spawn(&policy, &Command::new("/usr/bin/true")) {
                Ok(_) => assert!(!shared || !level.has_namespaces(), "{level}: a link was followed"),
                Err(SpawnError::Failed { stage: Stage::Mount, errno, .. }) => {
                    assert!(shared && [libc::ENOTDIR, libc::ELOOP].contains(&errno), "{level}: {errno}");
                }
                Err(error) => panic!("{level}: {error}"),
            }
        }
    }
}

/// A file of an image, too, whatever programs have put in its place: nothing there is waited for, and no link followed.
pub(crate) fn a_file_below_tmp_is_shown_whatever_lies_there(world: &World) {
    let root = PathBuf::from(format!("/tmp/agb-file-{}", std::process::id()));
    let _removed = Removed(root.clone());
    std::fs::create_dir(&root).expect("/tmp can be written");
    let word = root.join("word");
    std::fs::write(&word, "image\n").expect("it is ours");
    let show = format!("print(open('{}').read(), end='')", word.display());
    for level in world.levels.iter().copied().filter(|level| level.has_namespaces()) {
        for (kind, make) in [
            ("nothing", "0"),
            ("file", "open(PATH, 'w')"),
            ("pipe", "os.mkfifo(PATH)"),
            ("link", "os.symlink('/etc/passwd', PATH)"),
        ] {
            let mut policy = world.policy(level);
            policy.readonly = vec![word.clone()];
            let tmp = policy.workdir.with_extension("tmp");
            std::fs::create_dir(&tmp).expect("the parent is ours");
            std::fs::set_permissions(&tmp, PermissionsExt::from_mode(0o777)).expect("it is ours");
            policy.tmp = Some(tmp);
            let replace = format!(
                "import os; os.rename('{0}', '/tmp/away'); os.mkdir('{0}'); PATH = '{1}'; {make}",
                root.display(),
                word.display()
            );
            let (status, text) = world.python(&policy, &format!("{show}\n{replace}"));
            assert!(status.success() && text == "image\n", "{level}: {kind}: {text}");
            match world.spawn(&policy, &Command::new("/usr/bin/python3").args(["-I", "-S", "-c", &show])) {
                Ok((_child, mut ends)) => {
                    assert_eq!(line(&mut ends.output), "image", "{level}: {kind}");
                    assert_ne!(kind, "link", "{level}: it was followed");
                }
                Err(SpawnError::Failed { stage: Stage::Mount, errno: libc::ELOOP, .. }) => {
                    assert_eq!(kind, "link", "{level}");
                }
                Err(error) => panic!("{level}: {kind}: {error}"),
            }
        }
    }
}

/// As OpenMP does with OMP_PROC_BIND, and Java with thread priorities. At landlock a number may be the server's, and only the
/// thread itself is surely the program's own.
pub(crate) fn threads_are_scheduled_by_their_program(world: &World) {
    let code = r"
import os, resource, threading
def attempt(action):
    try: action(); return 'works'
    except OSError as error: return str(error.errno)
stop = threading.Event(); thread = threading.Thread(target=stop.wait); thread.start()
other, child = thread.native_id, os.fork()
if child == 0: os.read(0, 1); os._exit(0)
own = [lambda n: os.sched_setaffinity(n, os.sched_getaffinity(0)), lambda n: os.setpriority(os.PRIO_PROCESS, n, 19),
       lambda n: os.sched_setscheduler(n, os.SCHED_BATCH, os.sched_param(0)),
       lambda n: resource.prlimit(n, resource.RLIMIT_CORE, (0, 0))]
print(*[attempt(lambda: action(0)) for action in own], flush=True)
print(*[attempt(lambda: action(n)) for action in own for n in (other, child)], flush=True)
stop.set(); thread.join(); os._exit(0)
";
    for &level in &world.levels {
        let (status, text) = world.python(&world.policy(level), code);
        assert!(status.success(), "{level}: {text}");
        let others = if level.has_namespaces() { "works".to_owned() } else { libc::EPERM.to_string() };
        let expected = format!("works works works works\n{}\n", vec![others; 8].join(" "));
        assert_eq!(text, expected, "{level}");
    }
}

pub(crate) fn failures_name_the_step(world: &World) {
    for level in world.levels.iter().copied().chain([Level::None]) {
        let policy = world.policy(level);
        match world.spawn(&policy, &Command::new("/usr/bin/nothing-here")) {
            Err(SpawnError::Failed { stage: Stage::Exec, errno: libc::ENOENT, detail }) => {
                assert_eq!(detail, "/usr/bin/nothing-here");
            }
            other => panic!("{level}: {:?}", other.map(|(child, _)| child)),
        }
        let long = Command::new("/usr/bin/true").args(["x".repeat(1 << 20)]);
        let error = world.spawn(&policy, &long).map(|(child, _)| child).expect_err("it is too long");
        assert!(matches!(error, SpawnError::TooLarge { .. }), "{level}: {error}");
        let (mut child, _ends) = world.spawn(&policy, &Command::new("/usr/bin/true")).expect("the next one starts");
        assert!(child.wait().expect("waiting works").success(), "{level}");
        let shell = Command::new("/bin/sh").args(["-c", "kill -SEGV $$"]);
        let (mut child, _ends) = world.spawn(&policy, &shell).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(child.wait().expect("waiting works").signal(), Some(libc::SIGSEGV), "{level}");
    }
}

pub(crate) fn interrupt_reaches_the_group(world: &World) {
    let code = r"
import os, time
try: print('ready', flush=True); os.system('sleep 1000'); time.sleep(1000)
except KeyboardInterrupt: print('interrupted', flush=True)
";
    for level in world.levels.iter().copied().chain([Level::None]) {
        let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
        let (mut child, mut ends) =
            world.spawn(&world.policy(level), &command).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(line(&mut ends.output), "ready");
        // `system` ignores the signal in Python itself as long as the shell runs: the first is for the shell.
        while child.wait_timeout(Duration::from_millis(50)).expect("waiting works").is_none() {
            let _ = child.signal_group(libc::SIGINT);
        }
        assert_eq!(line(&mut ends.output), "interrupted", "{level}");
        assert!(child.wait().expect("waiting works").success(), "{level}");
        assert!(child.signal_group(libc::SIGINT).is_err(), "{level}: it is gone");
    }
}

pub(crate) fn starts_are_fast(world: &World) {
    const ROUNDS: usize = 40;
    let code = ["-I", "-S", "-c", "print(1)"];
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    let mut plain = Vec::new();
    let mut sandboxed: Vec<(Vec<Duration>, Vec<Duration>)> = vec![Default::default(); world.levels.len()];
    let policies: Vec<Policy> = world.levels.iter().map(|&level| world.policy(level)).collect();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut command = std::process::Command::new("/usr/bin/python3");
        let output = command.args(code).env_clear().stdout(std::process::Stdio::piped()).spawn();
        let mut child = output.expect("there is Python");
        child.stdout.take().expect("it is piped").read_exact(&mut [0]).expect("it prints");
        plain.push(start.elapsed());
        child.wait().expect("it is our child");
        for (policy, (started, printed)) in policies.iter().zip(&mut sandboxed) {
            let start = Instant::now();
            let command = Command::new("/usr/bin/python3").args(code);
            let (mut child, mut ends) = world.spawn(policy, &command).unwrap_or_else(|error| panic!("{error}"));
            started.push(start.elapsed());
            ends.output.read_exact(&mut [0]).expect("it prints");
            printed.push(start.elapsed());
            child.wait().expect("waiting works");
        }
    }
    println!("plain: first output after {:.1} ms", median(plain));
    for (level, (started, printed)) in world.levels.iter().zip(sandboxed) {
        println!("{level}: started after {:.1} ms, first output after {:.1} ms", median(started), median(printed));
    }
}

/// At the level landlock there are no mounts: what the program's user cannot reach, it cannot be shown.
pub(crate) fn an_image_out_of_reach_is_refused_in_words(world: &World) {
    for level in world.levels.iter().copied().filter(|&level| world.launcher.user_of(level, 0).is_some()) {
        let hidden = world.dir.join(format!("hidden-{level}"));
        std::fs::create_dir_all(hidden.join("image")).expect("the parent is ours");
        std::fs::set_permissions(&hidden, PermissionsExt::from_mode(0o700)).expect("it is ours");
        let mut policy = world.policy(level);
        policy.readonly = vec![hidden.join("image")];
        match world.spawn(&policy, &Command::new("/usr/bin/true")) {
            Ok(_) => assert!(level.has_namespaces(), "{level}: nobody else can pass through its parent"),
            Err(SpawnError::Failed { stage: Stage::Image, errno: libc::EACCES, detail }) => {
                assert!(!level.has_namespaces() && detail.ends_with("/image"), "{level}: {detail}");
            }
            Err(error) => panic!("{level}: {error}"),
        }
    }
}
