use super::*;
use std::io::Write;

fn place(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("agb-stored-{name}-{}", std::process::id()));
    fs::create_dir(&dir).expect("the temporary directory is writable");
    dir
}

fn stored(dir: &Path) -> Stored {
    let mut stored = Stored::new(100_000, 100_000, Measured::default());
    stored.add(dir).expect("nobody moves it");
    stored
}

#[test]
fn files_are_counted_once_and_links_are_not_followed() {
    let dir = place("once");
    fs::create_dir_all(dir.join("a/b")).expect("it was made above");
    fs::write(dir.join("a/file"), vec![1; 1 << 20]).expect("it was made above");
    fs::hard_link(dir.join("a/file"), dir.join("same")).expect("it was made above");
    std::os::unix::fs::symlink("/", dir.join("root")).expect("it was made above");
    let found = stored(&dir);
    assert_eq!(found.files, 5);
    assert!((1 << 20..(1 << 20) + (64 << 10)).contains(&found.bytes), "{found:?}");
    // A name in a place that is not seen takes nothing off.
    let elsewhere = place("elsewhere");
    for name in 0..60 {
        fs::hard_link(dir.join("same"), elsewhere.join(name.to_string())).expect("it was made above");
    }
    assert!(stored(&dir).bytes > 1 << 20);
    for dir in [dir, elsewhere] {
        crate::remove_tree(&dir).expect("it was made above");
    }
}

#[test]
fn depth_names_and_modes_hide_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let dir = place("deep");
    let name = CString::new("n".repeat(250)).expect("it has no zero byte");
    let mut folder: OwnedFd = fs::File::open(&dir).expect("it was made above").into();
    for _ in 0..200 {
        rustix::fs::mkdirat(&folder, &*name, Mode::RWXU).expect("it is new");
        folder = openat(&folder, &*name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).expect("it was made");
    }
    let file = openat(&folder, c"file", OFlags::WRONLY | OFlags::CREATE, Mode::RUSR).expect("it is new");
    fs::File::from(file).write_all(&vec![1; 1 << 20]).expect("there is room");
    fs::create_dir_all(dir.join("closed/in")).expect("it was made above");
    fs::write(dir.join("closed/in/file"), vec![1; 1 << 20]).expect("it was made above");
    // One that can be read and not entered hides what its files are.
    fs::create_dir(dir.join("half")).expect("it was made above");
    fs::write(dir.join("half/file"), vec![1; 1 << 20]).expect("it was made above");
    for (path, mode) in [("closed/in", 0o300), ("closed", 0), ("half", 0o400)] {
        fs::set_permissions(dir.join(path), PermissionsExt::from_mode(mode)).expect("it is ours");
    }
    let found = stored(&dir);
    assert_eq!((found.files, found.is_beyond), (206, false), "{found:?}");
    assert!(found.bytes > 3 << 20, "{found:?}");
    let mode = |path| fs::metadata(dir.join(path)).expect("it is there").mode() & 0o777;
    assert_eq!((mode("closed"), mode("half")), (0, 0o400), "as before");
    crate::remove_tree(&dir).expect("it is ours");
}

#[test]
fn files_without_a_name_count_as_long_as_they_are_held() {
    let dir = place("unnamed");
    let path = dir.join("file");
    let mut file = fs::File::create_new(&path).expect("it is new");
    file.write_all(&vec![1; 3 << 20]).expect("there is room");
    fs::remove_file(&path).expect("it is ours");
    let own = i32::try_from(std::process::id()).expect("a process number is an int");
    let look = || {
        let mut found = stored(&dir);
        found.add_unnamed(own);
        found.add_unnamed(own);
        found
    };
    let found = look();
    assert!((3 << 20..4 << 20).contains(&found.bytes) && found.files == 1, "{found:?}");
    drop(file);
    assert_eq!(look().files, 0);
    crate::remove_tree(&dir).expect("it is ours");
}

