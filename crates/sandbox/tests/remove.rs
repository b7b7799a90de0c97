//! Trees that a program may leave behind, and what becomes of them and of their neighbours.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use agb_sandbox::remove_tree;

/// Nobody's number.
const USER: u32 = 1_999_999_998;

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("there is /proc").uid() == 0
}

/// A place with a tree in it that a stranger has made, and a decoy beside it.
struct Place {
    dir: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        Self::below(std::env::temp_dir(), name)
    }

    fn below(parent: PathBuf, name: &str) -> Self {
        let dir = parent.join(format!("agb-remove-{name}-{}", std::process::id()));
        fs::create_dir(&dir).expect("the temporary directory is writable");
        fs::set_permissions(&dir, PermissionsExt::from_mode(0o711)).expect("it is ours");
        fs::create_dir_all(dir.join("decoy/inner")).expect("it was made above");
        fs::write(dir.join("decoy/inner/file"), "kept").expect("it was made above");
        for path in ["decoy", "decoy/inner"] {
            fs::set_permissions(dir.join(path), PermissionsExt::from_mode(0o755)).expect("it is ours");
        }
        fs::create_dir(dir.join("tree")).expect("it was made above");
        if is_root() {
            chown(dir.join("tree"), Some(USER), Some(USER)).expect("root may");
        }
        Self { dir }
    }

    fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    /// Runs a Python program in the tree, as the stranger.
    fn start(&self, code: &str) -> Child {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-I", "-S", "-c", code]).current_dir(self.tree()).env("DECOY", self.dir.join("decoy"));
        if is_root() {
            command.uid(USER).gid(USER);
        }
        command.spawn().expect("there is Python")
    }

    fn run(&self, code: &str) {
        assert!(self.start(code).wait().expect("it is our child").success(), "{code}");
    }

    /// Removes the tree in a thread with little stack, and says what must not have changed.
    fn remove(&self) {
        let tree = self.tree();
        let thread = std::thread::Builder::new().stack_size(128 << 10);
        let removed = thread.spawn(move || remove_tree(&tree)).expect("a thread").join().expect("it does not panic");
        removed.expect("it is removed");
        assert!(!self.tree().exists());
        self.decoy_is_untouched();
    }

    fn decoy_is_untouched(&self) {
        let mode = |path: &str| fs::metadata(self.dir.join(path)).expect("it is there").mode() & 0o7777;
        assert_eq!((mode("decoy"), mode("decoy/inner")), (0o755, 0o755));
        assert_eq!(fs::read(self.dir.join("decoy/inner/file")).expect("it is there"), b"kept");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = remove_tree(&self.dir);
    }
}

#[test]
fn depth_costs_no_stack_and_no_descriptors() {
    // In memory, where a hundred thousand folders take no minutes.
    let memory = PathBuf::from("/dev/shm");
    let place = Place::below(if memory.is_dir() { memory } else { std::env::temp_dir() }, "deep");
    place.run("import os\nfor i in range(100000): os.mkdir('d'); os.chdir('d')");
    let before = descriptors();
    place.remove();
    assert!(descriptors() <= before + 8, "other tests have some");
    // Beyond the longest path, with something beside each step.
    place_with_branches();
}

fn place_with_branches() {
    let place = Place::new("branches");
    place.run(
        "import os\nname = 'n' * 250\nfor i in range(300):\n    os.mkdir(name); os.mkdir('side'); open('side/f', 'w')\n    \
         os.symlink('..', 'up'); os.mkfifo('pipe'); os.chdir(name)",
    );
    place.remove();
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("there is /proc").count()
}

