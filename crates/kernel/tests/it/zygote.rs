//! Kernels that are copies of a zygote: what they may do is what others may.
//!
//! `AGB_TEST_ZYGOTE=1` runs all tests of Python with copies.

use agb_kernel::{Kernel, KernelSpec, Language, Outcome, Zygote, find_interpreter};
use agb_sandbox::Level;

use crate::support::{Subject, Workdir, spec, zygote};

/// A started one and a copied one; `None` where nothing can be copied, which the last test is about.
fn both() -> Option<(Subject, Subject)> {
    let interpreter = find_interpreter(Language::Python, None).unwrap();
    let kernel = |copied: bool| {
        let workdir = Workdir::new();
        let mut spec = spec(Language::Python, &interpreter, workdir.root());
        if spec.policy.level != Level::Namespaces {
            return None;
        }
        spec.zygote = copied.then(|| zygote(&spec).unwrap());
        Some(Subject { kernel: Kernel::new(spec), workdir })
    };
    Some((kernel(false)?, kernel(true)?))
}

const IS_COPY: &str = "import sys\n'_agb.zygote' in sys.modules";

#[tokio::test]
async fn a_copy_may_do_what_a_started_one_may() {
    let Some((started, copied)) = both() else { return };
    assert_eq!(started.value(IS_COPY).await.as_deref(), Some("False"));
    assert_eq!(copied.value(IS_COPY).await.as_deref(), Some("True"));
    for look in [
        "print([line for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNew', 'Seccomp', 'Groups', 'Uid:\t1000'))])",
        "import os\nprint(os.getresuid(), os.getresgid(), os.getgroups(), os.getppid() in (0, 1), os.getsid(0) == os.getpid() == os.getpgid(0))",
        "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:5], len(os.listdir('/proc/self/fd')) <= 6)",
        "print(sorted(set(os.listdir('/')) - {'run'}), os.listdir('/home/user'), os.path.isdir('/run') and os.listdir('/run/sessions') or [])",
        "print(len([name for name in os.listdir('/proc') if name.isdigit()]))",
        "import resource\nprint([resource.getrlimit(n) for n in (resource.RLIMIT_DATA, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)], os.nice(0))",
        "print(sorted((k, v) for k, v in os.environ.items() if k != 'LC_CTYPE'), os.getcwd())",
        "import socket\nprint([name for _, name in socket.if_nameindex()], socket.gethostname())",
        "print(sorted({line.split()[4] for line in open('/proc/self/mountinfo')} - {'/run/sessions', '/run'}))",
        "print(open('/proc/self/uid_map').read().split()[0], open('/proc/self/setgroups').read())",
        "print(os.stat('/proc/self/environ').st_uid, os.access('/proc/1/environ', os.R_OK), os.access('/proc/1/fd', os.R_OK))",
        "print(open('/proc/self/cgroup').read())",
        "print(open('/proc/self/oom_score_adj').read())",
        "import signal\nprint(signal.getsignal(signal.SIGCHLD), os.umask(0o22), sys.argv, sys.path[0])",
        "print(os.path.realpath('/proc/self/cwd'), os.path.realpath('/proc/self/root'))",
    ] {
        assert_eq!(copied.output(look).await, started.output(look).await, "{look}");
    }
}

#[tokio::test]
async fn a_copy_gets_no_right_back() {
    let Some((_, copied)) = both() else { return };
    let attempts = r#"
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
done = []
def attempt(name, result):
    done.append(name) if result != -1 else None
attempt("unshare", libc.unshare(0x10000000))
attempt("mount", libc.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None))
attempt("umount", libc.umount2(b"/tmp", 2))
attempt("chroot", libc.chroot(b"/tmp"))
attempt("ptrace", libc.ptrace(16, 1, 0, 0))
attempt("sethostname", libc.sethostname(b"x", 1))
attempt("setuid", libc.setuid(0))
attempt("setgid", libc.setgid(0))
attempt("setgroups", libc.setgroups(1, (ctypes.c_uint32 * 1)(0)))
def sibling():
    pid = libc.syscall({"x86_64": 56}.get(os.uname().machine, 220), 0x8000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return pid
attempt("a child of the zygote's", sibling())
for number in range(5, 256):
    attempt("descriptor %d" % number, libc.fcntl(number, 1))
for name in ("user", "mnt", "pid", "net", "ipc", "uts"):
    try:
        fd = os.open("/proc/1/ns/" + name, os.O_RDONLY)
        attempt("setns " + name, libc.setns(fd, 0))
    except OSError:
        pass
for path in ("/run/sessions", "/proc/1/root", "/proc/1/mem", "/root", "/etc/shadow"):
    try:
        os.listdir(path) if os.path.isdir(path) else open(path).read(1)
        done.append(path)
    except OSError:
        pass
import gc, socket
done += [thing for thing in gc.get_objects() if isinstance(thing, socket.socket) and thing.fileno() >= 0]
print([thing for thing in done if thing != "/run/sessions" or os.listdir(thing)])
"#;
    assert_eq!(copied.output(attempts).await, "[]\n");
}

