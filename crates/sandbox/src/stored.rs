//! What a session has on disk: everything that takes room, whatever its name, path, mode and holder.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, chmod, fstat, openat, statat};
use rustix::io::Errno;

use crate::mapped::{Id, Mapped, Table, device_of_mount};
use crate::tree;

/// How many folders on the way down stay open.
///
/// 32: deeper than what people make; below that, the way back is found by `..`.
const OPEN: usize = 32;

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
    /// The numbers of files that are mapped by a name that is gone: they may have another one.
    renamed: HashSet<u64>,
    /// The device that mappings of files in the folder name that is being added.
    mount: Option<u64>,
    /// Memory that processes share, by its number.
    shared: HashSet<Id>,
    devices: HashSet<u64>,
    /// As many files are counted.
    most: u64,
    /// As many open files and mappings are still looked at.
    left: u64,
    /// As many mappings are still noted before.
    left_to_note: u64,
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
    /// It was opened up, and gets this mode again when all below it was looked at.
    mode: Option<Mode>,
}

impl Drop for Step {
    fn drop(&mut self) {
        // An error means that it is somebody else's by now.
        if let (Some(folder), Some(mode)) = (&self.folder, self.mode) {
            let _ = chmod(&*by_descriptor(folder), mode);
        }
    }
}

impl Stored {
    /// Nothing yet. No more than `most` files will be counted, and files without a name will be looked for among no more than
    /// `mappings` open files and mappings of all processes. `before`: what the look before this one has measured.
    pub(crate) fn new(most: u64, mappings: u64, before: Measured) -> Self {
        Self { most, left: mappings, left_to_note: mappings, before, ..Self::default() }
    }

    /// What the next look is to know.
    pub(crate) fn measured(self) -> Measured {
        Measured { least: self.before.least, sizes: self.measured }
    }

    /// Notes what a process has mapped that has no name, before the folders are added. Answers with what the memory takes that
    /// it shares with others and that was not noted before, whatever part of it is mapped still. Only root sees that, and who
    /// has `CAP_CHECKPOINT_RESTORE`. What is more than is to be looked at is not noted, and said by
    /// [`add_unnamed`](Self::add_unnamed).
    pub(crate) fn note_mapped(&mut self, pid: i32) -> u64 {
        // As below.
        tree::looking_at(pid, || self.note_mapped_in_own_name(pid)).unwrap_or(0)
    }

    fn note_mapped_in_own_name(&mut self, pid: i32) -> io::Result<u64> {
        let mut bytes = 0;
        if self.left_to_note == 0 {
            return Ok(bytes);
        }
        let thread = tree::witness(pid);
        let mut table = Table::of(thread)?;
        while self.left_to_note > 0
            && let Some(line) = table.next()
        {
            self.left_to_note -= 1;
            match line {
                Some(part) if part.is_shared_memory => {
                    if !self.shared.contains(&part.id)
                        && let Some(size) = part.size_of_file(thread)
                    {
                        self.shared.insert(part.id);
                        bytes += size;
                    }
                }
                Some(part) => {
                    self.renamed.insert(part.id.1);
                }
                None => {}
            }
        }
        Ok(bytes)
    }

