//! What a path means: the file that a program of the session sees under it.
//!
//! | path | what is there | may be changed |
//! | --- | --- | --- |
//! | relative, `/home/user` | the working directory | yes |
//! | `/tmp`, `/var/tmp` | the session's temporary files | yes |
//! | a mount's | the mounted context | yes |
//! | `/usr`, `/bin`, …, parts of `/etc` | the system, as sandboxes show it | no |
//! | `/etc/hostname`, `/etc/hosts` | what sandboxes have instead of the machine's | no |
//! | `/proc/cpuinfo` and other files that name no process | the kernel's | no |
//!
//! Each place is an open directory, and what is below it is resolved beneath it by the operating system: neither `..` nor
//! a symbolic link leads from one place to another or out. (A link to another place is followed by name: `reach.rs`.)

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, OpenOptions, OpenOptionsExt};
use thiserror::Error;

use crate::shorten::shown;

/// A directory that programs see, and where.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The path that callers use, absolute.
    pub(crate) at: PathBuf,
    /// Where programs see it, absolute: the same, but for `/tmp` where they have no file system of their own.
    pub(crate) inside: PathBuf,
    pub(crate) dir: Arc<Dir>,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// The place that it is in.
    pub(crate) dir: Arc<Dir>,
    /// Relative to the place; `.` is the place itself.
    pub(crate) path: PathBuf,
    /// The path as programs see it, absolute.
    pub(crate) inside: PathBuf,
    /// The place as programs see it, absolute.
    pub(crate) place: PathBuf,
    writable: bool,
    /// It was found by a link that leads out of the place that the path names.
    is_behind_link: bool,
}

/// Why a path leads to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum PathError {
    /// It has a NUL in it, or nothing.
    #[error("the path {0:?} is not a path: give a name relative to the session's working directory")]
    Invalid(String),
    /// No system call takes it.
    #[error("the path that begins with {0:?} is too long: give one of at most {MAX_PATH} bytes")]
    TooLong(String),
    /// It leads out.
    #[error("not found: the path {0:?} {why}", why = why_outside(.0))]
    Outside(String),
    /// It may be read only.
    #[error(
        "the path {0:?} is in a folder of the system's, which cannot be changed: use the working directory or /tmp"
    )]
    ReadOnly(String),
}

/// What Linux takes as one path. A longer one is not even looked at: it would be copied, kept and told.
pub(crate) const MAX_PATH: usize = 4096;

/// Files of `/proc` that tell of the machine and not of a process; a sandbox's own `/proc` has the same.
pub(super) const PROC: [&str; 10] =
    ["cpuinfo", "filesystems", "loadavg", "meminfo", "partitions", "stat", "swaps", "uptime", "version", "vmstat"];

/// The words for a path that leads out.
fn why_outside(path: &str) -> &'static str {
    if Path::new(path).starts_with("/proc") {
        return "tells of a process, and a file tool is not a process of the session's: read it by a command, such as cat";
    }
    "is outside of the session's working directory, of its temporary folder, of its mounts and of the system's folders"
}

impl Located {
    /// The same, for a tool that changes something there. To what may only be read, no link leads it.
    pub(crate) fn writable(self) -> Result<Self, PathError> {
        let path = shown(&self.inside.to_string_lossy());
        match () {
            () if self.writable => Ok(self),
            () if self.is_behind_link => Err(PathError::Outside(path)),
            () => Err(PathError::ReadOnly(path)),
        }
    }

    /// What was found by the links of this one, under its name.
    pub(super) fn leads_to(self, target: Self) -> Self {
        Self { inside: self.inside, is_behind_link: true, ..target }
    }

    /// Whether it is a directory.
    pub(crate) fn is_dir(&self) -> bool {
        self.dir.metadata(&self.path).is_ok_and(|meta| meta.is_dir())
    }