#[tokio::test]
async fn copies_have_nothing_in_common() {
    let Some((_, one)) = both() else { return };
    let Some((_, other)) = both() else { return };
    let draw = "import random, uuid, os\nprint(random.random(), uuid.uuid4(), os.urandom(4).hex())";
    assert_ne!(one.output(draw).await, other.output(draw).await);
    one.output(
        "open('mine', 'w').write('1'); open('/tmp/mine', 'w').write('1'); open('/dev/shm/mine', 'w').write('1')",
    )
    .await;
    let seen = "import os\nprint([os.path.exists(name) for name in ('mine', '/tmp/mine', '/dev/shm/mine')])";
    assert_eq!(other.output(seen).await, "[False, False, False]\n");
    assert_eq!(one.output(seen).await, "[True, True, True]\n");
    assert!(one.workdir.path().join("mine").is_file(), "where the server looks for it");
}

/// Libraries tell by their number that they are in a copy.
#[tokio::test]
async fn a_zygote_has_a_number_that_no_copy_has() {
    let interpreter = find_interpreter(Language::Python, None).unwrap();
    let workdir = Workdir::new();
    let spec = spec(Language::Python, &interpreter, workdir.root());
    if spec.policy.level != Level::Namespaces {
        return;
    }
    let zygote = zygote(&spec).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", zygote.id())).unwrap();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    let inside: u32 = numbers.split_whitespace().last().unwrap().parse().unwrap();
    assert!(inside > 10_000, "{numbers}");
}

/// A generator that a package makes when it is imported would be the same one in all copies.
#[tokio::test]
async fn a_python_that_makes_generators_when_it_starts_is_not_copied() {
    let interpreter = find_interpreter(Language::Python, None).unwrap();
    let place = Workdir::new();
    let venv = place.root().join("venv");
    let made = std::process::Command::new(&interpreter).args(["-m", "venv", "--without-pip"]).arg(&venv).status();
    assert!(made.unwrap().success());
    let packages = std::fs::read_dir(venv.join("lib")).unwrap().flatten().map(|python| python.path());
    let pth = packages.map(|python| python.join("site-packages")).find(|path| path.is_dir()).unwrap().join("own.pth");
    for (makes, refused) in [
        ("random.SystemRandom()", None),
        ("random.Random()", Some("a random.Random, which")),
        ("type('Mine', (random.Random,), {})()", Some("Mine, which")),
    ] {
        std::fs::write(&pth, format!("import random; random.own = {makes}\n")).unwrap();
        let workdir = Workdir::new();
        let spec = spec(Language::Python, venv.join("bin/python3"), workdir.root());
        if spec.policy.level != Level::Namespaces {
            return;
        }
        let started = Zygote::start(&spec, &std::env::temp_dir()).await;
        match refused {
            None => assert!(started.is_ok(), "{makes}: {started:?}"),
            Some(words) => {
                let error = started.expect_err(makes).to_string();
                assert!(error.contains(words), "{makes}: {error}");
            }
        }
    }
}

