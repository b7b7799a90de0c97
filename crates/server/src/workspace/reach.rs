//! Links that lead from one place of a session to another.
//!
//! The operating system follows links beneath a place and refuses those that leave it. Programs see all places, and their
//! links have absolute targets as a rule: `ln -s /tmp/data`, the python of a virtual environment. So a path that leaves its
//! place by a link is followed by name, and the name that comes of it is located like one that was given: what is used is
//! beneath a place again, and a link that comes in between is refused.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use cap_std::fs::Dir;

use super::view::{Located, PathError};

/// Names that are looked at for one path, in all: far more than paths have, and few enough for nobody to wait.
const MAX_NAMES: usize = 256;

/// Whether a link that has the last name of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastLink {
    Followed,
    Kept,
}

/// What a path leads to that leaves its place by a link, found by `locate`; what was located where it does not, or where it
/// leads out. Call it in the name of the session's user.
pub(super) fn reach(located: Located, last: LastLink, locate: impl Fn(&str) -> Result<Located, PathError>) -> Located {
    let mut left = MAX_NAMES;
    let mut at = located.clone();
    let mut found_by_link = false;
    loop {
        let kept = if last == LastLink::Kept { at.path.file_name().map(OsString::from) } else { None };
        let looked = match &kept {
            Some(_) => at.path.parent().unwrap_or(Path::new("")),
            None => at.path.as_path(),
        };
        if !leaves(&at.dir, looked) {
            return if found_by_link { located.leads_to(at) } else { at };
        }
        let Some(mut target) = way_out(&at.dir, &at.place, looked, &mut left) else { return located };
        target.extend(kept);
        match target.to_str().map(&locate) {
            // A place itself is nothing that a name in another one stands for.
            Some(Ok(next)) if last == LastLink::Followed || !next.is_place() => (at, found_by_link) = (next, true),
            Some(_) | None => return located,
        }
    }
}

/// Whether the operating system refuses to follow a path because it leaves the directory.
fn leaves(dir: &Dir, path: &Path) -> bool {
    // That refusal has no number of the system's.
    let refused = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied && error.raw_os_error().is_none();
    !path.as_os_str().is_empty() && dir.metadata(path).is_err_and(refused)
}

/// Where a path below a place leads that leaves it by a link: absolute, its first links followed.
fn way_out(dir: &Dir, place: &Path, path: &Path, left: &mut usize) -> Option<PathBuf> {
    let mut real = PathBuf::new();
    let mut ahead = names(path);
    while let Some(name) = ahead.pop() {
        *left = left.checked_sub(1)?;
        if name == ".." {
            if real.pop() {
                continue;
            }
            // A place is reached by no link: what is above it is its parent by name.
            let mut out = place.parent()?.to_path_buf();
            while ahead.last().is_some_and(|name| name == "..") {
                ahead.pop();
                out.pop();
            }
            out.extend(ahead.into_iter().rev());
            return Some(out);
        }
        real.push(name);
        let Ok(target) = dir.read_link_contents(&real) else { continue };
        if target.is_absolute() {
            return Some(ahead.into_iter().rev().fold(target, |path, name| path.join(name)));
        }
        real.pop();
        ahead.extend(names(&target));
    }
    None
}

/// The names of a relative path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use cap_std::ambient_authority;

    use super::super::view::{self, Place};
    use super::*;

    /// `/home/user` and `/tmp`, with links between them.
    fn places(root: &Path) -> Vec<Place> {
        let place = |name: &str, at: &str| {
            let path = root.join(name);
            fs::create_dir(&path).unwrap();
            let dir = Arc::new(Dir::open_ambient_dir(&path, ambient_authority()).unwrap());
            Place { at: at.into(), inside: at.into(), dir }
        };
        let places = vec![place("home", "/home/user"), place("tmp", "/tmp")];
        fs::create_dir(root.join("tmp/data")).unwrap();
        fs::write(root.join("tmp/data/file"), "found").unwrap();
        for (link, target) in [
            ("home/absolute", "/tmp/data"),
            ("home/relative", "../../tmp/data"),
            ("home/again", "/home/user/absolute/file"),
            ("home/beside", "absolute"),
            ("home/to-come", "/tmp/data/none"),
            ("home/out", "/etc/shadow"),
            ("home/up", "../../.."),
            ("home/first", "/tmp/second"),
            ("tmp/second", "/home/user/first"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        places
    }

    #[test]
    fn links_lead_to_what_programs_find() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let locate = |given: &str| view::locate(&places, None, given);
        let read = |given: &str, last| {
            let at = reach(locate(given).unwrap(), last, locate);
            assert_eq!(at.inside, Path::new("/home/user").join(given), "it is called as it was");
            at.dir.read_to_string(&at.path).map_err(|error| error.kind())
        };
        for given in ["absolute/file", "relative/file", "beside/file", "up/tmp/data/file"] {
            assert_eq!(read(given, LastLink::Followed).as_deref(), Ok("found"), "{given}");
            assert_eq!(read(given, LastLink::Kept).as_deref(), Ok("found"), "{given}");
        }
        assert_eq!(read("again", LastLink::Followed).as_deref(), Ok("found"));
        assert_eq!(read("to-come", LastLink::Followed), Err(ErrorKind::NotFound));
        for given in ["out", "up/etc/shadow", "first", "first/file"] {
            assert_eq!(read(given, LastLink::Followed), Err(ErrorKind::PermissionDenied), "{given}");
        }
    }

    #[test]
    fn a_link_itself_has_a_name() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let locate = |given: &str| view::locate(&places, None, given);
        for given in ["absolute", "out", "first", "to-come"] {
            let at = reach(locate(given).unwrap(), LastLink::Kept, locate);
            assert!(at.dir.symlink_metadata(&at.path).unwrap().is_symlink(), "{given}");
        }
        let at = reach(locate("up/tmp").unwrap(), LastLink::Kept, locate);
        assert!(!at.is_place() && at.dir.symlink_metadata(&at.path).is_err(), "{at:?}");
        fs::create_dir(root.path().join("tmp/data/below")).unwrap();
        symlink("/home/user", root.path().join("tmp/data/below/link")).unwrap();
        let at = reach(locate("absolute/below/link").unwrap(), LastLink::Kept, locate);
        assert!(at.dir.symlink_metadata(&at.path).unwrap().is_symlink());
    }

    #[test]
    fn looking_ends() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let locate = |given: &str| view::locate(&places, None, given);
        symlink("x/".repeat(2000) + "/../", root.path().join("home/x")).unwrap();
        for given in ["x".to_owned(), format!("{}first", "absolute/../".repeat(300))] {
            let at = reach(locate(&given).unwrap(), LastLink::Followed, locate);
            assert!(at.dir.metadata(&at.path).is_err(), "{given}");
        }
    }
}
