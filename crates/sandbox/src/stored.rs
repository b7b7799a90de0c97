//! What a session has on disk: everything that takes room, whatever its name, path, mode and holder.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, chmod, fstat, openat, statat};
use rustix::io::Errno;

use crate::mapped::{Id, Mapped, device_of_mount};
use crate::tree;

/// How many folders on the way down stay open.
///
/// 32: deeper than what people make; below that, the way back is found by `..`.
const OPEN: usize = 32;

/// What is read of a process's table of mappings at once. The kernel gives a page at a time, or a longer line.
const TABLE: usize = 8 << 10;

/// What is known of files that can be measured only as long as they have a name or are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// A file that cannot be measured any more counts as this much, or more. Smaller ones are not remembered. 0: none is.
    pub(crate) least: u64,
    /// The greater files of the last look, and what they took.
    pub(crate) sizes: HashMap<Id, u64>,
}

/// What lies in the folders of a session, and what its processes hold that lies in none.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    /// There is more than was to be counted, or something that cannot be looked into.
    pub(crate) is_beyond: bool,
    /// Files that have more than one name, or none: they count once.
    seen: HashSet<Id>,
    devices: HashSet<u64>,
    /// As many files are counted.
    most: u64,
    /// As many open files and mappings are still looked at.
    left: u64,
    /// There were more of them.
    pub(crate) is_unreadable: bool,
    before: Measured,
    /// The greater files of this look.
    measured: HashMap<Id, u64>,
}

/// A folder on the way.
struct Step {
    id: Id,
    /// Open still; the last one always is.
    folder: Option<OwnedFd>,
    /// Folders in it that are to be looked into.
    left: Vec<CString>,
}

impl Stored {
    /// Nothing yet. No more than `most` files will be counted, and files without a name will be looked for among no more than
    /// `mappings` open files and mappings. `before`: what the look before this one has measured.
    pub(crate) fn new(most: u64, mappings: u64, before: Measured) -> Self {
        Self { most, left: mappings, before, ..Self::default() }
    }

    /// What the next look is to know.
    pub(crate) fn measured(self) -> Measured {
        Measured { least: self.before.least, sizes: self.measured }
    }

    /// Adds what is below a folder, without following links. What vanishes meanwhile is not there.
    ///
    /// An error means that the tree was changed so that the way through it was lost: the next look may find it.
    pub(crate) fn add(&mut self, dir: &Path) -> io::Result<()> {
        let name = CString::new(dir.as_os_str().as_bytes())?;
        let mut steps = Vec::new();
        steps.extend(self.look_into(CWD, &name)?);
        self.devices.extend(steps.first().and_then(|top| device_of_mount(top.folder.as_ref()?.as_fd())));
        while let Some(at) = steps.len().checked_sub(1) {
            if self.files > self.most {
                self.is_beyond = true;
                return Ok(());
            }
            let Some(name) = steps[at].left.pop() else {
                let done = steps.pop().and_then(|step: Step| step.folder).expect("the last step is open");
                if let Some(parent) = steps.last_mut()
                    && parent.folder.is_none()
                {
                    parent.folder = Some(parent_of(&done, parent.id)?);
                }
                continue;
            };
            let folder = steps[at].folder.as_ref().expect("the last step is open");
            if let Some(next) = self.look_into(folder.as_fd(), &name)? {
                steps.push(next);
                if let Some(far) = steps.len().checked_sub(OPEN + 1) {
                    steps[far].folder = None;
                }
            }
        }
        Ok(())
    }

