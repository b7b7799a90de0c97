//! The folders that a walk through a tree still has to look into, in the memory of their names.
//!
//! A stranger's tree can have hundreds of thousands of folders whose paths have 4,000 bytes each: a list of whole paths
//! would be a gigabyte. So siblings share the path of the folder that they lie in, and what was found last is looked into
//! first: then no more of those paths are held than the tree is deep.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Folders that are to be looked into, the last one first.
#[derive(Debug)]
pub(crate) struct FolderStack {
    folders: Vec<Found>,
    names: usize,
}

#[derive(Debug)]
struct Found {
    /// What it lies in. `None`: it is where the walk begins.
    parent: Option<Rc<Path>>,
    name: OsString,
}

impl FolderStack {
    /// A walk that begins here; an empty path and `.` are no part of the paths below them.
    pub(crate) fn new(start: PathBuf) -> Self {
        Self { names: start.as_os_str().len(), folders: vec![Found { parent: None, name: start.into_os_string() }] }
    }

    /// The folder to look into next.
    pub(crate) fn pop(&mut self) -> Option<Rc<Path>> {
        let Found { parent, name } = self.folders.pop()?;
        self.names -= name.len();
        let path = match parent {
            Some(parent) if *parent != *Path::new(".") => parent.join(name),
            _ => PathBuf::from(name),
        };
        Some(path.into())
    }

    /// A folder was found in another one.
    pub(crate) fn push(&mut self, parent: &Rc<Path>, name: OsString) {
        self.names += name.len();
        self.folders.push(Found { parent: Some(Rc::clone(parent)), name });
    }

    /// What it takes, in bytes: a list grows by doubling, and each name is an allocation.
    pub(crate) fn memory(&self) -> usize {
        self.names + self.folders.len() * (2 * size_of::<Found>() + 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(start: &str) -> Vec<PathBuf> {
        let mut stack = FolderStack::new(start.into());
        let mut found = Vec::new();
        while let Some(folder) = stack.pop() {
            found.push(folder.to_path_buf());
            if found.len() < 4 {
                stack.push(&folder, "a".into());
                stack.push(&folder, "b".into());
            }
        }
        assert_eq!(stack.memory(), 0);
        found
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let below = ["b", "b/b", "b/b/b", "b/b/a", "b/a", "a"].map(PathBuf::from);
        for start in ["", "."] {
            let walked = walk(start);
            assert_eq!((walked[0].as_path(), &walked[1..]), (Path::new(start), &below[..]));
        }
        assert_eq!(walk("x/y")[..3], ["x/y", "x/y/b", "x/y/b/b"].map(PathBuf::from));
    }

    #[test]
    fn the_path_above_is_held_once() {
        let deep: Rc<Path> = Path::new(&"x/".repeat(2000)).into();
        let mut stack = FolderStack::new(PathBuf::new());
        (0..1000).for_each(|at| stack.push(&deep, format!("{at:03}").into()));
        assert!(stack.memory() < 200_000, "{}", stack.memory());
        assert_eq!(Rc::strong_count(&deep), 1001);
    }
}
