//! The path of a file in a context: the path that the session which wrote it saw, without the leading slash.

use std::path::{Path, PathBuf};

use super::ContextError;
use crate::shorten::shown;

/// A path below a context's root. It has only plain names, so it cannot lead out; empty means the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ContextPath(PathBuf);

/// As deep as people nest folders, and far less than what recursive tools can take.
pub(crate) const MAX_DEPTH: usize = 64;
/// What Linux takes as one path.
const MAX_LENGTH: usize = 4096;
/// What Linux file systems take as one name.
const MAX_NAME: usize = 255;

impl ContextPath {
    /// Reads a path as a client writes it: absolute or not, with `/` or `\`, with a slash at the end or without.
    pub(crate) fn parse(given: &str) -> Result<Self, ContextError> {
        Self::check_length(given)?;
        let invalid = |problem| ContextError::InvalidPath { path: shown(given), problem };
        if given.contains('\0') {
            return Err(invalid("it contains a NUL"));
        }
        let given = given.replace('\\', "/");
        let mut path = PathBuf::new();
        let mut depth = 0;
        for name in given.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if name == ".." {
                return Err(invalid("it contains `..`"));
            }
            if name.len() > MAX_NAME {
                return Err(invalid("a name in it is longer than 255 bytes"));
            }
            depth += 1;
            path.push(name);
        }
        if depth > MAX_DEPTH {
            return Err(invalid("it has more than 64 folders"));
        }
        Ok(Self(path))
    }

    /// Refuses what is too long for a path, whatever is in it.
    pub(crate) fn check_length(given: &str) -> Result<(), ContextError> {
        if given.len() > MAX_LENGTH {
            return Err(ContextError::InvalidPath { path: shown(given), problem: "it is longer than 4096 bytes" });
        }
        Ok(())
    }

    /// The path of a file, which has a name at least.
    pub(crate) fn of_file(given: &str) -> Result<Self, ContextError> {
        let path = Self::parse(given)?;
        if path.is_root() {
            return Err(ContextError::InvalidPath { path: shown(given), problem: "it names no file" });
        }
        Ok(path)
    }

    /// A path that was found on disk, where only paths that were read here are made.
    pub(super) fn of_stored(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// A path of a session's file below this one. Names that clients could not write are refused: `\` is a separator there,
    /// and paths are text. Two files never become one.
    pub(crate) fn join(&self, below: &Path) -> Result<Self, ContextError> {
        let path = self.0.join(below);
        let invalid = |problem| ContextError::InvalidPath { path: shown(&path.to_string_lossy()), problem };
        match path.to_str() {
            None => Err(invalid("its name is not UTF-8; rename it")),
            Some(text) if text.contains('\\') => Err(invalid("a name in it contains `\\`; rename it")),
            Some(text) => Self::parse(text),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.as_os_str().is_empty()
    }

    /// Relative to the root of the context.
    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }

    /// As sessions see it.
    pub(crate) fn shown(&self) -> String {
        format!("/{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized() {
        for (given, shown) in [
            ("/tmp/a.txt", "/tmp/a.txt"),
            ("a.txt", "/a.txt"),
            ("//home/./user//x/", "/home/user/x"),
            ("C:\\data\\x", "/C:/data/x"),
            ("", "/"),
            ("/", "/"),
            ("日本/é", "/日本/é"),
        ] {
            assert_eq!(ContextPath::parse(given).map(|path| path.shown()).as_deref(), Ok(shown), "{given}");
        }
    }

    #[test]
    fn names_of_sessions_are_taken_as_they_are_or_not_at_all() {
        use std::os::unix::ffi::OsStrExt;
        let at = ContextPath::parse("/data").expect("it is one");
        let join = |bytes: &[u8]| at.join(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        for name in ["a:b", "a\nb", " ", "日本", "~", "C:", "..."] {
            assert_eq!(join(name.as_bytes()).map(|path| path.shown()), Ok(format!("/data/{name}")));
        }
        for bytes in [&b"..\\x"[..], b"a\\b", b"\xff", b"a/\xfe/b", b"..", "x/".repeat(64).as_bytes()] {
            assert!(matches!(join(bytes), Err(ContextError::InvalidPath { .. })), "{bytes:?}");
        }
        join("x/".repeat(63).as_bytes()).expect("64 with its parent");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let (long, deep) = ("x".repeat(256), "x/".repeat(65));
        for given in ["..", "/a/../../b", "a\\..\\b", "a\0b", long.as_str(), deep.as_str(), &"x/".repeat(3000)] {
            assert!(ContextPath::parse(given).is_err(), "{given}");
        }
        assert!(ContextPath::of_file("/").is_err() && ContextPath::of_file("./").is_err());
    }
}
