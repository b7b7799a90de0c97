//! What a server knows of its cluster, and what follows from it. Pure: no I/O, no clock, time is passed in.
//!
//! A beat writes the own record and reads all others in one step. Its answer says three things: whether this server is
//! still a member, where the others are, and which of them have been silent. Nobody is declared lost for what could
//! not be asked: a gap in the own beats starts every other server's silence anew.

mod grace;
mod join;
mod judge;
mod locate;
mod losses;
mod lost;
mod node;
mod pauses;
mod recent;
mod unreadable;
#[cfg(test)]
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

pub(crate) use self::join::Join;
pub(crate) use self::judge::{Probe, Suspect};
pub(crate) use self::locate::{Identity, Located};
pub(crate) use self::node::Node;
use self::node::Strictness;
use super::Incarnation;
use super::record::{NodeState, Record};
use super::snapshot::{Beat, Entry, Rev, Snapshot};

/// A moment of the own machine's clock, which goes on while the machine is suspended.
pub(crate) type Moment = Duration;

/// What the times of a cluster follow from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) beat: Duration,
    pub(crate) lost_after: Duration,
}

impl Timing {
    /// Two beats: one may be late.
    fn quiet(self) -> Duration {
        self.beat * 2
    }

    /// Three beats: older than this, what is known is too old to place new sessions by.
    fn good(self) -> Duration {
        self.beat * 3
    }

    /// Two and a half beats without a sign of the own beats, and more than one may take: this process or its machine stood
    /// still.
    fn frozen(self) -> Duration {
        (self.beat * 5 / 2).max(self.answer() + self.beat / 4)
    }

    /// How long one call to the registry may take, whatever members it has: less than what looks like a pause, and little
    /// enough that the others hear the next beat before this server is a lost one. Where beats come quickly, 2.5 s: a
    /// member of the registry has 2.
    pub(super) fn answer(self) -> Duration {
        let usual = (self.beat * 9 / 4).max(Duration::from_millis(2500));
        usual.min(self.lost_after.saturating_sub(self.beat * 3 / 2))
    }
}

/// A call to the registry, in the order in which they began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call(u64);

/// How this server stands in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has not registered yet.
    Joining,
    /// The registry has just kept its record.
    Good,
    /// The registry has not for a while.
    Doubtful,
    /// It takes no new sessions.
    Draining,
    /// It is a member no longer. Final.
    Condemned,
}

/// Why this server is a member no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The others declared it lost.
    #[error("the other servers declared this one lost while it was silent")]
    Lost,
    /// Another took its name.
    #[error("another server registered under this one's name")]
    Replaced,
    /// Its record went while it was away, and the others have given it up.
    #[error(
        "its record was removed from the registry while it was away, and the others may have given its sessions up"
    )]
    Forgotten,
    /// It was to end by itself.
    #[error("the registry did not answer for --fence-after")]
    Fenced,
}

/// What follows from the answer to a beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// All is well until the next beat.
    Rest,
    /// Beat again at once: the own record was found at another revision, or not at all.
    Again,
    /// This server is a member no longer.
    End(Ended),
}

/// The own record, as the newest answer had it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Own {
    Absent,
    Mine(Rev, NodeState),
    Other(Rev, Incarnation),
    Unreadable(Rev),
}

/// How long a lost server is remembered: no client comes back to a session after a day.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// A server that was alone for longer is not worth coming back: everybody has given its sessions up.
const WORTH_RETURNING: Duration = Duration::from_secs(3600);

