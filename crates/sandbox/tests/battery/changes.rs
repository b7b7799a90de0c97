//! Changes of modes, times and owners: of a session's files they work as elsewhere, and of others none does.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::Ordering;

use agb_sandbox::{Command, Level};

use crate::world::{PATIENCE, World};

/// Whether a broker has to make a program's changes.
fn is_brokered(world: &World, level: Level) -> bool {
    level == Level::Landlock && world.launcher.user_of(level, 0).is_none()
}

/// The isolated levels at which programs change files here: all of them, but where the kernel has no listeners for system
/// calls, or a filter around this process may have one.
fn levels(world: &World) -> Vec<Level> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let has_listeners = read("/proc/sys/kernel/seccomp/actions_avail").contains("user_notif");
    let is_known = read("/proc/self/status").contains("Seccomp:\t0");
    let changes = |level: &Level| {
        let changes_files = world.launcher.try_level(*level).is_ok_and(|offer| offer.changes_files);
        assert!(changes_files || !has_listeners || !is_known, "{level}: programs cannot change files");
        if !changes_files {
            println!("{level}: nobody can be asked to change a program's files here: not tested");
        }
        changes_files
    };
    world.levels.iter().copied().filter(changes).collect()
}

/// Every way in which a program names what it changes. Prints what is not as it should be.
const OWN_FILES: &str = r"
import ctypes, errno, os, shutil, signal, stat, subprocess, tempfile, threading, time
libc = ctypes.CDLL(None, use_errno=True)
mode = lambda path: oct(stat.S_IMODE(os.stat(path).st_mode))
def is_now(what, got, expected):
    if got != expected: print(what, got, 'and not', expected)
def fails(what, action, *expected):
    try: action(); print(what, 'works')
    except OSError as error: is_now(what, error.errno in expected or errno.errorcode[error.errno], True)
here = os.getcwd()
open('f', 'w').write('text'); os.mkdir('d'); open('d/g', 'w').close(); os.symlink('f', 'l'); os.symlink(here + '/f', 'far')
os.link('f', 'hard'); folder = os.open('d', os.O_PATH); reading = os.open('f', os.O_RDONLY); place = os.open('f', os.O_PATH)
ways = [
    ('f', 'a name', lambda to: os.chmod('f', to)), ('f', 'a whole path', lambda to: os.chmod(here + '/f', to)),
    ('f', 'a link', lambda to: os.chmod('l', to)), ('f', 'a link with a whole path', lambda to: os.chmod('far', to)),
    ('f', 'another name', lambda to: os.chmod('hard', to)), ('f', 'a way round', lambda to: os.chmod('d/../d/../f', to)),
    ('f', 'a descriptor', lambda to: os.fchmod(reading, to)),
    ('f', 'its name', lambda to: os.chmod(f'/proc/self/fd/{reading}', to)),
    ('f', 'a place', lambda to: os.chmod(f'/proc/self/fd/{place}', to)),
    ('d/g', 'a folder', lambda to: os.chmod('g', to, dir_fd=folder)), ('d', 'itself', lambda to: os.chmod('d', to)),
]
for path, what, change in ways:
    for to in (0o700, 0o755): change(to); is_now(what, mode(path), oct(to))