    /// Adds what is below a folder, without following links. What vanishes meanwhile is not there.
    ///
    /// An error means that the tree was changed so that the way through it was lost: the next look may find it.
    pub(crate) fn add(&mut self, dir: &Path) -> io::Result<()> {
        let name = CString::new(dir.as_os_str().as_bytes())?;
        let mut steps = Vec::new();
        self.mount = device_of(&name);
        steps.extend(self.look_into(CWD, &name)?);
        let is_opened_up = |step: &Step| usize::from(step.mode.is_some());
        let mut opened_up: usize = steps.iter().map(is_opened_up).sum();
        self.devices.extend(self.mount);
        while let Some(at) = steps.len().checked_sub(1) {
            if self.files > self.most {
                self.is_beyond = true;
                return Ok(());
            }
            let Some(name) = steps[at].left.pop() else {
                let done: Option<Step> = steps.pop();
                opened_up -= done.as_ref().map_or(0, is_opened_up);
                if let Some(parent) = steps.last_mut()
                    && parent.folder.is_none()
                {
                    let done = done.as_ref().and_then(|step| step.folder.as_ref()).expect("the last step is open");
                    parent.folder = Some(parent_of(done, parent.id)?);
                }
                continue;
            };
            let folder = steps[at].folder.as_ref().expect("the last step is open");
            if let Some(next) = self.look_into(folder.as_fd(), &name)? {
                opened_up += is_opened_up(&next);
                steps.push(next);
                // One that was opened up stays open, to be closed again; there are not many in programs that mean no harm.
                if let Some(far) = steps.len().checked_sub(OPEN + 1)
                    && steps[far].mode.is_none()
                {
                    steps[far].folder = None;
                }
                if opened_up > OPEN {
                    self.is_beyond = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Counts what is in a folder. `None`: it is none, or not there any more.
    fn look_into(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<Step>> {
        let (folder, mode) = match open_to_read(parent, name) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(Errno::ACCESS | Errno::PERM) => {
                self.is_beyond = true;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let own = fstat(&folder)?;
        self.devices.insert(own.st_dev);
        let mut step = Step { id: id(&own), folder: None, left: Vec::new(), mode };
        let folder = step.folder.insert(folder);
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut entries = RawDir::new(&*folder, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::NOENT) => break,
                entry => entry?,
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = match statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(error) => {
                    // It was closed meanwhile; or what the name meant is gone.
                    self.is_beyond |= matches!(error, Errno::ACCESS | Errno::PERM);
                    continue;
                }
            };
            self.files += 1;
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let is_renamed = !is_folder && self.renamed.contains(&stat.st_ino);
            if is_renamed {
                // On some file systems a mapping names another device than the file.
                self.seen.extend(self.mount.map(|mount| (mount, stat.st_ino)).filter(|other| *other != id(&stat)));
            }
            if is_folder || stat.st_nlink <= 1 && !is_renamed || self.seen.insert(id(&stat)) {
                self.bytes += size(&stat);
            }
            self.remember(id(&stat), size(&stat));
            if is_folder {
                step.left.push(name.to_owned());
            }
            if self.files > self.most {
                break;
            }
        }
        Ok(Some(step))
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
        let Ok(mut table) = Table::of(thread) else { return };
        let mut mapped: HashMap<Id, u64> = HashMap::new();
        while let Some(line) = table.next()
            && self.look_at_one()
        {
            if let Some(part) = line
                && self.devices.contains(&part.id.0)
                && !self.seen.contains(&part.id)
            {
                let known = mapped.entry(part.id).or_default();
                let size = if *known > 0 { None } else { part.size_of_file(thread) };
                *known = size.unwrap_or_else(|| self.at_least(&part)).max(*known);
            }
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

/// The device that mappings of files in a folder name.
fn device_of(folder: &CStr) -> Option<u64> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    device_of_mount(openat(CWD, folder, flags, Mode::empty()).ok()?.as_fd())
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

/// Opens a folder, not what a link leads to. One whose owner may not read or enter it, and is this process's user, is opened
/// up: then its mode before comes with it.
fn open_to_read(parent: BorrowedFd<'_>, name: &CStr) -> Result<(OwnedFd, Option<Mode>), Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(parent, name, OFlags::RDONLY | flags, Mode::empty());
    let needed = Mode::RUSR | Mode::XUSR;
    let opened = open();
    let folder = match opened {
        Ok(folder) if mode_of(&folder)?.contains(needed) || rustix::process::geteuid().is_root() => {
            return Ok((folder, None));
        }
        Ok(folder) => folder,
        Err(Errno::ACCESS) => openat(parent, name, OFlags::PATH | flags, Mode::empty())?,
        Err(error) => return Err(error),
    };
    // By the descriptor, which may be open for nothing but this.
    let mode = mode_of(&folder)?;
    chmod(&*by_descriptor(&folder), mode | needed)?;
    match open() {
        Ok(opened) => Ok((opened, Some(mode))),
        Err(error) => {
            let _ = chmod(&*by_descriptor(&folder), mode);
            Err(error)
        }
    }
}

fn by_descriptor(folder: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", folder.as_raw_fd())
}

fn mode_of(folder: &OwnedFd) -> Result<Mode, Errno> {
    Ok(Mode::from_raw_mode(fstat(folder)?.st_mode & 0o7777))
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
mod tests;
