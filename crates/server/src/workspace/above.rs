//! Directories that are there because of what is below them: `/`, `/home`, `/etc`, `/proc`.
//!
//! A sandbox has a root of its own, made of places and of parts of the system. File tools are no programs in it, and so
//! they list such a directory by the names of what is below it that they can reach.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::view::{MADE, PROC, Place};

/// What a directory above places has: names, and whether each is a directory. Empty: it is none.
pub(super) fn names_in(given: &str, places: &[Place], has_made: bool) -> BTreeMap<String, bool> {
    let path = Path::new(given);
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !is_plain {
        return BTreeMap::new();
    }
    let made = MADE.iter().filter(|_| has_made).map(|(name, _)| Path::new("/etc").join(name));
    let proc = PROC.iter().map(|name| Path::new("/proc").join(name));
    let files = made.chain(proc).map(|path| (path, false));
    let system = agb_sandbox::system_paths().into_iter().filter_map(|path| {
        let meta = path.metadata().ok()?;
        Some((path, meta.is_dir()))
    });
    let places = places.iter().map(|place| (place.at.clone(), true));
    places.chain(system).chain(files).filter_map(|(known, is_dir)| name_below(path, &known, is_dir)).collect()
}

/// The name that leads from a directory towards a path below it, and whether it is a directory.
fn name_below(path: &Path, known: &Path, is_dir: bool) -> Option<(String, bool)> {
    let below: PathBuf = known.strip_prefix(path).ok()?.to_path_buf();
    let mut names = below.iter();
    let name = names.next()?.to_string_lossy().into_owned();
    Some((name, is_dir || names.next().is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_what_is_below() {
        let name = |path: &str, known: &str, is_dir| name_below(Path::new(path), Path::new(known), is_dir);
        assert_eq!(name("/", "/home/user", true), Some(("home".to_owned(), true)));
        assert_eq!(name("/home/", "/home/user", true), Some(("user".to_owned(), true)));
        assert_eq!(name("/etc", "/etc/hostname", false), Some(("hostname".to_owned(), false)));
        assert_eq!(name("/", "/proc/stat", false), Some(("proc".to_owned(), true)));
        for (path, known) in [("/home/user", "/home/user"), ("/ho", "/home/user"), ("/home/user/a", "/home/user")] {
            assert_eq!(name(path, known, true), None, "{path}");
        }
        for given in ["home", "", "/home/..", "/nowhere", "/usr/bin"] {
            assert_eq!(names_in(given, &[], true), BTreeMap::new(), "{given}");
        }
        assert!(names_in("/", &[], true).get("usr").is_some_and(|is_dir| *is_dir));
    }
}