with tempfile.NamedTemporaryFile() as file: os.chmod(file.name, 0o640); is_now('a temporary file', mode(file.name), '0o640')
os.chdir('d'); os.chmod('g', 0o611); os.chmod('../f', 0o644); is_now('below', mode('g'), '0o611'); os.chdir('..')
own = mode('.'); os.chmod('.', 0o700); is_now('the working directory', mode('.'), '0o700')
times = lambda path: (os.lstat(path).st_atime_ns, os.lstat(path).st_mtime_ns)
os.utime('f', ns=(1, 2)); is_now('times', times('f'), (1, 2))
os.utime(reading, ns=(3, 4)); is_now('times by a descriptor', times('f'), (3, 4))
os.utime('l', ns=(5, 6), follow_symlinks=False); is_now('times of a link', times('l'), (5, 6)); is_now('and not', times('f'), (3, 4))
os.utime('f'); is_now('the time that it is', times('f')[1] > 4, True)
os.chown('f', os.getuid(), os.getgid()); os.chown('f', -1, -1)
shutil.copy2('f', 'copy'); is_now('a copy', times('copy')[1], times('f')[1])
fails('a missing file', lambda: os.chmod('missing', 0o600), errno.ENOENT)
fails('a file below a file', lambda: os.chmod('f/x', 0o600), errno.ENOTDIR)
fails('a closed descriptor', lambda: os.fchmod(999, 0o600), errno.EBADF)
fails('a long name', lambda: os.chmod('a' * 5000, 0o600), errno.ENAMETOOLONG)
fails('a device', lambda: os.chmod('/dev/null', 0o600), errno.EPERM, errno.EROFS)
if libc.chmod(ctypes.c_void_p(8), 0o600) != -1 or ctypes.get_errno() != errno.EFAULT: print('an address of nothing')

def often(path):
    open(path, 'w').close()
    for to in range(0o600, 0o700): os.chmod(path, to); is_now('by a thread', mode(path), oct(to))
threads = [threading.Thread(target=often, args=(f't{i}',)) for i in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()

# Programs that are killed while their calls wait keep nobody from making others, and neither do signals.
children = []
for i in range(8):
    child = os.fork()
    if child == 0:
        open(f'k{i}', 'w').close()
        while True: os.chmod(f'k{i}', 0o600)
    children.append(child)
signal.signal(signal.SIGALRM, lambda *_: None); parent = os.getpid(); alarm = os.fork()
if alarm == 0:
    for _ in range(50): os.kill(parent, signal.SIGALRM); time.sleep(0.001)
    os._exit(0)
def insist(to):
    while True:
        try: return os.chmod('f', to)
        except InterruptedError: pass
for to in range(0o600, 0o700): insist(to); is_now('beside others', mode('f'), oct(to))
os.waitpid(alarm, 0)
for child in children: os.kill(child, signal.SIGKILL); os.waitpid(child, 0)
os.chmod('f', 0o644); is_now('after they were killed', mode('f'), '0o644')

def run(*command):
    got = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, GIT_CONFIG_NOSYSTEM='1'))
    if got.returncode or got.stderr: print(*command, got.returncode, got.stderr)
run('touch', '-d', '@7', 'f'); is_now('touch', times('f')[1], 7 * 10**9)
run('chmod', '751', 'f'); is_now('chmod', mode('f'), '0o751')
run('cp', '-p', 'f', 'cp'); is_now('cp -p', (mode('cp'), times('cp')[1]), ('0o751', 7 * 10**9))
run('cp', '-a', 'd', 'cp-d'); is_now('cp -a', mode('cp-d/g'), mode('d/g'))
run('touch', '-h', '-d', '@9', 'l'); run('tar', 'cf', 'tar', 'f', 'd', 'l'); os.mkdir('x'); run('tar', 'xpf', 'tar', '-C', 'x')
is_now('tar', (mode('x/f'), times('x/f')[1], mode('x/d/g'), times('x/l')[1]), ('0o751', 7 * 10**9, '0o611', 9 * 10**9))
run('install', '-m', '640', 'f', 'installed'); is_now('install', mode('installed'), '0o640')
os.unlink('hard'); run('gzip', '-k', 'f'); is_now('gzip', (mode('f.gz'), times('f.gz')[1]), ('0o751', 7 * 10**9))
run('sed', '-i', 's/t/T/', 'f'); is_now('sed -i', mode('f'), '0o751')
for optional in (['bzip2', '-k', 'f'], ['xz', '-k', 'f'], ['git', 'init', '-q', 'repository']):
    if shutil.which(optional[0]): run(*optional)
";