#[test]
fn width_modes_and_names_are_no_hindrance() {
    let place = Place::new("wide");
    place.run(
        r"
import os, socket
for i in range(20000): open(str(i), 'w')
for mode in range(0o1000):
    os.makedirs('m%o/a/b' % mode); open('m%o/f' % mode, 'w'); os.chmod('m%o/a/b' % mode, mode)
    os.chmod('m%o/a' % mode, mode); os.chmod('m%o' % mode, mode)
for name in [b'\n', b'\xff\xfe', b'-rf', b' ', b'*', b'a' * 255, b'.agb-removed-0', b'\x01']:
    os.makedirs(name + b'/' + name); open(name + b'/f', 'w')
os.symlink(os.environ['DECOY'], 'link'); os.mkdir('l'); os.symlink(os.environ['DECOY'] + '/inner', 'l/link')
try: os.link(os.environ['DECOY'] + '/inner/file', 'hard')
except OSError: pass
socket.socket(socket.AF_UNIX).bind('socket')
os.chmod('.', 0)
",
    );
    place.remove();
}

/// Folders take the places of links to the decoy, and back, as fast as they can.
#[test]
fn nothing_outside_is_changed_while_somebody_exchanges_names() {
    let place = Place::new("race");
    let code = r"
import ctypes, os
libc = ctypes.CDLL(None)
os.mkdir('first')
for i in range(300):
    os.makedirs('d%d/in' % i); open('d%d/in/f' % i, 'w'); os.symlink(os.environ['DECOY'], 'l%d' % i)
    os.chmod('d%d' % i, 0o311)
open('ready', 'w')
try:
    for n in range(400):
        try: open('first/%d' % n, 'w'); os.makedirs('first/x%d/y' % n)
        except FileNotFoundError: pass
        for i in range(300):
            libc.renameat2(-100, b'd%d' % i, -100, b'l%d' % i, 2)
except OSError: pass
";
    for _ in 0..3 {
        let mut writer = place.start(code);
        while !place.tree().join("ready").exists() {
            std::thread::yield_now();
        }
        // Whether it wins against the writer is not the point; what it does meanwhile is.
        let _ = remove_tree(&place.tree());
        place.decoy_is_untouched();
        writer.kill().expect("it is our child");
        writer.wait().expect("it is our child");
        place.remove();
        fs::create_dir(place.tree()).expect("it is gone");
        if is_root() {
            chown(place.tree(), Some(USER), Some(USER)).expect("root may");
        }
    }
}

#[test]
fn what_is_no_folder_and_what_is_not_there_are_fine() {
    let place = Place::new("other");
    remove_tree(&place.dir.join("nothing")).expect("nothing is there");
    remove_tree(&place.dir.join("nothing/below")).expect("nothing is there");
    std::os::unix::fs::symlink(place.dir.join("decoy"), place.dir.join("link")).expect("it is ours");
    remove_tree(&place.dir.join("link")).expect("a link is removed");
    assert!(fs::symlink_metadata(place.dir.join("link")).is_err());
    place.decoy_is_untouched();
    assert!(remove_tree(Path::new("/")).is_err());
    // Our own folders with strangers' in them, as a dead server leaves them.
    fs::create_dir_all(place.dir.join("server/session")).expect("it is ours");
    fs::rename(place.tree(), place.dir.join("server/session/work")).expect("it is ours");
    remove_tree(&place.dir.join("server")).expect("all of it is removed");
    assert!(!place.dir.join("server").exists());
}

/// What cannot be removed is said at once, and everything else is removed.
#[test]
fn what_is_somebody_elses_delays_nothing() {
    if !is_root() {
        return println!("only root can leave something of its own in another's folder: not tested");
    }
    let place = Place::new("foreign");
    place.run("import os\nos.makedirs('own/deep/folders'); open('own/deep/file', 'w')");
    fs::create_dir_all(place.tree().join("roots/deep/folders")).expect("root may");
    let begin = Instant::now();
    let error = remove_tree(&place.tree()).expect_err("it is root's");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(60), "it tries for minutes: {:?}", begin.elapsed());
    let left: Vec<_> =
        fs::read_dir(place.tree()).expect("it is there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["roots"]);
    fs::remove_dir_all(place.tree()).expect("root may");
}
