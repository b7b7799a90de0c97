//! Removing what programs have left behind: trees of any depth, width, names and modes.
//!
//! ```text
//! top ─┬─ a ── b ── c ── …          top ─┬─ b ── c ── …     (b was moved up, a was empty then)
//!      └─ file                 ──►       └─ (the file is gone)
//! ```
//!
//! A folder is emptied from its top: files go, and a folder with folders in it gives those to the top before it goes
//! itself. So there are two open descriptors however deep a tree is, and each folder is moved once at most.
//!
//! Nothing is trusted: each name is opened for itself from the descriptor of its folder, and no link is followed; rights
//! are changed by descriptors. A server that is root does all of this in the name of the user that the folder belongs to,
//! in a thread of its own, so that whatever a program exchanges meanwhile it can meet only what it could remove itself.

use std::ffi::{CStr, CString};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom, chmod, fstat, openat, renameat, seek, unlinkat};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
use rustix::thread::{Gid, set_thread_groups};

/// How long removing one tree may take.
///
/// 5 minutes: a session's 200,000 files take seconds; beyond this, somebody writes faster than files can be removed.
const PATIENCE: Duration = Duration::from_secs(300);

/// Removes a folder with all that is in it, or whatever else is at the path; nothing there is fine.
///
/// It blocks for as long as that takes: not for a thread that others wait for. The folder that `path` lies in is the
/// caller's, and is found by following links.
///
/// # Errors
/// Something could not be removed; everything else was. Or somebody still fills the tree after minutes.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let parent = if parent == Path::new("") { Path::new(".") } else { parent };
    let parent = match rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        parent => parent?,
    };
    let name = CString::new(name.as_bytes())?;
    let work = |parent: BorrowedFd<'_>| Remover::new().remove(parent, &name);
    // In a stranger's folder, the name is the stranger's, too.
    as_owner(parent.as_fd(), || work(parent.as_fd()))
}

/// Does something in the name of the user that a folder belongs to, if this process is root and that one is not.
fn as_owner<T: Send>(folder: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    as_user(fstat(folder)?.st_uid, work)
}

/// Does something in a user's name, as far as files are concerned, if this process is root and that one is not.
pub(crate) fn as_user<T: Send>(user: u32, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    if acting_user() != 0 || user == 0 {
        return work();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("agb-as-user".to_owned());
        let thread = thread.spawn_scoped(scope, || {
            become_for_files(user)?;
            work()
        })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that acts for a user has panicked")))
    })
}

/// The user that this thread's access to files is decided by.
fn acting_user() -> u32 {
    set_for_files(u32::MAX, libc::setfsuid) // a number that is none changes nothing, and asks only
}

/// Changes a number that this thread's access to files is decided by, if that is allowed. Gives what it was.
fn set_for_files(id: u32, call: unsafe extern "C" fn(u32) -> libc::c_int) -> u32 {
    // SAFETY: `setfsuid` or `setfsgid`: system calls on integers, which are about this thread.
    unsafe { call(id) }.unsigned_abs()
}

