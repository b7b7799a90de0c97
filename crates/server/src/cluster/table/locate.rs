//! Where the sessions of an incarnation are.

use super::{Moment, Own, Table};
use crate::cluster::Incarnation;

/// What is known about the owner of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// This server, or nobody in the cluster: look here.
    Here,
    /// That server, if it still lives.
    At { addr: String, inc: Incarnation },
    /// No server has it or will ever have it. When its server was declared lost, in milliseconds since 1970, if known.
    Gone { lost_at: Option<u64> },
    /// The registry could not be asked, or may have forgotten servers that live.
    Unknown,
}

/// Made-up owners that are remembered, so that they cost no second call: 16 bytes each.
const MOST_NEVER: usize = 10_000;

impl Table {
    /// Where the sessions of this incarnation are; `None`: the registry has to be read first.
    pub(crate) fn locate(&self, inc: Incarnation) -> Option<Located> {
        if inc == self.me {
            return Some(Located::Here);
        }
        if let Some((at, _)) = self.lost.get(&inc) {
            return Some(Located::Gone { lost_at: *at });
        }
        if self.never.contains(&inc) {
            return Some(Located::Gone { lost_at: None });
        }
        let node = self.names.get(&inc).and_then(|name| self.nodes.get(name))?;
        Some(Located::At { addr: node.record.addr.clone(), inc })
    }

    /// The same after a read that began after the question came.
    pub(crate) fn locate_after_read(&mut self, inc: Incarnation, now: Moment) -> Located {
        if let Some(located) = self.locate(inc) {
            return located;
        }
        // Its record went away without a farewell: if it lives, it is where it was, and says itself what it has.
        if let Some(node) = self.grace.node(inc, now) {
            return Located::At { addr: node.record.addr.clone(), inc };
        }
        let believed = matches!(self.own, Own::Mine(..)) && self.is_strict && !self.grace.covers(inc, now);
        if !believed {
            return Located::Unknown;
        }
        if self.never.insert(inc) {
            self.never_in_order.push_back(inc);
            if self.never_in_order.len() > MOST_NEVER
                && let Some(oldest) = self.never_in_order.pop_front()
            {
                self.never.remove(&oldest);
            }
        }
        Located::Gone { lost_at: None }
    }
}
