//! What the tool `get_file_change` compares with: the files of a session as they were.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::budget::Charge;

/// What the directories that are watched looked like at the last call, by watcher and path.
#[derive(Debug, Default)]
pub(crate) struct FileChanges {
    pub(crate) seen: BTreeMap<(String, PathBuf), Snapshot>,
}

/// The files below a directory.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// By their paths, relative to the directory.
    pub(crate) entries: BTreeMap<PathBuf, Entry>,
    /// What the entries take, in bytes.
    pub(crate) memory: usize,
    /// The same, of what the session may hold, as long as this is kept.
    pub(crate) charge: Option<Charge>,
}

/// What is compared of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) is_dir: bool,
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
}
