//! Where an image's Python lives once it is prepared, and its packages of JavaScript.
//!
//! ```text
//! images/NAME/
//!   current -> 3f09c2…-1764000000     replaced in one step, so that a session sees the old or the new one
//!   3f09c2…-1764000000/               a virtual environment; the name begins with what it was made from
//!     bin/node                        a link, where there are packages of JavaScript
//!     lib/node_modules/               and those
//!   lock                              held by whoever prepares
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::definition::Definition;

/// The place of one image's environments.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    folder: PathBuf,
}

impl Environment {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The environment that is in use. Its real path: a session keeps it when another takes its place.
    pub(crate) fn current(&self) -> Option<PathBuf> {
        let name = fs::read_link(self.folder.join("current")).ok()?;
        Some(self.folder.join(name)).filter(|folder| interpreter_in(folder).exists())
    }

    /// The Python of the environment in use.
    pub(crate) fn interpreter(&self) -> Option<PathBuf> {
        self.current().as_deref().map(interpreter_in)
    }

    /// The node of the environment in use, if it has packages for it.
    pub(crate) fn node(&self) -> Option<PathBuf> {
        self.current().as_deref().map(node_in).filter(|node| node.exists())
    }

    /// Where those packages are.
    pub(crate) fn node_modules(&self) -> Option<PathBuf> {
        self.current().as_deref().map(node_modules_in).filter(|folder| folder.exists())
    }

    /// Whether the environment in use was made from this.
    pub(crate) fn is_made_from(&self, fingerprint: &str) -> bool {
        let current = self.current();
        let name = current.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        name.and_then(|name| name.split_once('-')).is_some_and(|(made_from, _)| made_from == fingerprint)
    }

    /// The place for a new one.
    pub(crate) fn new_folder(&self, fingerprint: &str) -> PathBuf {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.folder.join(format!("{fingerprint}-{}", now.as_micros()))
    }

    /// Puts a finished one into use.
    pub(crate) fn use_folder(&self, folder: &Path) -> io::Result<()> {
        let name = folder.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let link = self.folder.join("current");
        let fresh = self.folder.join("current.new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => symlink(name, &fresh)?,
        }
        fs::rename(fresh, link)
    }

    /// Removes what is of no use any more: half-made ones, and those before the last one. `keep` are used.
    pub(crate) fn remove_others(&self, keep: &[PathBuf]) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && !keep.contains(&entry.path()) {
                agb_sandbox::remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// The Python of an environment.
pub(crate) fn interpreter_in(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

/// The node of an environment: what lies beside it comes with it into the sandbox, as for Python.
pub(crate) fn node_in(folder: &Path) -> PathBuf {
    folder.join("bin/node")
}

/// Where npm puts what it installs for a whole installation.
pub(crate) fn node_modules_in(folder: &Path) -> PathBuf {
    folder.join("lib/node_modules")
}

/// What an environment is made from, in sixteen characters: when it changes, the environment is out of date.
pub(crate) fn fingerprint(definition: &Definition, python_version: &str) -> String {
    let python = &definition.python;
    let mut text = python_version.trim().to_owned();
    for package in python.packages.iter().chain(["\0".to_owned()].iter()).chain(&python.optional) {
        text.push('\n');
        text.push_str(package);
    }
    for package in &definition.javascript.packages {
        text.push_str("\n\0npm ");
        text.push_str(package);
    }
    // FNV-1a: the same in every build, and nobody gains by a collision.
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_in_use_and_the_one_before_stays_for_a_while() {
        let folder = std::env::temp_dir().join(format!("agb-environment-{}", std::process::id()));
        let environment = Environment::new(folder.clone());
        assert_eq!(environment.current(), None);
        let make = |fingerprint: &str| {
            let made = environment.new_folder(fingerprint);
            fs::create_dir_all(made.join("bin")).expect("the temporary directory is writable");
            fs::write(interpreter_in(&made), "").expect("it was made above");
            made
        };
        let half = make("0");
        let first = make("a");
        assert_eq!(environment.current(), None, "nothing is in use before it is finished");
        environment.use_folder(&first).expect("the folder is writable");
        assert_eq!(environment.current(), Some(first.clone()));
        assert!(environment.is_made_from("a") && !environment.is_made_from("b"));
        let second = make("b");
        environment.use_folder(&second).expect("the folder is writable");
        environment.remove_others(&[first.clone(), second.clone()]).expect("the folder is writable");
        assert_eq!(environment.interpreter(), Some(interpreter_in(&second)));
        assert!(first.exists() && second.exists() && !half.exists());
        fs::remove_dir_all(&folder).expect("it was made above");
    }

    #[test]
    fn every_part_counts() {
        let definition = |packages: &[&str], optional: &[&str]| {
            let mut definition = Definition::default();
            definition.python.packages = packages.iter().map(|&name| name.to_owned()).collect();
            definition.python.optional = optional.iter().map(|&name| name.to_owned()).collect();
            definition
        };
        let mut with_node = definition(&["a"], &[]);
        with_node.javascript.packages = vec!["b".to_owned()];
        let all = [
            fingerprint(&definition(&["a", "b"], &[]), "3.11"),
            fingerprint(&definition(&["a"], &["b"]), "3.11"),
            fingerprint(&definition(&["ab"], &[]), "3.11"),
            fingerprint(&definition(&["a", "b"], &[]), "3.12"),
            fingerprint(&with_node, "3.11"),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[..n].contains(one), "{all:?}");
        }
    }
}
