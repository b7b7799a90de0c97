//! Paths that were seen, in sixteen bytes each, however long they are.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::LazyLock;

/// A set of paths that can be asked and not listed.
///
/// A program can make a hundred thousand paths of four thousand bytes. So a digest stands for a path: two of 64 bits, with
/// keys that nobody knows, so that no two paths of anybody's choice have the same.
#[derive(Debug, Default)]
pub(super) struct PathSet {
    digests: HashSet<[u64; 2]>,
}

/// The keys of this process.
static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

impl PathSet {
    pub(super) fn insert(&mut self, path: &Path) {
        self.digests.insert(digest(path));
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        self.digests.contains(&digest(path))
    }

    /// Whether all paths of another set are in this one.
    pub(super) fn has_all(&self, others: &Self) -> bool {
        self.digests.is_superset(&others.digests)
    }
}

fn digest(path: &Path) -> [u64; 2] {
    KEYS.each_ref().map(|keys| keys.hash_one(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        let (mut one, mut other) = (PathSet::default(), PathSet::default());
        let paths: Vec<String> = (0..2000).map(|at| format!("{}/{at}", "x/".repeat(at % 50))).collect();
        paths.iter().step_by(2).for_each(|path| one.insert(Path::new(path)));
        for (at, path) in paths.iter().enumerate() {
            assert_eq!(one.contains(Path::new(path)), at % 2 == 0, "{path}");
        }
        assert!(one.has_all(&other));
        other.insert(Path::new(&paths[0]));
        assert!(one.has_all(&other) && !other.has_all(&one));
        other.insert(Path::new("elsewhere"));
        assert!(!one.has_all(&other));
    }
}