/// Makes this thread, which does nothing else afterwards, another user's for access to files.
fn become_for_files(user: u32) -> io::Result<()> {
    let dumpable = dumpable_behavior()?;
    set_thread_groups(&[Gid::from_raw(user)])?;
    set_for_files(user, libc::setfsgid);
    set_for_files(user, libc::setfsuid);
    // The kernel has made the whole process one that nobody may look into. Its user is what it was, though: as before.
    if dumpable == DumpableBehavior::Dumpable {
        set_dumpable_behavior(dumpable)?;
    }
    if acting_user() == user { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
}

/// One removal.
struct Remover {
    deadline: Instant,
    /// What the names begin with that folders get which are moved up, and how many have.
    prefix: String,
    moved: u64,
    /// The first thing that could not be removed. It may have been since.
    problem: Option<io::Error>,
}

impl Remover {
    fn new() -> Self {
        let random = RandomState::new().build_hasher().finish();
        let deadline = Instant::now() + PATIENCE;
        Self { deadline, prefix: format!(".agb-removed-{random:016x}"), moved: 0, problem: None }
    }

    /// Removes what is at a name.
    fn remove(mut self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        loop {
            match remove_name(parent, name, FileType::Unknown) {
                Ok(()) => return Ok(()),
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            match open_folder(parent, name) {
                Ok(folder) => self.empty(folder)?,
                // It is something else by now.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Empties a folder, in its owner's name.
    fn empty(&mut self, folder: OwnedFd) -> io::Result<()> {
        as_owner(folder.as_fd(), || {
            loop {
                // What cannot be removed now may be when something else is: rights are needed, or room.
                self.problem = None;
                let Pass { found, removed } = self.pass(folder.as_fd(), None)?;
                match self.problem.take() {
                    _ if found == 0 => return Ok(()),
                    Some(problem) if removed == 0 => return Err(problem),
                    _ => {}
                }
                if Instant::now() > self.deadline {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "somebody still writes in it"));
                }
            }
        })
    }

    /// Removes what is in a folder as it is now. Folders that are not empty are given to `top`, or, in the top itself,
    /// gone into.
    fn pass(&mut self, folder: BorrowedFd<'_>, top: Option<BorrowedFd<'_>>) -> io::Result<Pass> {
        seek(folder, SeekFrom::Start(0))?;
        let mut pass = Pass::default();
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut entries = RawDir::new(folder, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                // It was removed itself.
                Err(Errno::NOENT) => break,
                entry => entry?,
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            pass.found += 1;
            let result = match remove_name(folder, name, entry.file_type()) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => match top {
                    Some(top) => self.move_up(folder, name, top).map(|()| true),
                    None => self.remove_folder(folder, name),
                },
                Err(Errno::ACCESS) => {
                    open_up(folder).and_then(|()| Ok(remove_name(folder, name, FileType::Unknown)?)).map(|()| true)
                }
                result => result.map(|()| true).map_err(io::Error::from),
            };
            match result {
                Ok(has_changed) => pass.removed += u64::from(has_changed),
                Err(error) => _ = self.problem.get_or_insert(error),
            }
        }
        Ok(pass)
    }

    /// Removes a folder in the top that is not empty. `false`: nothing in it could be removed.
    fn remove_folder(&mut self, top: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
        let folder = match open_folder(top, name) {
            // Somebody else removes it as well, or it is something else by now, which the next pass finds.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(true),
            folder => folder?,
        };
        let has_changed = if acting_user() == 0 && fstat(&folder)?.st_uid != 0 {
            // It is the top of what is its owner's.
            self.empty(folder)?;
            true
        } else {
            self.pass(folder.as_fd(), Some(top))?.removed > 0
        };
        // If it has got something new meanwhile, the next pass finds it.
        match remove_name(top, name, FileType::Directory) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(has_changed),
            result => Ok(result.map(|()| true)?),
        }
    }

    /// Gives a folder to the top, under a name of ours.
    fn move_up(&mut self, folder: BorrowedFd<'_>, name: &CStr, top: BorrowedFd<'_>) -> io::Result<()> {
        let mut opened = false;
        loop {
            self.moved += 1;
            let new = format!("{}-{}", self.prefix, self.moved);
            match renameat(folder, name, top, new) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // Somebody has guessed the name.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) if Instant::now() < self.deadline => {}
                // A folder that is moved has to be writable itself, as its `..` changes.
                Err(Errno::ACCESS) if !opened => {
                    opened = true;
                    open_up(folder)?;
                    open_up(open_folder(folder, name)?.as_fd())?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What a pass over a folder came to.
#[derive(Default)]
struct Pass {
    found: u64,
    /// Removed, or moved to where it will be.
    removed: u64,
}

/// Removes a file, a link or an empty folder. What is not there is removed.
fn remove_name(folder: BorrowedFd<'_>, name: &CStr, kind: FileType) -> Result<(), Errno> {
    let file = || unlinkat(folder, name, AtFlags::empty());
    let dir = || unlinkat(folder, name, AtFlags::REMOVEDIR);
    let result = match kind {
        FileType::Directory => dir().or_else(|error| if error == Errno::NOTDIR { file() } else { Err(error) }),
        // POSIX has EPERM for folders. If it is none, the reason is the first one.
        _ => match file() {
            Err(error @ (Errno::ISDIR | Errno::PERM)) => match dir() {
                Err(Errno::NOTDIR) => Err(error),
                result => result,
            },
            result => result,
        },
    };
    match result {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// Opens a folder for reading, whatever its mode; not what a link leads to.
pub(crate) fn open_folder(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(parent, name, OFlags::RDONLY | flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let folder = openat(parent, name, OFlags::PATH | flags, Mode::empty())?;
            open_up(folder.as_fd()).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::ACCESS))?;
            openat(parent, name, OFlags::RDONLY | flags, Mode::empty())
        }
        result => result,
    }
}

/// Gives a folder's owner all rights to it. Only for one's own.
fn open_up(folder: BorrowedFd<'_>) -> io::Result<()> {
    if fstat(folder)?.st_uid != acting_user() {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    // By the descriptor, which may be open for nothing but this.
    Ok(chmod(PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())), Mode::RWXU)?)
}