/// Whichever of its interpreters were started, and which copied.
#[tokio::test]
async fn the_interpreters_of_a_session_share_a_network() {
    let interpreter = find_interpreter(Language::Python, None).unwrap();
    const SERVE: &str = "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 8099))\ns.listen()\nprint('serving')";
    const MEET: &str = "import socket\nsocket.create_connection(('127.0.0.1', 8099)).close()\nprint('met')";
    for copy_first in [true, false] {
        let workdir = Workdir::new();
        let mut started = spec(Language::Python, &interpreter, workdir.root());
        if started.policy.level != Level::Namespaces {
            return;
        }
        started.zygote = None;
        let mut copied = started.clone();
        copied.zygote = Some(zygote(&started).unwrap());
        let (first, second) = if copy_first { (copied, started) } else { (started, copied) };
        let first = Subject { kernel: Kernel::new(first), workdir };
        assert_eq!(first.value(IS_COPY).await.as_deref(), Some(if copy_first { "True" } else { "False" }));
        assert_eq!(first.output(SERVE).await, "serving\n");
        let second = Subject { kernel: Kernel::new(second), workdir: Workdir::new() };
        assert_eq!(second.output(MEET).await, "met\n", "the copy is first: {copy_first}");
    }
}

#[tokio::test]
async fn a_copy_ends_as_others_do() {
    let Some((_, copied)) = both() else { return };
    let ran = copied.run("import os\nos._exit(7)").await;
    assert!(matches!(&ran.end.outcome, Outcome::Killed(agb_kernel::Death::Exited(7))), "{ran:#?}");
    let ran = copied.run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)").await;
    assert!(matches!(&ran.end.outcome, Outcome::Killed(agb_kernel::Death::Signalled(11))), "{ran:#?}");
    assert_eq!(copied.value(IS_COPY).await.as_deref(), Some("True"), "the next one is a copy again");
    let ran = copied.run_for("import os\nos.system('sleep 100')", std::time::Duration::from_millis(300)).await;
    assert!(!ran.end.state_lost, "{ran:#?}");
    assert_eq!(
        copied.output("import subprocess\nsubprocess.run(['echo', 'x'])\nos.system('echo y > /dev/stdout')").await,
        "x\ny\n"
    );
}

/// A copy is not below its sandbox's first process, but what is watched is kept all the same.
#[tokio::test]
async fn a_copys_limits_are_watched() {
    let interpreter = find_interpreter(Language::Python, None).unwrap();
    let workdir = Workdir::new();
    let mut spec = spec(Language::Python, &interpreter, workdir.root());
    if spec.policy.level != Level::Namespaces {
        return;
    }
    spec.zygote = Some(zygote(&spec).unwrap());
    spec.policy.limits.disk = 8 << 20;
    let copied = Subject { kernel: Kernel::new(spec), workdir };
    assert_eq!(copied.value(IS_COPY).await.as_deref(), Some("True"));
    let grow = "import time\nfor n in range(600):\n    open(str(n), 'wb').write(bytes(1 << 20))\n    time.sleep(0.1)";
    let ran = copied.run(grow).await;
    let limit = agb_sandbox::Exceeded::Disk(8 << 20);
    assert!(matches!(&ran.end.outcome, Outcome::Killed(agb_kernel::Death::Limit(it)) if *it == limit), "{ran:#?}");
}