#[test]
fn what_a_thread_alone_has_open_counts() {
    let dir = place("thread");
    let path = dir.join("file");
    let mut file = fs::File::create_new(&path).expect("it is new");
    file.write_all(&vec![1; 3 << 20]).expect("there is room");
    fs::remove_file(&path).expect("it is ours");
    let (ready, wait) = std::sync::mpsc::channel();
    let (done, end) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        // SAFETY: a system call on an integer: this thread's table of descriptors is a copy from here on.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
        ready.send(()).expect("it is waited for");
        let _ = end.recv();
        drop(file);
    });
    wait.recv().expect("it runs");
    // Closed for all the others.
    let fds = fs::read_dir("/proc/self/fd").expect("there is /proc").flatten();
    let is_it = |fd: &fs::DirEntry| {
        fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with(&*path.to_string_lossy()))
    };
    let fd: Vec<i32> = fds.filter(is_it).filter_map(|fd| fd.file_name().to_str()?.parse().ok()).collect();
    assert_eq!(fd.len(), 1);
    // SAFETY: the descriptor is nobody's in this table: the file that owns it lives in a thread with another one.
    assert_eq!(unsafe { libc::close(fd[0]) }, 0);
    let own = i32::try_from(std::process::id()).expect("a process number is an int");
    let mut found = stored(&dir);
    found.add_unnamed(own);
    assert!(found.bytes >= 3 << 20 && found.files == 1, "{found:?}");
    drop(done);
    thread.join().expect("it ends");
    crate::remove_tree(&dir).expect("it is ours");
}

#[test]
fn a_file_that_is_hidden_counts_as_what_it_was_before() {
    let dir = place("hidden");
    let path = dir.join("file");
    fs::write(&path, vec![1; 3 << 20]).expect("there is room");
    let mut found = Stored::new(100, 100, Measured { least: 1 << 20, ..Measured::default() });
    found.add(&dir).expect("nobody moves it");
    let meta = fs::metadata(&path).expect("it is there");
    let part = |number| Mapped { id: (meta.dev(), number), begin: 0, end: 4096, reach: 4096, is_shared_memory: false };
    // What nobody has seen is not little, and what reaches far takes that.
    let before = found.measured();
    let next = Stored::new(100, 100, before.clone());
    let far = Mapped { reach: 5 << 20, ..part(0) };
    assert_eq!((next.at_least(&part(0)), next.at_least(&far)), (1 << 20, 5 << 20));
    let hidden = next.at_least(&part(meta.ino()));
    assert!((3 << 20..4 << 20).contains(&hidden), "{hidden}");
    // As long as it is hidden, it is remembered.
    let mut next = Stored::new(100, 100, before);
    next.remember(part(meta.ino()).id, hidden);
    assert_eq!(next.measured().sizes, HashMap::from([((meta.dev(), meta.ino()), hidden)]));
    crate::remove_tree(&dir).expect("it is ours");
}

#[test]
fn more_than_is_to_be_counted_is_said_so() {
    let dir = place("many");
    (0..20).for_each(|name| drop(fs::File::create(dir.join(name.to_string())).expect("it is new")));
    let mut few = Stored::new(10, 0, Measured::default());
    few.add(&dir).expect("nobody moves it");
    assert!(few.is_beyond && few.files == 11, "{few:?}");
    crate::remove_tree(&dir).expect("it is ours");
}

#[test]
fn a_process_with_more_mappings_than_are_looked_at_is_told_apart() {
    let own = i32::try_from(std::process::id()).expect("a process number is an int");
    let look = |mappings| {
        let mut found = Stored::new(100, mappings, Measured::default());
        found.add_unnamed(own);
        found.add_unnamed(own);
        found.is_unreadable
    };
    // A process of Rust's has about thirty mappings, and some for each thread.
    assert_eq!([0, 5, 1_000_000].map(look), [true, true, false]);
}

/// A page of a file, mapped as long as this lives.
struct Page(*mut libc::c_void);

impl Page {
    fn of(file: Option<&fs::File>, size: usize) -> Self {
        Self::at(std::ptr::null_mut(), file, size)
    }

