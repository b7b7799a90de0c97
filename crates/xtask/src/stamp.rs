//! Doing nothing twice: a stamp remembers what a result was made from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::files;
use crate::workspace::Workspace;

/// FNV-1a, 64 bits: tells apart versions of our own files, nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn new() -> Self {
        Fingerprint(0xcbf2_9ce4_8422_2325)
    }

    /// Adds `bytes` and an end mark, so that pieces cannot run into each other.
    pub(crate) fn add(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        for byte in bytes.iter().chain(&(bytes.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Adds the content of `file`; a file that is missing differs from an empty one.
    pub(crate) fn add_file(&mut self, file: &Path) -> Result<(), Error> {
        match fs::read(file) {
            Ok(bytes) => self.add(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.add("missing\0"),
            Err(error) => return Err(Error::file(file)(error)),
        }
        Ok(())
    }
}

/// A file that holds the fingerprint of what a result was made from.
pub(crate) struct Stamp {
    file: PathBuf,
    fingerprint: Fingerprint,
}

impl Stamp {
    pub(crate) fn new(workspace: &Workspace, name: &str, fingerprint: Fingerprint) -> Self {
        Stamp { file: workspace.state("stamps").join(name), fingerprint }
    }

    /// Whether the result was made from the same.
    pub(crate) fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|text| text == self.text())
    }

    /// Call before making the result anew, so that a half-made one is not taken for it.
    pub(crate) fn invalidate(&self) -> Result<(), Error> {
        files::remove(&self.file)
    }

    /// Call once the result is there.
    pub(crate) fn set(&self) -> Result<(), Error> {
        let folder = self.file.parent().expect("a stamp lies in a folder");
        fs::create_dir_all(folder).map_err(Error::file(folder))?;
        fs::write(&self.file, self.text()).map_err(Error::file(&self.file))
    }

    fn text(&self) -> String {
        format!("{:016x}\n", self.fingerprint.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-stamp-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn of_file(file: &Path) -> Fingerprint {
        let mut fingerprint = Fingerprint::new();
        fingerprint.add_file(file).unwrap();
        fingerprint
    }

    #[test]
    fn pieces_do_not_run_into_each_other() {
        let (mut one, mut other) = (Fingerprint::new(), Fingerprint::new());
        one.add("ab");
        one.add("c");
        other.add("a");
        other.add("bc");
        assert_ne!(one, other);
    }

    #[test]
    fn a_missing_file_is_not_an_empty_one() {
        let folder = scratch("file");
        let file = folder.join("package-lock.json");
        let missing = of_file(&file);
        fs::write(&file, "").unwrap();
        let empty = of_file(&file);
        fs::write(&file, "{}").unwrap();
        assert!(missing != empty && empty != of_file(&file));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_stamp_is_current_until_its_source_changes() {
        let folder = scratch("stamp");
        let workspace = Workspace::at(&folder);
        let stamp = Stamp::new(&workspace, "npm", of_file(&folder.join("package.json")));
        assert!(!stamp.is_current());
        stamp.set().unwrap();
        assert!(stamp.is_current());
        let changed = Stamp::new(&workspace, "npm", Fingerprint::new());
        assert!(!changed.is_current());
        stamp.invalidate().unwrap();
        stamp.invalidate().unwrap();
        assert!(!stamp.is_current());
        fs::remove_dir_all(folder).unwrap();
    }
}
