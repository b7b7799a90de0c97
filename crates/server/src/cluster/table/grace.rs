//! Whom an absence from the registry does not condemn yet.

use std::collections::HashMap;

use super::{Moment, Node};
use crate::cluster::Incarnation;

/// How many are remembered that have vanished: all servers of the largest registry that is read.
const MOST_VANISHED: usize = 10_000;

/// Whom an absence from the registry does not condemn yet: everybody for a while after a wipe, a restored backup or the
/// own registration; and a server whose record went away without its farewell.
#[derive(Debug, Default)]
pub(super) struct Grace {
    all_until: Moment,
    vanished: HashMap<Incarnation, Vanished>,
}

/// A server that was there, and is absent without having said that it would go.
#[derive(Debug)]
struct Vanished {
    name: String,
    until: Moment,
    /// As it was known last.
    node: Node,
}

impl Grace {
    /// Nobody is condemned by absence until then.
    pub(super) fn begin(&mut self, until: Moment) {
        self.all_until = self.all_until.max(until);
    }

    /// This one was there, and is absent without having said that it would go.
    pub(super) fn vanished(&mut self, node: Node, name: &str, until: Moment) {
        if self.vanished.len() >= MOST_VANISHED && !self.vanished.contains_key(&node.record.inc) {
            self.begin(until); // then nobody is
            return;
        }
        self.vanished.entry(node.record.inc).or_insert_with(|| Vanished { name: name.to_owned(), until, node });
    }

    pub(super) fn is_back(&mut self, inc: Incarnation) {
        self.vanished.remove(&inc);
    }

    /// Takes out those that had this name and have vanished, now that another has it.
    pub(super) fn replaced(&mut self, name: &str, by: Incarnation) -> Vec<Incarnation> {
        let is_replaced = |inc: &Incarnation, its: &Vanished| *inc != by && its.name == name;
        let replaced = self.vanished.iter().filter(|(inc, its)| is_replaced(inc, its)).map(|(inc, _)| *inc);
        let replaced: Vec<_> = replaced.collect();
        self.vanished.retain(|inc, _| !replaced.contains(inc));
        replaced
    }

    /// Whether the absence of this one says nothing yet.
    pub(super) fn covers(&self, inc: Incarnation, now: Moment) -> bool {
        self.covers_all(now) || self.vanished.get(&inc).is_some_and(|vanished| now < vanished.until)
    }

    /// Where this one was, if it may still be there.
    pub(super) fn node(&self, inc: Incarnation, now: Moment) -> Option<&Node> {
        self.vanished.get(&inc).filter(|vanished| now < vanished.until).map(|vanished| &vanished.node)
    }

    /// All that may still be where they were.
    pub(super) fn nodes(&self, now: Moment) -> impl Iterator<Item = (&str, &Node)> {
        let current = self.vanished.values().filter(move |vanished| now < vanished.until);
        current.map(|vanished| (vanished.name.as_str(), &vanished.node))
    }

    /// Whether no absence says anything yet.
    pub(super) fn covers_all(&self, now: Moment) -> bool {
        now < self.all_until
    }

    /// Forgets what covers nobody any more.
    pub(super) fn prune(&mut self, now: Moment) {
        self.vanished.retain(|_, vanished| now < vanished.until);
    }
}