/// What a broker refuses although it is about the program's own file.
const REFUSED: &str = r"
fails('the rights of its user for others', lambda: os.chmod('f', 0o4755), errno.EPERM)
fails('the rights of its group for others', lambda: os.chmod('f', 0o2755), errno.EPERM)
fails('a file without a name', lambda: os.fchmod(os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600), 0o640), errno.EPERM, errno.EOPNOTSUPP)
fails('a pipe', lambda: os.fchmod(os.pipe()[0], 0o600), errno.EPERM)
fails('attributes', lambda: os.setxattr('f', 'user.a', b'x'), errno.EOPNOTSUPP)
libc.prctl(4, 0, 0, 0, 0); fails('a process that nobody may look into', lambda: os.chmod('f', 0o600), errno.EPERM)
";

pub(crate) fn programs_change_their_own_files(world: &World) {
    for level in levels(world) {
        let mut policy = world.policy(level);
        let tmp = policy.workdir.with_extension("tmp");
        std::fs::create_dir(&tmp).expect("the parent is ours");
        std::fs::set_permissions(&tmp, PermissionsExt::from_mode(0o777)).expect("it is ours");
        policy.tmp = Some(tmp);
        let refused = if is_brokered(world, level) { REFUSED } else { "" };
        let code = format!("{OWN_FILES}{refused}print('done')");
        let command = Command::new("/usr/bin/python3").args(["-I", "-c", &code]);
        let (mut child, mut ends) = world.spawn(&policy, &command).unwrap_or_else(|error| panic!("{error}"));
        let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("the program ends");
        let mut text = String::new();
        ends.output.read_to_string(&mut text).expect("it prints text");
        assert!(status.success() && text == "done\n", "{level}: {status}: {text}");
    }
}

/// Every call that makes a file and gives its mode. Prints what has a mode with which others could use its user's rights.
const NEW_FILES: &str = r"
import ctypes, errno, os, stat, struct
libc = ctypes.CDLL(None, use_errno=True)
here = ctypes.c_long(-100); make = os.O_CREAT | os.O_WRONLY; nameless = os.O_TMPFILE | os.O_WRONLY; os.umask(0)
calls = {'open': 2, 'mkdir': 83, 'creat': 85, 'mknod': 133, 'openat': 257, 'mkdirat': 258, 'mknodat': 259, 'openat2': 437}
if os.uname().machine != 'x86_64': calls = {'mknodat': 33, 'mkdirat': 34, 'openat': 56, 'openat2': 437}
def how(flags): return lambda mode: ctypes.create_string_buffer(struct.pack('QQQ', flags, mode, 0), 24)
whole = lambda mode: mode
ways = [
    ('open', [b'@', make, whole]), ('open', [b'.', nameless, whole]), ('creat', [b'@', whole]),
    ('openat', [here, b'@', make, whole]), ('openat', [here, b'.', nameless, whole]), ('openat', [here, b'@', make | os.O_EXCL, whole]),
    ('openat2', [here, b'@', how(make), 24]), ('openat2', [here, b'.', how(nameless), 24]),
    ('mknod', [b'@', lambda mode: stat.S_IFREG | mode, 0]), ('mknod', [b'@', whole, 0]), ('mknod', [b'@', lambda mode: stat.S_IFIFO | mode, 0]),
    ('mknodat', [here, b'@', lambda mode: stat.S_IFREG | mode, 0]), ('mknodat', [here, b'@', whole, 0]),
    ('mkdir', [b'@', whole]), ('mkdirat', [here, b'@', whole]),
]
def attempt(at, call, arguments, mode):
    name = f'new-{at}-{mode:o}'.encode()
    values = [value(mode) if callable(value) else name if value == b'@' else value for value in arguments]
    fd = libc.syscall(ctypes.c_long(calls[call]), *values)
    if fd == -1: return errno.errorcode[ctypes.get_errno()]
    made = os.stat(name if b'@' in arguments else fd).st_mode
    return 'set-ID' if made & 0o6000 else 'plain'
for at, (call, arguments) in enumerate((call, arguments) for call, arguments in ways if call in calls):
    plain = attempt(at, call, arguments, 0o755)
    if plain not in (('ENOSYS',) if call == 'openat2' else ('plain', 'EOPNOTSUPP')): print(call, at, plain)
    for mode in (0o4755, 0o2755, 0o6777):
        got = attempt(at, call, arguments, mode)
        if got not in (('plain',) if 'mkdir' in call else ('ENOSYS',) if call == 'openat2' else ('EPERM',)): print(call, at, oct(mode), got)
