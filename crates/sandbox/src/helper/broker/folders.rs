//! Which files are a session's own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, readlinkat};
use rustix::io::Errno;

use super::{FLOOR, PLACE, own_entry};
use crate::plan::Plan;
use crate::sys::process;

/// The folders that a program may write.
#[derive(Debug)]
pub(super) struct SessionFolders(Vec<Folder>);

#[derive(Debug)]
struct Folder {
    fd: OwnedFd,
    /// As the kernel says it.
    path: Vec<u8>,
}

/// How often a file is looked for that is renamed meanwhile.
///
/// 8: each look takes microseconds, and a program that renames a file while it changes its mode does so once.
const LOOKS: usize = 8;

impl SessionFolders {
    /// `proc`: the host's `/proc`.
    pub(super) fn open(plan: &Plan, proc: BorrowedFd<'_>) -> io::Result<Self> {
        let open = |path: &PathBuf| -> io::Result<Folder> {
            let fd = process::lift(
                openat2(CWD, path.as_path(), PLACE | OFlags::DIRECTORY, Mode::empty(), ResolveFlags::empty())?,
                FLOOR,
            )?;
            let path = readlinkat(proc, own_entry(fd.as_fd()), Vec::new())?.into_bytes();
            Ok(Folder { fd, path })
        };
        Ok(Self(plan.policy.own_dirs().map(open).collect::<io::Result<_>>()?))
    }

    /// The same file, reached from one of the folders by names alone. `EPERM`: it is not there.
    ///
    /// The kernel says where the file is. That may be out of date at once, so the way is gone from the folder on: over no
    /// link, no `..` and no other file system. Where that ends at another file, the program has renamed something meanwhile.
    ///
    /// A program cannot bring a name of another file below its folders: Landlock refuses links and renames from elsewhere.
    pub(super) fn find(&self, proc: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        const NAMES_ALONE: ResolveFlags = ResolveFlags::BENEATH
            .union(ResolveFlags::NO_SYMLINKS)
            .union(ResolveFlags::NO_MAGICLINKS)
            .union(ResolveFlags::NO_XDEV);
        let wanted = fstat(file)?;
        for _ in 0..LOOKS {
            let path = readlinkat(proc, own_entry(file), Vec::new()).map_err(|_| Errno::PERM)?;
            let mut ways = self.0.iter().filter_map(|folder| Some((folder, folder.way_to(path.as_bytes())?)));
            let Some((folder, way)) = ways.next() else { return Err(Errno::PERM) };
            if let Ok(found) = openat2(&folder.fd, way, PLACE | OFlags::NOFOLLOW, Mode::empty(), NAMES_ALONE)
                && is_same(&fstat(&found)?, &wanted)
            {
                return Ok(found);
            }
        }
        Err(Errno::PERM)
    }
}

impl Folder {
    /// The names that lead to a path; `None`: it is not below this folder.
    fn way_to<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        match path.strip_prefix(self.path.as_slice())? {
            [] => Some(b"."),
            [b'/', way @ ..] => Some(way),
            _ => None,
        }
    }
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_file_begins_at_a_whole_name() {
        let fd = openat2(CWD, c"/", PLACE, Mode::empty(), ResolveFlags::empty()).expect("there is one");
        let folder = Folder { fd, path: b"/srv/work".to_vec() };
        assert_eq!(folder.way_to(b"/srv/work"), Some(&b"."[..]));
        assert_eq!(folder.way_to(b"/srv/work/a/b"), Some(&b"a/b"[..]));
        for elsewhere in ["/srv/work-2/a", "/srv", "/", "pipe:[7]", "", "/srv/workshop"] {
            assert_eq!(folder.way_to(elsewhere.as_bytes()), None, "{elsewhere}");
        }
    }
}
