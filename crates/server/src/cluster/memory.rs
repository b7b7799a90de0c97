//! A registry in memory: servers of one process find each other in it. For tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::record::Record;
use super::snapshot::{Away, Beat, Entry, Rev, Snapshot};
use crate::lock::lock;

/// A registry in memory. Its clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct MemoryRegistry(Arc<Mutex<Store>>);

/// What a registry keeps, and what its four calls do with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    rev: u64,
    records: BTreeMap<String, (Rev, Vec<u8>)>,
    /// It answers nothing.
    is_away: bool,
}

impl MemoryRegistry {
    /// Makes it answer nothing, or answer again.
    pub fn set_away(&self, is_away: bool) {
        self.lock().is_away = is_away;
    }

    /// Removes everything, as if it were made anew.
    pub fn wipe(&self) {
        let mut store = self.lock();
        *store = Store { is_away: store.is_away, ..Store::default() };
    }

    /// Calls of servers up to now that wrote something.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lock().rev
    }

    /// Puts these bytes under a name, whatever they are.
    pub fn put(&self, name: &str, value: &[u8]) {
        self.lock().put(name, value.to_vec());
    }

    pub(super) async fn beat(&self, name: &str, mine: &Record, at: Option<Rev>) -> Result<Beat, Away> {
        Ok(self.answering()?.beat(name, mine, at))
    }

    pub(super) async fn read(&self) -> Result<Snapshot, Away> {
        Ok(self.answering()?.snapshot())
    }

    pub(super) async fn replace(&self, name: &str, at: Rev, with: &Record) -> Result<bool, Away> {
        Ok(self.answering()?.replace(name, at, with))
    }

    pub(super) async fn remove(&self, name: &str, at: Rev) -> Result<bool, Away> {
        Ok(self.answering()?.remove(name, at))
    }

    fn answering(&self) -> Result<MutexGuard<'_, Store>, Away> {
        let store = self.lock();
        if store.is_away { Err(Away("the registry in memory was told not to answer".to_owned())) } else { Ok(store) }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        lock(&self.0)
    }
}

impl Store {
    pub(super) fn beat(&mut self, name: &str, mine: &Record, at: Option<Rev>) -> Beat {
        if self.at(name) != at {
            return Beat::Refused(self.snapshot());
        }
        let rev = self.put(name, mine.to_bytes());
        Beat::Kept(rev, self.snapshot())
    }

    /// Puts a record in the place of the one of this revision; whether that was there.
    pub(super) fn replace(&mut self, name: &str, at: Rev, with: &Record) -> bool {
        let is_there = self.at(name) == Some(at);
        if is_there {
            self.put(name, with.to_bytes());
        }
        is_there
    }

    /// Removes the record of this revision; whether it was there.
    pub(super) fn remove(&mut self, name: &str, at: Rev) -> bool {
        let is_there = self.at(name) == Some(at);
        if is_there {
            self.records.remove(name);
            self.rev += 1;
        }
        is_there
    }

    fn at(&self, name: &str) -> Option<Rev> {
        self.records.get(name).map(|(rev, _)| *rev)
    }

    fn put(&mut self, name: &str, value: Vec<u8>) -> Rev {
        self.rev += 1;
        self.records.insert(name.to_owned(), (Rev(self.rev), value));
        Rev(self.rev)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let entries = self.records.iter().map(|(name, (rev, bytes))| Entry {
            name: name.clone(),
            rev: *rev,
            record: Record::parse(bytes).map_err(|error| error.to_string()),
        });
        Snapshot { rev: Rev(self.rev), entries: entries.collect() }
    }
}
