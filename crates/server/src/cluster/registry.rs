//! Where the servers of a cluster find each other: four calls, which any store with compare-and-set can answer.

use super::memory::MemoryRegistry;
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

/// The store behind a cluster. An enum: there are four calls, and no boxing.
#[derive(Debug)]
pub(crate) enum Registry {
    Memory(MemoryRegistry),
}

impl Registry {
    /// Writes a server's own record if it is still at revision `at` (`None`: if there is none), and reads all, in one
    /// step.
    pub(crate) async fn beat(&self, name: &str, mine: &Record, at: Option<Rev>) -> Result<Beat, Away> {
        match self {
            Self::Memory(memory) => memory.beat(name, mine, at).await,
        }
    }

    /// Reads all. What was written before the call is in the answer.
    pub(crate) async fn read(&self) -> Result<Snapshot, Away> {
        match self {
            Self::Memory(memory) => memory.read().await,
        }
    }

    /// Writes a record if there is one at this revision. Whether it did.
    pub(crate) async fn replace(&self, name: &str, at: Rev, with: &Record) -> Result<bool, Away> {
        match self {
            Self::Memory(memory) => memory.replace(name, at, with).await,
        }
    }

    /// Removes a record if it is at this revision. Whether it did.
    pub(crate) async fn remove(&self, name: &str, at: Rev) -> Result<bool, Away> {
        match self {
            Self::Memory(memory) => memory.remove(name, at).await,
        }
    }
}