if libc.syscall(ctypes.c_long(calls['openat']), here, b'new-3-755', os.O_RDONLY, 0o7777) == -1: print('a mode that means nothing')
print('done')
";

pub(crate) fn new_files_lend_no_rights(world: &World) {
    for &level in &world.levels {
        let (status, text) = world.python(&world.policy(level), NEW_FILES);
        assert!(status.success() && text == "done\n", "{level}: {status}: {text}");
    }
}

/// Names, folders and texts in memory that a program exchanges while it changes what they mean.
const RACES: &str = r"
import ctypes, mmap, os, signal
libc = ctypes.CDLL(None)
outside = os.path.dirname(SECRET)
open('own', 'w').close(); os.mkdir('folder'); open('folder/secret', 'w').close(); os.link('own', 'name')
text = mmap.mmap(-1, 4096); own, other = b'own\0', SECRET.encode() + b'\0'
text[:len(other)] = other
def exchange(action):
    pid = os.fork()
    if pid == 0:
        while True: action()
    return pid
def exchange_name():
    os.symlink(SECRET, 'new'); os.replace('new', 'name'); os.link('own', 'new'); os.replace('new', 'name')
def exchange_folder():
    os.rename('folder', 'aside'); os.symlink(outside, 'folder'); os.unlink('folder'); os.rename('aside', 'folder')
def exchange_text():
    text[:len(own)] = own; text[:len(other)] = other
done = dict.fromkeys(('name', 'folder', 'text', 'descriptor'), 0)
def attempt(what, action):
    try: done[what] += action() != -1
    except OSError: pass
def by_descriptor(i):
    fd = os.open('name', os.O_PATH)
    try: os.chmod(f'/proc/self/fd/{fd}', 0o600 + i % 8)
    finally: os.close(fd)
address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(text)))
others = [exchange(action) for action in (exchange_name, exchange_folder, exchange_text)]
for i in range(500):
    attempt('name', lambda: os.chmod('name', 0o600 + i % 8)); attempt('name', lambda: os.utime('name', (i, i)))
    attempt('folder', lambda: os.chmod('folder/secret', 0o600 + i % 8)); attempt('folder', lambda: os.utime('folder/secret', (i, i)))
    attempt('descriptor', lambda: by_descriptor(i)); attempt('text', lambda: libc.chmod(address, 0o600 + i % 8))
for other in others: os.kill(other, signal.SIGKILL); os.waitpid(other, 0)
print(sum(done.values()) > 0, done)
";

pub(crate) fn changes_reach_no_other_file(world: &World) {
    for level in levels(world) {
        let number = world.next.fetch_add(1, Ordering::Relaxed);
        let outside = world.dir.join(format!("outside-{number}"));
        std::fs::create_dir(&outside).expect("the parent is ours");
        let secret = outside.join("secret");
        std::fs::write(&secret, "secret").expect("the parent is ours");
        for path in [&outside, &secret] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("it is ours");
        }
        let before = state(&secret);
        let mut policy = world.policy(level);
        // Its program can read it, as it can the files of an image.
        policy.readonly = if level.has_namespaces() { Vec::new() } else { vec![outside.clone()] };
        let (status, text) = world.python(&policy, &format!("SECRET = {secret:?}\n{RACES}"));
        assert!(status.success() && text.starts_with("True"), "{level}: {status}: {text}");
        println!("{level}: changes of its own files in a race: {}", text.trim());
        assert_eq!(state(&secret), before, "{level}: a file of the server's was changed");
    }
}

/// Everything that a change leaves behind: the last of these is the time of the last one of any kind.
fn state(path: &Path) -> (u32, u32, u32, i64, i64, i64, i64) {
    let file = path.metadata().expect("it is ours");
    (file.mode(), file.uid(), file.gid(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec())
}