/// What a server knows of its cluster.
#[derive(Debug)]
pub(crate) struct Table {
    me: Incarnation,
    name: String,
    timing: Timing,
    /// The own record's revision, as it was last written or read.
    mine: Option<Rev>,
    own: Own,
    /// While joining.
    in_place: Option<join::InPlace>,
    nodes: BTreeMap<String, Node>,
    names: HashMap<Incarnation, String>,
    lost: lost::Lost,
    /// Records of lost servers and since when they are known, to be removed some day.
    graves: BTreeMap<String, (Rev, Moment)>,
    /// Absent where the registry could be believed.
    never: recent::Recent,
    /// Those that were on record.
    seen: recent::Recent,
    grace: grace::Grace,
    losses: losses::Losses,
    /// Names whose records cannot be read, with the reason.
    unreadable: unreadable::Unreadable,
    high: Rev,
    high_learnt: Call,
    calls: u64,
    last_ok: Option<Moment>,
    pauses: pauses::Pauses,
    /// Whether the registry has kept a record that says so; before that no absence counts.
    is_strict: bool,
    strict_on_its_way: bool,
    /// The registry may have the own record.
    is_told: bool,
    /// The own record was absent for so long that others may have given this server up.
    returns_late: bool,
    draining: bool,
    ended: Option<Ended>,
}

impl Table {
    pub(crate) fn new(me: Incarnation, name: String, timing: Timing, now: Moment) -> Self {
        Self {
            me,
            name,
            timing,
            mine: None,
            own: Own::Absent,
            in_place: None,
            nodes: BTreeMap::new(),
            names: HashMap::new(),
            lost: lost::Lost::default(),
            graves: BTreeMap::new(),
            never: recent::Recent::default(),
            seen: recent::Recent::default(),
            grace: grace::Grace::default(),
            losses: losses::Losses::default(),
            unreadable: unreadable::Unreadable::default(),
            high: Rev(0),
            high_learnt: Call(0),
            calls: 0,
            last_ok: None,
            pauses: pauses::Pauses::new(timing, now),
            is_strict: false,
            strict_on_its_way: false,
            is_told: false,
            returns_late: false,
            draining: false,
            ended: None,
        }
    }

    /// A call to the registry begins.
    pub(crate) fn begin(&mut self) -> Call {
        self.calls += 1;
        Call(self.calls)
    }

    /// A beat begins: at which revision the own record is expected.
    pub(crate) fn begin_beat(&mut self, strict: bool, now: Moment) -> (Call, Option<Rev>) {
        self.pauses.begin(now);
        self.is_told = true;
        self.strict_on_its_way = strict;
        (self.begin(), self.mine)
    }

    /// Whether the own record may say that absent servers are taken for ended.
    pub(crate) fn is_strict(&self, now: Moment) -> bool {
        self.last_ok.is_some_and(|last| !self.is_gap(last, now)) && !self.grace.covers_all(now)
    }

    /// This server may register over the record at this revision; `None`: as the first of its name.
    pub(crate) fn register_at(&mut self, at: Option<Rev>, replaced: Option<Incarnation>, now: Moment) {
        self.mine = at;
        self.begin_grace(now);
        if let Some(replaced) = replaced {
            self.reap(replaced, None, now);
        }
    }

    /// From now on the own record says that it takes no new sessions.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// The registry has answered a beat.
    pub(crate) fn answered(&mut self, call: Call, beat: Beat, now: Moment) -> Next {
        self.pauses.over(now);
        if let Some(ended) = &self.ended {
            return Next::End(ended.clone());
        }
        match beat {
            Beat::Kept(rev, all) => {
                let gap = self.last_ok.is_none_or(|last| self.is_gap(last, self.pauses.last_try()));
                if gap {
                    self.restart_clocks(now);
                    self.begin_grace(now);
                }
                // The write came after the beat began, and whatever others make of its absence later than that.
                self.last_ok = Some(self.pauses.last_try());
                self.pauses.is_known();
                self.mine = Some(rev);
                self.losses.has_replaced();
                self.is_strict = self.strict_on_its_way && !gap;
                self.apply(call, all, now);
                match std::mem::take(&mut self.returns_late) && self.strictness(now) == Strictness::Somebody {
                    true => self.end(Ended::Forgotten),
                    false => Next::Rest,
                }
            }
            Beat::Refused(all) => {
                let expected = self.mine;
                self.apply(call, all, now);
                match self.own {
                    Own::Mine(..) => self.losses.has_replaced(), // the answer to the write was lost
                    _ => self.losses.has_not_replaced(),
                }
                self.refused(expected, now)
            }
        }
    }

