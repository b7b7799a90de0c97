//! What the tool `get_file_change` compares with: the files of a session as they were.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

/// What the directories that are watched looked like at the last call, by their paths.
#[derive(Debug, Default)]
pub(crate) struct FileChanges {
    pub(crate) seen: BTreeMap<PathBuf, Snapshot>,
}

/// The files below a directory, by their paths.
pub(crate) type Snapshot = BTreeMap<PathBuf, Entry>;

/// What is compared of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) is_dir: bool,
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
}