    /// The same at a place where nothing is yet, or elsewhere.
    fn at(place: *mut libc::c_void, file: Option<&fs::File>, size: usize) -> Self {
        let (fd, flags) = file.map_or((-1, libc::MAP_ANONYMOUS), |file| (file.as_raw_fd(), 0));
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel takes a place where nothing is.
        let at = unsafe { libc::mmap(place, size, rights, libc::MAP_SHARED | flags, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        // SAFETY: so many bytes were mapped for writing just now, and nobody else has them.
        unsafe { at.cast::<u8>().write_bytes(1, size) };
        if size > 4096 {
            // SAFETY: it is the rest of what was mapped, which nobody uses.
            assert_eq!(unsafe { libc::munmap(at.byte_add(4096), size - 4096) }, 0);
        }
        Self(at)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: it is mapped since this was made, and nobody has it any more.
        assert_eq!(unsafe { libc::munmap(self.0, 4096) }, 0);
    }
}

#[test]
fn a_file_that_is_mapped_by_a_name_that_is_gone_counts_by_the_other() {
    let dir = place("renamed");
    let path = dir.join("file");
    fs::write(&path, vec![1; 3 << 20]).expect("there is room");
    fs::hard_link(&path, dir.join("other")).expect("it is new");
    let file = fs::File::options().read(true).write(true).open(&path).expect("it is there");
    let page = Page::of(Some(&file), 4096);
    drop(file);
    fs::remove_file(&path).expect("it is ours");
    let own = i32::try_from(std::process::id()).expect("a process number is an int");
    let look = || {
        // Without rights a hidden file counts as this.
        let mut found = Stored::new(100, 100_000, Measured { least: 2 << 20, ..Measured::default() });
        found.note_mapped(own);
        found.add(&dir).expect("nobody moves it");
        found.add_unnamed(own);
        found
    };
    let found = look();
    assert!(found.files == 1 && (3 << 20..4 << 20).contains(&found.bytes), "{found:?}");
    // And when that is gone, too, as what it was before.
    fs::remove_file(dir.join("other")).expect("it is ours");
    let found = look();
    assert!(found.files == 1 && found.bytes >= 2 << 20, "{found:?}");
    drop(page);
    assert_eq!(look().files, 0);
    crate::remove_tree(&dir).expect("it is ours");
}

/// A session's processes have one allowance: a look takes as long, however many they are.
#[test]
fn no_more_mappings_are_noted_than_are_looked_at() {
    let dir = place("noted");
    let path = dir.join("file");
    let own = i32::try_from(std::process::id()).expect("a process number is an int");
    fs::write(&path, vec![1; 4096]).expect("there is room");
    let file = fs::File::options().read(true).write(true).open(&path).expect("it is there");
    fs::remove_file(&path).expect("it is ours");
    let number = file.metadata().expect("it is open").ino();
    let one = || Stored::new(100, 1, Measured::default());
    let mut used_up = one();
    used_up.note_mapped(own);
    // Below all else, and so first in the table.
    let page = Page::at(std::ptr::without_provenance_mut(1 << 20), Some(&file), 4096);
    let mut new = one();
    new.note_mapped(own);
    assert!(new.renamed.contains(&number), "{new:?}");
    used_up.note_mapped(own);
    assert!(!used_up.renamed.contains(&number), "{used_up:?}");
    // What is looked for later has its own allowance, and says when it does not suffice.
    used_up.add_unnamed(own);
    assert!(used_up.is_unreadable, "{used_up:?}");
    drop(page);
    crate::remove_tree(&dir).expect("it is ours");
}

#[test]
fn shared_memory_counts_in_full_whatever_is_mapped_of_it() {
    let own = i32::try_from(std::process::id()).expect("a process number is an int");
    let page = Page::of(None, 8 << 20);
    let mut table = Table::of(own).expect("it is this process's");
    let parts = std::iter::from_fn(|| table.next()).flatten();
    let part = parts.filter(|part| part.begin == page.0.addr() as u64).last().expect("it is mapped");
    assert!(part.is_shared_memory, "{part:?}");
    let note = || Stored::new(100, 100_000, Measured::default()).note_mapped(own);
    match part.size_of_file(own) {
        Some(size) => {
            assert!(size >= 8 << 20, "{size}");
            let with = note();
            drop(page);
            let without = note();
            assert!(with >= without + (8 << 20), "{with} {without}");
        }
        None => assert_eq!(note(), 0, "nobody may look"),
    }
}

/// Root may look into everything. All of these once more as a user that may not.
#[test]
fn an_ordinary_user_sees_as_much() {
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        return; // all the others are this test
    }
    const USER: u32 = 1_999_999_998;
    let mut again = std::process::Command::new("/proc/self/exe");
    again.args(["stored::tests::", "--test-threads=1"]).current_dir("/").uid(USER).gid(USER);
    let run = again.output().expect("the test's executable can be run by all");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("11 passed"), "{said}");
}
