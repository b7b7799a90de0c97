//! What a registry holds and answers, whatever store is behind it.

use super::record::Record;

/// A revision of the registry. Grows with each write; that it is smaller than before means that the registry was wiped
/// or restored from a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rev(pub(crate) u64);

/// All that the registry holds, at one revision.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) rev: Rev,
    pub(crate) entries: Vec<Entry>,
}

/// What the registry holds under one name.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Of its last change.
    pub(crate) rev: Rev,
    /// The error says why it cannot be used.
    pub(crate) record: Result<Record, String>,
}

/// The answer to a beat.
#[derive(Clone, Debug)]
pub(crate) enum Beat {
    /// The record was written, and has this revision.
    Kept(Rev, Snapshot),
    /// It had another revision than was expected.
    Refused(Snapshot),
}

/// The registry did not answer, or not as it should.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Away(pub(crate) String);