    /// Opens a regular file. Anything else (a pipe, a device) could block for ever, and is refused.
    pub(crate) fn open(&self, options: &mut OpenOptions) -> io::Result<(File, Metadata)> {
        let file = self.dir.open_with(&self.path, options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY))?;
        let meta = file.metadata()?;
        match () {
            () if meta.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
            () if !meta.is_file() => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
            () => Ok((file, meta)),
        }
    }

    /// Whether it is the place itself, which goes with its session.
    pub(crate) fn is_place(&self) -> bool {
        self.path == Path::new(".")
    }
}

/// Finds what a path leads to. The first place is where relative paths begin.
pub(crate) fn locate(places: &[Place], made: Option<&Place>, given: &str) -> Result<Located, PathError> {
    if given.is_empty() || given.contains('\0') {
        return Err(PathError::Invalid(shown(given)));
    }
    if given.len() > MAX_PATH {
        return Err(PathError::TooLong(shown(given)));
    }
    let outside = || PathError::Outside(shown(given));
    let path = Path::new(given);
    if !path.is_absolute() {
        let home = places.first().ok_or_else(outside)?;
        let relative = relative(path).ok_or_else(outside)?;
        return Ok(found(&home.dir, relative, &home.inside, true));
    }
    // The innermost place counts.
    let place = places.iter().filter(|place| path.starts_with(&place.at));
    if let Some(place) = place.max_by_key(|place| place.at.components().count()) {
        let below = path.strip_prefix(&place.at).map_err(|_| outside())?;
        return Ok(found(&place.dir, relative(below).ok_or_else(outside)?, &place.inside, true));
    }
    system(path, made).ok_or_else(outside)
}

fn found(dir: &Arc<Dir>, path: PathBuf, place: &Path, writable: bool) -> Located {
    let inside = if path == Path::new(".") { place.to_path_buf() } else { place.join(&path) };
    Located { dir: Arc::clone(dir), path, inside, place: place.to_path_buf(), writable, is_behind_link: false }
}

/// A path that does not lead above where it begins, as far as can be seen without looking.
fn relative(path: &Path) -> Option<PathBuf> {
    let mut depth = 0_usize;
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => continue,
            Component::ParentDir => depth = depth.checked_sub(1)?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
        clean.push(component);
    }
    Some(if clean.as_os_str().is_empty() { PathBuf::from(".") } else { clean })
}

/// A part of the system that sandboxes show. Its links are followed on this machine, where they are the system's own.
fn system(path: &Path, made: Option<&Place>) -> Option<Located> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !plain {
        return None;
    }
    if let Some(made) = made
        && let Some(name) = MADE.iter().find(|name| path == made.at.join(name.0))
    {
        return Some(found(&made.dir, PathBuf::from(name.0), &made.inside, false));
    }
    let open = |root: &Path| Dir::open_ambient_dir(root, ambient_authority()).ok().map(Arc::new);
    if let Ok(name) = path.strip_prefix("/proc") {
        let is_known = PROC.iter().any(|known| name == Path::new(known));
        let dir = is_known.then(|| open(Path::new("/proc"))).flatten()?;
        return Some(found(&dir, name.to_path_buf(), Path::new("/proc"), false));
    }
    let roots = agb_sandbox::system_paths();
    if !roots.iter().any(|root| path.starts_with(root)) {
        return None;
    }
    // One that does not exist is not found in its folder.
    let real =
        path.canonicalize().ok().or_else(|| Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?)))?;
    let root = roots.into_iter().filter_map(|root| root.canonicalize().ok()).find(|root| real.starts_with(root))?;
    let (root, below) = if root.is_dir() {
        let below = real.strip_prefix(&root).ok()?.to_path_buf();
        (root, below)
    } else {
        (root.parent()?.to_path_buf(), PathBuf::from(root.file_name()?))
    };
    let mut located = found(&open(&root)?, relative(&below)?, &root, false);
    located.inside = path.to_path_buf();
    Some(located)
}

