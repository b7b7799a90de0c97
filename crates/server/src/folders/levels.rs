//! The way down into a folder that is packed, of which a few levels are open at once.
//!
//! A folder is packed as fast as its reader takes it, which may be never. If every level stayed open, a hundred readers of
//! deep folders would take all the descriptors that a server has. So the levels above the last ones are closed, and found
//! again by `..`; each remembers where the next name is.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, fstat, openat, seek};
use rustix::io::Errno;

/// How many levels stay open.
///
/// 4: the way back by `..` is gone once for every fourth folder at most, and never from one that has no folders in it.
const OPEN: usize = 4;

/// Bytes of names that are read at once.
const NAMES: usize = 16 << 10;

/// The folders from the one that is packed down to the one whose names come next.
#[derive(Debug)]
pub(super) struct Levels {
    /// Of the innermost one, relative to the folder that is packed.
    path: PathBuf,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    /// Device and number.
    id: (u64, u64),
    /// `None`: it was closed.
    dir: Option<Dir>,
    /// Names that are read, each with where the next one is.
    names: VecDeque<(OsString, u64)>,
    next_at: u64,
}

impl Levels {
    /// Begins at this folder, which is open for reading.
    pub(super) fn new(dir: Dir) -> io::Result<Self> {
        Ok(Self { path: PathBuf::new(), levels: vec![Level::new(dir)?] })
    }

    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// The innermost folder's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The innermost folder. `None`: the last one was left.
    pub(super) fn dir(&self) -> Option<&Dir> {
        self.levels.last()?.dir.as_ref()
    }

    /// Goes into a folder of the innermost one.
    pub(super) fn enter(&mut self, name: &OsStr, dir: Dir) -> io::Result<()> {
        self.levels.push(Level::new(dir)?);
        self.path.push(name);
        if let Some(far) = self.levels.len().checked_sub(OPEN + 1) {
            self.levels[far].dir = None;
            self.levels[far].names = VecDeque::new();
        }
        Ok(())
    }

    /// The next name in the innermost folder; `None` at its end.
    pub(super) fn next_name(&mut self) -> io::Result<Option<OsString>> {
        self.levels.last_mut().map_or(Ok(None), Level::next_name)
    }

    /// Leaves the innermost folder.
    ///
    /// # Errors
    /// It was moved, so that the one above it cannot be found.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        let left = self.levels.pop();
        self.path.pop();
        if let Some(above) = self.levels.last_mut().filter(|above| above.dir.is_none()) {
            let left = left.and_then(|left| left.dir).expect("the last levels are open");
            above.dir = Some(Level::above(&left, above.id)?);
        }
        Ok(())
    }
}

impl Level {
    fn new(dir: Dir) -> io::Result<Self> {
        Ok(Self { id: id(&dir)?, dir: Some(dir), names: VecDeque::new(), next_at: 0 })
    }

    /// The folder that a folder lies in, if it is the one that it was found in.
    fn above(dir: &Dir, expected: (u64, u64)) -> io::Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let above = Dir::from_std_file(openat(dir, c"..", flags, Mode::empty())?.into());
        if id(&above)? == expected { Ok(above) } else { Err(io::Error::other("it was moved while it was packed")) }
    }

    fn next_name(&mut self) -> io::Result<Option<OsString>> {
        if self.names.is_empty() {
            self.read_names()?;
        }
        let Some((name, next_at)) = self.names.pop_front() else { return Ok(None) };
        self.next_at = next_at;
        Ok(Some(name))
    }

    fn read_names(&mut self) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        seek(dir, SeekFrom::Start(self.next_at))?;
        let mut buffer = [MaybeUninit::uninit(); NAMES];
        let mut entries = RawDir::new(dir, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::NOENT) => break, // the folder itself was removed
                entry => entry?,
            };
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                self.names.push_back((OsStr::from_bytes(name).to_owned(), entry.next_entry_cookie()));
            }
            if entries.is_buffer_empty() && !self.names.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

fn id(dir: &Dir) -> io::Result<(u64, u64)> {
    let stat = fstat(dir)?;
    Ok((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use cap_std::ambient_authority;

    use super::*;

    fn open(path: &Path) -> Dir {
        Dir::from_std_file(fs::File::open(path).expect("it was made"))
    }

    /// Every path below a folder, and the most levels that were open at once.
    fn walk(root: &Path) -> (BTreeSet<PathBuf>, usize) {
        let mut levels = Levels::new(open(root)).expect("a folder");
        let (mut found, mut most) = (BTreeSet::new(), 0);
        while levels.depth() > 0 {
            let Some(name) = levels.next_name().expect("a name") else {
                levels.leave().expect("nothing was moved");
                continue;
            };
            let path = levels.path().join(&name);
            if root.join(&path).is_dir() {
                levels.enter(&name, open(&root.join(&path))).expect("a folder");
            }
            assert!(found.insert(path), "it comes once");
            most = most.max(levels.levels.iter().filter(|level| level.dir.is_some()).count());
        }
        (found, most)
    }

    #[test]
    fn everything_is_found_and_few_levels_are_open() {
        let root = tempfile::tempdir().expect("a folder");
        let mut expected = BTreeSet::new();
        let mut folder = PathBuf::new();
        for depth in 0..30 {
            // More names than are read at once, and folders among them.
            for at in 0..if depth % 7 == 0 { 1500 } else { 5 } {
                let file = folder.join(format!("file-{at:05}"));
                fs::write(root.path().join(&file), "").expect("it is ours");
                expected.insert(file);
            }
            for side in ["a-side", "z-side"] {
                fs::create_dir_all(root.path().join(&folder).join(side).join("x/y")).expect("it is ours");
                expected.extend([side, &format!("{side}/x"), &format!("{side}/x/y")].map(|side| folder.join(side)));
            }
            folder.push("m");
            fs::create_dir(root.path().join(&folder)).expect("it is ours");
            expected.insert(folder.clone());
        }
        let (found, most) = walk(root.path());
        assert!(found == expected, "{} of {}", found.len(), expected.len());
        assert_eq!(most, OPEN);
    }

    #[test]
    fn a_folder_that_was_moved_is_told() {
        let root = tempfile::tempdir().expect("a folder");
        let names = ["a", "b", "c", "d", "e", "f"];
        fs::create_dir_all(root.path().join(names.join("/"))).expect("it is ours");
        let top = Dir::open_ambient_dir(root.path(), ambient_authority()).expect("a folder");
        let mut levels = Levels::new(open(root.path())).expect("a folder");
        for name in names {
            assert_eq!(levels.next_name().expect("a name").as_deref(), Some(OsStr::new(name)));
            let path = levels.path().join(name);
            levels.enter(OsStr::new(name), open(&root.path().join(path))).expect("a folder");
        }
        top.rename("a/b/c", &top, "elsewhere").expect("it is ours");
        let mut left = 0;
        let error = loop {
            assert_eq!(levels.next_name().expect("its end"), None);
            match levels.leave() {
                Ok(()) => left += 1,
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("moved") && left == 3, "{left}: {error}");
    }
}