    /// Whether a beat is missing between these two.
    fn is_gap(&self, last: Moment, now: Moment) -> bool {
        now.saturating_sub(last) > self.timing.quiet()
    }

    /// What the own record says after a refusal.
    fn refused(&mut self, expected: Option<Rev>, now: Moment) -> Next {
        // A revision that is lower than one written before comes from a backup: nobody has replaced this server since.
        let is_older = |rev: Rev| expected.is_some_and(|expected| rev < expected);
        match self.own {
            Own::Mine(_, NodeState::Lost) => self.end(Ended::Lost),
            Own::Mine(rev, _) => {
                self.mine = Some(rev);
                Next::Again
            }
            Own::Absent => {
                let alone = self.last_ok.map_or(Duration::ZERO, |last| now.saturating_sub(last));
                let is_late = alone >= self.timing.lost_after;
                let strictness = self.strictness(now);
                // Somebody may have told clients that this server's sessions are over.
                let is_given_up = is_late && (strictness == Strictness::Somebody || self.pauses.stood_still());
                if is_given_up || alone > WORTH_RETURNING {
                    return self.end(Ended::Forgotten);
                }
                if is_late && strictness == Strictness::Unsure {
                    return Next::Rest; // the next answers tell
                }
                self.returns_late = is_late;
                self.register_at(None, None, now);
                Next::Again
            }
            Own::Other(rev, inc) if is_older(rev) || self.lost.contains(inc) => {
                self.mine = Some(rev);
                self.begin_grace(now);
                Next::Again
            }
            Own::Other(..) => self.end(Ended::Replaced),
            Own::Unreadable(rev) => {
                self.mine = Some(rev);
                Next::Again
            }
        }
    }

    /// The registry has not answered a beat.
    pub(crate) fn failed(&mut self, now: Moment, fence_after: Duration) -> Next {
        self.pauses.over(now);
        // What is not known to be silent is not judged.
        self.restart_clocks(now);
        if let Some(ended) = &self.ended {
            return Next::End(ended.clone());
        }
        let alone = self.last_ok.map(|last| now.saturating_sub(last));
        match alone {
            Some(alone) if !fence_after.is_zero() && alone >= fence_after => self.end(Ended::Fenced),
            _ => Next::Rest,
        }
    }

    /// The registry has answered a read.
    pub(crate) fn read(&mut self, call: Call, all: Snapshot, now: Moment) {
        self.apply(call, all, now);
    }

    /// Takes up all records, unless something newer is known.
    fn apply(&mut self, call: Call, all: Snapshot, now: Moment) {
        let went_back = all.rev < self.high && call > self.high_learnt;
        if all.rev < self.high && !went_back {
            return;
        }
        self.high = all.rev;
        self.high_learnt = Call(self.calls);
        if went_back {
            // Wiped, or restored from a backup: who is absent may only not be back yet.
            self.begin_grace(now);
            self.restart_clocks(now);
        }
        self.own = Own::Absent;
        let unreadable = std::mem::take(&mut self.unreadable);
        let known: BTreeSet<_> = all.entries.iter().map(|entry| (entry.name.as_str(), entry.rev)).collect();
        self.graves.retain(|name, (rev, _)| known.contains(&(name.as_str(), *rev)));
        let mut before = std::mem::take(&mut self.nodes);
        self.names.clear();
        for Entry { name, rev, record } in all.entries {
            let known = before.remove(&name);
            match record {
                Err(problem) => {
                    if name == self.name {
                        self.own = Own::Unreadable(rev);
                    }
                    self.unreadable.note(name.clone(), problem, rev, &unreadable, now);
                    // Whoever overwrites a record ends no server: what it was before is still the best that is known.
                    if let Some(node) = known {
                        self.insert(name, node);
                    }
                }
                Ok(record) if name == self.name => self.take_own(rev, &record, now),
                Ok(record) => self.take_other(name, rev, record, known, went_back, now),
            }
        }
        for (name, node) in before {
            match node.record.state {
                // It said that it would go, and went.
                NodeState::Draining if !went_back => self.reap(node.record.inc, None, now),
                _ => self.grace.vanished(node, &name, now + self.timing.lost_after),
            }
        }
        self.lost.forget(now);
        self.grace.prune(now);
    }