#[tokio::test]
async fn without_its_zygote_a_kernel_is_started() {
    let Some((_, copied)) = both() else { return };
    let interpreter = find_interpreter(Language::Python, None).unwrap();
    let workdir = Workdir::new();
    let mut mine: KernelSpec = spec(Language::Python, &interpreter, workdir.root());
    let zygote = Zygote::start(&mine, &std::env::temp_dir()).await.unwrap();
    mine.zygote = Some(zygote.clone());
    let one = Subject { kernel: Kernel::new(mine.clone()), workdir };
    assert_eq!(one.value(IS_COPY).await.as_deref(), Some("True"));
    // It is this test's own, and not reaped before its nursery has ended.
    let process = rustix::process::Pid::from_raw(zygote.id()).expect("a process");
    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("it is there");
    let begin = std::time::Instant::now();
    while zygote.is_alive() {
        assert!(begin.elapsed() < crate::support::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(one.value("1 + 1").await.as_deref(), Some("2"), "what was copied before goes on");
    let ran = one.run("import os\nos._exit(7)").await;
    assert!(matches!(&ran.end.outcome, Outcome::Killed(_)), "how, nobody knows: {ran:#?}");
    assert_eq!(one.value(IS_COPY).await.as_deref(), Some("False"), "there are no copies any more");
    let other = Subject { kernel: Kernel::new(mine), workdir: Workdir::new() };
    assert_eq!(other.value(IS_COPY).await.as_deref(), Some("False"));
    drop(copied);
}

/// A copy ends when its parent has waited for it, which is the zygote. Nobody waits for that for ever.
#[tokio::test]
async fn a_zygote_that_stands_still_holds_up_nobodys_end() {
    use rustix::process::{Pid, Signal, kill_process};
    let workdir = Workdir::new();
    let mut spec = spec(Language::Python, find_interpreter(Language::Python, None).unwrap(), workdir.root());
    if spec.policy.level != Level::Namespaces {
        return;
    }
    let zygote = Zygote::start(&spec, &std::env::temp_dir()).await.unwrap();
    spec.zygote = Some(zygote.clone());
    let (launcher, slot) = (std::sync::Arc::clone(&spec.launcher), spec.policy.slot);
    let copied = Subject { kernel: Kernel::new(spec), workdir };
    assert_eq!(copied.value(IS_COPY).await.as_deref(), Some("True"));
    let process = Pid::from_raw(zygote.id()).expect("a process");
    kill_process(process, Signal::STOP).expect("it is there");
    // Its patience passes at once: nothing else is to happen.
    tokio::time::pause();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(3600), copied.kernel.shutdown()).await;
    tokio::time::resume();
    let is_over = launcher.end_slot(slot, std::time::Duration::ZERO);
    kill_process(process, Signal::CONT).expect("it is there");
    assert!(ended.is_ok(), "an end that waits for the zygote");
    assert!(!is_over, "what has not ended is said to have");
    assert!(launcher.end_slot(slot, crate::support::PATIENCE), "it ends when it can");
}

/// Whoever they are: a sandbox with one that is nobody's would not end.
#[test]
fn a_zygote_waits_for_all_children() {
    let interpreter = find_interpreter(Language::Python, None).unwrap();
    let code = r#"
import os, signal, sys, types
signal.alarm(120)  # rather than hang
def stub(name, **names):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(names)
stub("_agb", imports=None)
stub("_agb.control", control=None, library=__import__)
stub("_agb.errors", describe=None, private_traceback=None)
zygote = {"__name__": "zygote"}
exec(open(sys.argv[1]).read(), zygote)
libc, clone = zygote["libc"], int(sys.argv[2])
def make(flags):
    pid = libc.syscall(clone, flags, 0, 0, 0, 0)
    assert pid >= 0
    if pid == 0:
        os._exit(3)
os.dup2(os.pipe()[0], 5)  # where it is asked for copies
copies = zygote["Copies"]()
copies.AFTER = 600
told, end_pipe = os.pipe()
child = os.fork()
if child == 0:
    for _ in range(100):
        make(0x8000 | 17)  # CLONE_PARENT
    os._exit(7)
copies.add(child, end_pipe)
make(0)  # tells of its end by no signal
while copies.living:
    assert copies.wait() is False
assert os.read(told, 100) == b"e" + (7 << 8).to_bytes(4, "little")
try:
    while True:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | 0x40000000)
        copies.wait()
except ChildProcessError:
    print("nobody is left")
"#;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/python/zygote.py");
    let run = std::process::Command::new(interpreter)
        .args(["-I", "-c", code, script, &libc::SYS_clone.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(said, "nobody is left\n", "{}", String::from_utf8_lossy(&run.stderr));
}

/// Set for the second run, as an ordinary user.
const AS_USER: &str = "AGB_KERNEL_TEST_AS_USER";

#[test]
fn an_ordinary_user_has_copies_too() {
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() || std::env::var_os(AS_USER).is_some() {
        return; // all the others are this test
    }
    const USER: u32 = 1_999_999_999;
    let mut again = std::process::Command::new("/proc/self/exe");
    again.args(["zygote::", "--test-threads=1"]).env(AS_USER, "1").env_remove("HOME").current_dir("/");
    let run = again.uid(USER).gid(USER).output().expect("the test's executable can be run by all");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("12 passed"), "{said}{}", String::from_utf8_lossy(&run.stderr));
}
