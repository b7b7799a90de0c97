//! Records that cannot be read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::snapshot::Rev;
use super::Moment;

/// The records that the last answer of the registry had and that cannot be read, by name.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    records: BTreeMap<String, Found>,
}

#[derive(Debug)]
struct Found {
    problem: String,
    rev: Rev,
    /// When it was seen first as it is.
    since: Moment,
}

impl Unreadable {
    /// Notes one that the registry has now. `before`: what an answer before had.
    pub(super) fn note(&mut self, name: String, problem: String, rev: Rev, before: &Self, now: Moment) {
        let same = before.records.get(&name).filter(|found| found.rev == rev);
        let since = same.map_or(now, |found| found.since);
        self.records.insert(name, Found { problem, rev, since });
    }

    /// Whether one may be a living server's: that writes its record with each beat. What has not changed for `lost_after`
    /// is nobody's, as a record that can be read would be.
    pub(super) fn may_live(&self, now: Moment, lost_after: Duration) -> bool {
        self.records.values().any(|found| now.saturating_sub(found.since) < lost_after)
    }

    /// The names, and why their records cannot be read.
    pub(super) fn problems(&self) -> BTreeMap<String, String> {
        self.records.iter().map(|(name, found)| (name.clone(), found.problem.clone())).collect()
    }
}
