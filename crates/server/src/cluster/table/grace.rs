//! Whom an absence from the registry does not condemn yet.

use std::collections::HashMap;

use super::Moment;
use crate::cluster::Incarnation;

/// Whom an absence from the registry does not condemn yet: everybody for a while after a wipe, a restored backup or the
/// own registration; and a server whose record went away without its farewell.
#[derive(Debug, Default)]
pub(super) struct Grace {
    all_until: Moment,
    vanished: HashMap<Incarnation, (String, Moment)>,
}

impl Grace {
    /// Nobody is condemned by absence until then.
    pub(super) fn begin(&mut self, until: Moment) {
        self.all_until = self.all_until.max(until);
    }

    /// This one was there, and is absent without having said that it would go.
    pub(super) fn vanished(&mut self, inc: Incarnation, name: &str, until: Moment) {
        self.vanished.entry(inc).or_insert_with(|| (name.to_owned(), until));
    }

    pub(super) fn is_back(&mut self, inc: Incarnation) {
        self.vanished.remove(&inc);
    }

    /// Takes out those that had this name and have vanished, now that another has it.
    pub(super) fn replaced(&mut self, name: &str, by: Incarnation) -> Vec<Incarnation> {
        let is_replaced = |inc: &Incarnation, its: &str| *inc != by && its == name;
        let replaced = self.vanished.iter().filter(|(inc, (its, _))| is_replaced(inc, its)).map(|(inc, _)| *inc);
        let replaced: Vec<_> = replaced.collect();
        self.vanished.retain(|inc, _| !replaced.contains(inc));
        replaced
    }

    /// Whether the absence of this one says nothing yet.
    pub(super) fn covers(&self, inc: Incarnation, now: Moment) -> bool {
        self.covers_all(now) || self.vanished.get(&inc).is_some_and(|(_, until)| now < *until)
    }

    /// Whether no absence says anything yet.
    pub(super) fn covers_all(&self, now: Moment) -> bool {
        now < self.all_until
    }

    /// Forgets what covers nobody any more.
    pub(super) fn prune(&mut self, now: Moment) {
        self.vanished.retain(|_, (_, until)| now < *until);
    }
}
