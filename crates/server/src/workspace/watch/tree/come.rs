//! The folders that have come within a look of a watch.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::Course;

/// What the paths of folders that have come may take together within a look, bytes: as much as can be told of them.
const COME: usize = 1 << 20;

/// The folders that have come within a look. They are walked through once, at its end.
#[derive(Debug, Default)]
pub(super) struct Come {
    paths: BTreeSet<PathBuf>,
    bytes: usize,
}

impl Come {
    /// [`Course::Lost`]: they are too many.
    pub(super) fn add(&mut self, path: PathBuf) -> Course {
        self.bytes += path.as_os_str().len() + size_of::<PathBuf>();
        self.paths.insert(path);
        if self.bytes > COME { Course::Lost } else { Course::Done }
    }

    /// A folder has gone again, with all below it.
    pub(super) fn cut(&mut self, path: &Path) {
        let behind = |paths: &BTreeSet<PathBuf>| {
            let next = paths.range::<Path, _>((Bound::Included(path), Bound::Unbounded)).next();
            next.filter(|at| at.starts_with(path)).cloned()
        };
        while let Some(gone) = behind(&self.paths) {
            self.paths.remove(&gone);
        }
    }

    /// Those that are below no other one.
    pub(super) fn highest(self) -> Vec<PathBuf> {
        let mut highest: Vec<PathBuf> = Vec::new();
        for path in self.paths {
            if !highest.last().is_some_and(|last| path.starts_with(last)) {
                highest.push(path);
            }
        }
        highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_came_are_cut_with_what_is_above_them() {
        let mut come = Come::default();
        for path in ["a", "a/b", "ab", "c/d", "c/d/e"] {
            assert_eq!(come.add(path.into()), Course::Done);
        }
        come.cut(Path::new("a"));
        assert_eq!(come.highest(), [PathBuf::from("ab"), PathBuf::from("c/d")]);
        let mut come = Come::default();
        assert!((0..2 * COME).any(|at| come.add(format!("{at}").into()) == Course::Lost), "it is bounded");
    }
}