    /// Counts what is in a folder. `None`: it is none, or not there any more.
    fn look_into(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<Step>> {
        let folder = match open_to_read(parent, name) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(Errno::ACCESS | Errno::PERM) => {
                self.is_beyond = true;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let own = fstat(&folder)?;
        self.devices.insert(own.st_dev);
        let mut left = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut entries = RawDir::new(&folder, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::NOENT) => break,
                entry => entry?,
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            self.files += 1;
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_folder || stat.st_nlink <= 1 || self.seen.insert(id(&stat)) {
                self.bytes += size(&stat);
            }
            self.remember(id(&stat), size(&stat));
            if is_folder {
                left.push(name.to_owned());
            }
            if self.files > self.most {
                break;
            }
        }
        Ok(Some(Step { id: id(&own), folder: Some(folder), left }))
    }

    /// Adds the files without a name that a process holds, open or mapped, where the folders lie that were added.
    pub(crate) fn add_unnamed(&mut self, pid: i32) {
        // Who cannot be looked into has ended, or has said that nobody may.
        let _ = tree::looking_at(pid, || self.add_unnamed_in_own_name(pid));
    }

    fn add_unnamed_in_own_name(&mut self, pid: i32) -> io::Result<()> {
        // Each thread may have descriptors of its own; and those of the process are not under its number any more when its
        // first thread has ended. Who may not look at that one may look at the others.
        let mut refused = None;
        for thread in tree::threads(pid) {
            if let Err(error) = self.add_open(thread)
                && error.kind() == io::ErrorKind::PermissionDenied
            {
                refused = Some(error);
            }
        }
        self.add_mapped(tree::witness(pid));
        refused.map_or(Ok(()), Err)
    }

    /// Adds the files without a name that a thread has open.
    fn add_open(&mut self, thread: i32) -> io::Result<()> {
        for entry in fs::read_dir(format!("/proc/{thread}/fd"))?.flatten() {
            if !self.look_at_one() {
                return Ok(());
            }
            match fs::metadata(entry.path()) {
                Ok(meta) if meta.is_file() && meta.nlink() == 0 => {
                    let (id, bytes) = ((meta.dev(), meta.ino()), meta.blocks() * 512);
                    self.remember(id, bytes);
                    self.add_once(id, bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds the files without a name that are mapped by the process of a thread.
    fn add_mapped(&mut self, thread: i32) {
        // A line at a time: a program can make tables of megabytes, in each of its processes.
        let Ok(maps) = fs::File::open(format!("/proc/{thread}/maps")) else { return };
        let mut maps = BufReader::with_capacity(TABLE, maps);
        let mut mapped: HashMap<Id, u64> = HashMap::new();
        let mut line = Vec::new();
        // What cannot be read any more is of a process that has ended.
        while maps.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) && self.look_at_one() {
            if let Some(part) = Mapped::without_name(&line)
                && self.devices.contains(&part.id.0)
                && !self.seen.contains(&part.id)
            {
                let known = mapped.entry(part.id).or_default();
                let size = if *known > 0 { None } else { part.size_of_file(thread) };
                *known = size.unwrap_or_else(|| self.at_least(&part)).max(*known);
            }
            line.clear();
        }
        for (id, bytes) in mapped {
            self.remember(id, bytes);
            self.add_once(id, bytes);
        }
    }

    /// What a file takes of which nothing but a part can be seen: as much as it took when it could be measured, or as that
    /// part; but not little, since nobody knows what was written to it after the last look.
    fn at_least(&self, part: &Mapped) -> u64 {
        let measured = self.before.sizes.get(&part.id).copied().unwrap_or_default();
        part.reach.max(measured).max(self.before.least)
    }

    fn remember(&mut self, id: Id, bytes: u64) {
        if self.before.least > 0 && bytes >= self.before.least {
            self.measured.insert(id, bytes);
        }
    }

    /// Whether one open file or mapping more is to be looked at.
    fn look_at_one(&mut self) -> bool {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.is_unreadable = true,
        }
        !self.is_unreadable
    }

    fn add_once(&mut self, id: Id, bytes: u64) {
        if self.devices.contains(&id.0) && self.seen.insert(id) {
            self.files += 1;
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }
}

fn id(stat: &Stat) -> Id {
    (stat.st_dev, stat.st_ino)
}

fn id_of(folder: &OwnedFd) -> Option<Id> {
    fstat(folder).ok().map(|stat| id(&stat))
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

/// Opens a folder, not what a link leads to. One whose owner may not read it, and is this process's user, is opened up for
/// the moment.
fn open_to_read(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(parent, name, OFlags::RDONLY | flags, Mode::empty());
    match open() {
        Err(Errno::ACCESS) => {
            let folder = openat(parent, name, OFlags::PATH | flags, Mode::empty())?;
            let mode = Mode::from_raw_mode(fstat(&folder)?.st_mode & 0o7777);
            // By the descriptor, which may be open for nothing but this.
            let by_descriptor = format!("/proc/self/fd/{}", folder.as_raw_fd());
            chmod(&*by_descriptor, mode | Mode::RUSR | Mode::XUSR)?;
            let opened = open();
            chmod(&*by_descriptor, mode)?;
            opened
        }
        result => result,
    }
}

/// The folder that a folder lies in, if it is the one that it lay in before.
fn parent_of(child: &OwnedFd, expected: Id) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat(child, c"..", flags, Mode::empty())?;
    if id_of(&parent) == Some(expected) { Ok(parent) } else { Err(lost()) }
}

fn lost() -> io::Error {
    io::Error::other("the way through a folder was lost, because it was moved")
}

#[cfg(test)]
mod tests {
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
        for (path, mode) in [("closed/in", 0o300), ("closed", 0)] {
            fs::set_permissions(dir.join(path), PermissionsExt::from_mode(mode)).expect("it is ours");
        }
        let found = stored(&dir);
        assert_eq!((found.files, found.is_beyond), (204, false), "{found:?}");
        assert!(found.bytes > 2 << 20, "{found:?}");
        let mode = fs::metadata(dir.join("closed")).expect("it is there").mode() & 0o777;
        assert_eq!(mode, 0, "as before");
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
        let part = |number| Mapped { id: (meta.dev(), number), begin: 0, end: 4096, reach: 4096 };
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
}