    fn take_own(&mut self, rev: Rev, record: &Record, now: Moment) {
        self.own = match record.inc {
            inc if inc == self.me => Own::Mine(rev, record.state),
            inc => Own::Other(rev, inc),
        };
        if record.inc != self.me && record.state == NodeState::Lost {
            self.reap(record.inc, record.at_ms, now);
        }
    }

    /// Takes up the record of another server, that was `known` so far.
    fn take_other(
        &mut self,
        name: String,
        rev: Rev,
        record: Record,
        known: Option<Node>,
        went_back: bool,
        now: Moment,
    ) {
        // An older record may be back in the place of its successor's: that replaces nobody.
        let is_older = went_back || record.state == NodeState::Lost || self.lost.contains(record.inc);
        if let Some(known) = known.as_ref().filter(|known| known.record.inc != record.inc) {
            match is_older {
                true => self.grace.vanished(known.clone(), &name, now + self.timing.lost_after),
                false => self.reap(known.record.inc, None, now),
            }
        }
        // One that came with the copy replaces nobody either, until its server beats.
        let is_word = known.as_ref().is_none_or(|known| known.record.inc != record.inc || record.n > known.record.n);
        if !is_older && is_word {
            for replaced in self.grace.replaced(&name, record.inc) {
                self.reap(replaced, None, now);
            }
        }
        if record.state == NodeState::Lost {
            self.graves.entry(name).or_insert((rev, now));
            self.count(&record);
            self.reap(record.inc, record.at_ms, now);
            return;
        }
        let node = match known.filter(|known| known.record.inc == record.inc) {
            Some(known) if known.rev == rev => known,
            known => Node::new(rev, record, known.as_ref(), now),
        };
        self.insert(name, node);
    }

    fn begin_grace(&mut self, now: Moment) {
        self.grace.begin(now + self.timing.lost_after);
        self.is_strict = false;
    }

    fn insert(&mut self, name: String, node: Node) {
        self.grace.is_back(node.record.inc);
        self.joins(node.record.inc);
        self.names.insert(node.record.inc, name.clone());
        self.nodes.insert(name, node);
    }

    /// This incarnation never serves anything again.
    fn reap(&mut self, inc: Incarnation, at_ms: Option<u64>, now: Moment) {
        self.lost.insert(inc, at_ms, now);
    }

    fn end(&mut self, why: Ended) -> Next {
        self.ended = Some(why.clone());
        Next::End(why)
    }

    pub(crate) fn standing(&self, now: Moment) -> Standing {
        match self.last_ok {
            _ if self.ended.is_some() => Standing::Condemned,
            None => Standing::Joining,
            _ if self.draining => Standing::Draining,
            Some(last) if now.saturating_sub(last) < self.timing.good() => Standing::Good,
            Some(_) => Standing::Doubtful,
        }
    }

    /// Whether this process or its machine stood still: what happened meanwhile is not known yet.
    pub(crate) fn is_frozen(&self, now: Moment) -> bool {
        let is_member = self.last_ok.is_some() && self.ended.is_none();
        is_member && self.pauses.is_frozen(now)
    }

    /// How long ago the registry kept the own record.
    pub(crate) fn beat_age(&self, now: Moment) -> Option<Duration> {
        self.last_ok.map(|last| now.saturating_sub(last))
    }

    /// Names whose records cannot be read, with the reason.
    pub(crate) fn unreadable(&self) -> BTreeMap<String, String> {
        self.unreadable.problems()
    }

    /// The own record's revision, to remove it at the end.
    pub(crate) fn own_rev(&self) -> Option<Rev> {
        self.mine
    }

    /// Takes the own record's revision from the newest answer; whether it has one of this server.
    pub(crate) fn adopt(&mut self) -> bool {
        let Own::Mine(rev, _) = self.own else { return false };
        self.mine = Some(rev);
        true
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }
}