/// Files that sandboxes have in place of the machine's, relative to `/etc`.
pub(crate) const MADE: [(&str, &str); 2] =
    [("hostname", "sandbox\n"), ("hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n")];

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &Path) -> Vec<Place> {
        ["home", "tmp", "mount"]
            .into_iter()
            .zip(["/home/user", "/tmp", "/home/project"])
            .map(|(name, inside)| {
                let path = root.join(name);
                std::fs::create_dir_all(&path).expect("the temporary directory is writable");
                let dir = Dir::open_ambient_dir(&path, ambient_authority()).expect("it was made above");
                Place { at: inside.into(), inside: inside.into(), dir: Arc::new(dir) }
            })
            .collect()
    }

    #[test]
    fn paths_lead_where_programs_see_them() {
        let root = tempfile::tempdir().expect("a folder");
        let places = places(root.path());
        for (given, path, inside) in [
            ("a", "a", "/home/user/a"),
            ("./a/../b/", "a/../b", "/home/user/a/../b"),
            (".", ".", "/home/user"),
            ("/home/user", ".", "/home/user"),
            ("/home/user/a/b", "a/b", "/home/user/a/b"),
            ("/tmp/x", "x", "/tmp/x"),
            ("/tmp/", ".", "/tmp"),
            ("/home/project/x", "x", "/home/project/x"),
        ] {
            let located = locate(&places, None, given).expect(given).writable().expect(given);
            assert_eq!(
                (located.path.as_path(), located.inside.as_path()),
                (Path::new(path), Path::new(inside)),
                "{given}"
            );
        }
        for given in [
            "/etc/passwd",
            "/etc/shadow",
            "..",
            "a/../../b",
            "/",
            "/home",
            "/home/user/../../etc",
            "/tmp/../etc",
            "/proc/1/environ",
            "/proc/self",
            "/usr/../etc/shadow",
            "/root",
            "/tmpx",
        ] {
            assert_eq!(locate(&places, None, given).err(), Some(PathError::Outside(given.to_owned())), "{given}");
        }
        for given in ["", "a\0b"] {
            assert!(matches!(locate(&places, None, given), Err(PathError::Invalid(_))), "{given:?}");
        }
        for start in ["", "/tmp/", "/usr/", "/nowhere/"] {
            let given = start.to_owned() + &"\u{7f}/".repeat(8 << 20);
            let error = locate(&places, None, &given).expect_err(start);
            assert!(matches!(error, PathError::TooLong(_)) && error.to_string().len() < 2000, "{start}");
        }
        std::os::unix::fs::symlink("/etc", root.path().join("home/out")).expect("a link");
        let located = locate(&places, None, "out/passwd").expect("it looks plain");
        assert!(located.dir.read(&located.path).is_err(), "a link leads out");
    }

    #[test]
    fn the_systems_files_are_read_only() {
        let root = tempfile::tempdir().expect("a folder");
        let places = places(root.path());
        for given in ["/usr/bin/env", "/bin/sh", "/usr", "/bin", "/etc/os-release", "/proc/meminfo"] {
            let located = locate(&places, None, given).expect(given);
            assert!(located.dir.metadata(&located.path).is_ok(), "{given}: {located:?}");
            assert!(matches!(located.writable(), Err(PathError::ReadOnly(_))), "{given}");
        }
        let missing = locate(&places, None, "/usr/none").expect("it would be in the system");
        assert_eq!(missing.dir.metadata(&missing.path).err().map(|e| e.kind()), Some(io::ErrorKind::NotFound));
        let made = Place { at: "/etc".into(), inside: "/etc".into(), dir: Arc::clone(&places[0].dir) };
        assert_eq!(locate(&places, Some(&made), "/etc/hostname").expect("it is made").path, Path::new("hostname"));
        assert!(locate(&places, Some(&made), "/etc/passwd").is_err());
    }
}
