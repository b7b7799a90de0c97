//! Servers, their registry and their network, moved on by ticks.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::super::{Call, Join, Located, Moment, Next, NodeState, Probe, Table, Timing};
use super::{Fault, Random, SERVERS};
use crate::cluster::Incarnation;
use crate::cluster::memory::Store;
use crate::cluster::record::{Load, Record};
use crate::cluster::snapshot::Beat;

const TIMING: Timing = Timing { beat: Duration::from_secs(2), lost_after: Duration::from_secs(10) };
/// A tick of the walk.
const TICK: Duration = Duration::from_millis(250);

/// What a registry has, by name.
fn records(store: &Store) -> impl Iterator<Item = (String, Record)> {
    let entries = store.snapshot().entries.into_iter();
    entries.map(|entry| (entry.name, entry.record.expect("servers write what they can read")))
}

/// A server: a table, and what its drivers hold.
struct Server {
    table: Table,
    inc: Incarnation,
    joined: bool,
    frozen: bool,
    n: u64,
    next_beat: Moment,
    /// An answer of the registry that arrives later: when, and when its beat began.
    on_its_way: Option<(Moment, Moment, Call, Beat)>,
    draining: bool,
    cut: bool,
    lose_answer: bool,
    /// When its last beat was kept.
    kept_at: Option<Moment>,
}

pub(super) struct World {
    random: Random,
    now: Moment,
    store: Store,
    saved: Option<Store>,
    away: bool,
    parted: HashSet<(usize, usize)>,
    servers: Vec<Option<Server>>,
    started: u64,
    /// Every incarnation that has joined, and its place. Before that there is no session's id that names it.
    owners: Vec<(Incarnation, usize)>,
    /// Who said first that an incarnation is gone, and when.
    gone: HashMap<Incarnation, (usize, Moment)>,
    /// More than one fault may have hit it: the table of promises excepts it.
    excused: HashSet<Incarnation>,
    /// In an old backup, or away while the registry was wiped: once back they end soon, and not before they serve again.
    forgiven: HashSet<Incarnation>,
}

fn name(index: usize) -> String {
    format!("s{index}")
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = Self {
            random: Random(seed.max(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now: Duration::from_secs(100),
            store: Store::default(),
            saved: None,
            away: false,
            parted: HashSet::new(),
            servers: Vec::new(),
            started: 0,
            owners: Vec::new(),
            gone: HashMap::new(),
            excused: HashSet::new(),
            forgiven: HashSet::new(),
        };
        for index in 0..SERVERS {
            world.servers.push(None);
            world.start(index);
        }
        world
    }

    fn start(&mut self, index: usize) {
        if self.servers[index].is_some() {
            return;
        }
        self.started += 1;
        let inc = format!("{:012x}", self.started).parse().expect("12 digits");
        let table = Table::new(inc, name(index), TIMING, self.now);
        self.servers[index] = Some(Server {
            table,
            inc,
            joined: false,
            frozen: false,
            n: 0,
            next_beat: self.now,
            on_its_way: None,
            draining: false,
            cut: false,
            lose_answer: false,
            kept_at: None,
        });
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Kill(index) => self.servers[index] = None,
            Fault::Start(index) => self.start(index),
            Fault::Freeze(index) => self.with(index, |server| server.frozen = true),
            Fault::Thaw(index) => self.with(index, |server| server.frozen = false),
            Fault::Cut(index) => self.with(index, |server| server.cut = true),
            Fault::Join(index) => self.with(index, |server| server.cut = false),
            Fault::Part(one, other) => drop(self.parted.insert((one.min(other), one.max(other)))),
            Fault::Mend(one, other) => drop(self.parted.remove(&(one.min(other), one.max(other)))),
            Fault::Away => self.away = true,
            Fault::Back => self.away = false,
            Fault::Wipe => self.store = Store::default(),
            Fault::Save => self.saved = Some(self.store.clone()),
            Fault::Restore => {
                if let Some(saved) = self.saved.clone() {
                    self.forgiven.extend(records(&saved).map(|(_, record)| record.inc));
                    self.store = saved;
                }
            }
            Fault::LoseAnswer(index) => self.with(index, |server| server.lose_answer = true),
            Fault::Leave(index) => self.with(index, |server| {
                server.draining = true;
                server.table.drain();
                server.next_beat = now;
            }),
        }
        // Two faults at once may cost a living server its membership: the table of promises says so.
        for index in 0..SERVERS {
            let parted = (0..SERVERS).any(|other| self.parted.contains(&(index.min(other), index.max(other))));
            let Some(server) = &self.servers[index] else { continue };
            if server.frozen || (server.cut && parted) {
                self.excused.insert(server.inc);
            }
        }
    }

    fn with(&mut self, index: usize, change: impl FnOnce(&mut Server)) {
        if let Some(server) = &mut self.servers[index] {
            change(server);
        }
    }

    fn reaches_registry(&self, index: usize) -> bool {
        !self.away && self.servers[index].as_ref().is_some_and(|server| !server.cut)
    }

    /// A registry that has lost the record of a server that cannot reach it: two faults, of which it may not come back.
    fn excuse(&mut self) {
        for (index, server) in self.servers.iter().enumerate() {
            let Some(server) = server.as_ref().filter(|server| server.cut && server.joined) else { continue };
            let own = records(&self.store).find(|(of, _)| *of == name(index)).map(|(_, record)| record);
            if own.is_none_or(|record| record.inc != server.inc) {
                self.excused.insert(server.inc);
                self.forgiven.insert(server.inc);
            }
        }
    }

    pub(super) fn tick(&mut self) -> Result<(), String> {
        self.now += TICK;
        self.excuse();
        for index in 0..SERVERS {
            let Some(server) = &self.servers[index] else { continue };
            if server.frozen {
                continue;
            }
            self.arrive(index)?;
            let due = self.servers[index]
                .as_ref()
                .is_some_and(|server| server.on_its_way.is_none() && server.next_beat <= self.now);
            if due {
                match self.servers[index].as_ref().is_some_and(|server| server.joined) {
                    true => self.beat(index)?,
                    false => self.join(index),
                }
            }
            self.ask_about_others(index)?;
        }
        Ok(())
    }

    fn record(&self, server: &Server, index: usize) -> Record {
        Record {
            v: 1,
            inc: server.inc,
            addr: format!("http://s{index}"),
            state: if server.draining { NodeState::Draining } else { NodeState::Up },
            n: server.n,
            started_ms: 0,
            lock: name(index), // a lock a place: two processes never have it at once
            strict: server.table.is_strict(self.now),
            load: Load::default(),
            by: None,
            at_ms: None,
        }
    }

    fn join(&mut self, index: usize) {
        let reaches = self.reaches_registry(index);
        let all = self.store.snapshot();
        let now = self.now;
        self.with(index, |server| {
            server.next_beat = now + TIMING.beat;
            if reaches {
                let call = server.table.begin();
                if server.table.join(call, all, &name(index), now) == Join::Register {
                    server.joined = true;
                    server.next_beat = now;
                }
            }
        });
    }

    /// A beat leaves; its answer may come now or up to a second later, or not at all.
    fn beat(&mut self, index: usize) -> Result<(), String> {
        let (now, reaches) = (self.now, self.reaches_registry(index));
        let jitter = Duration::from_millis(self.random.below(400));
        let delay = match self.random.one_in(4) {
            true => Duration::from_millis(self.random.below(1500)),
            false => Duration::ZERO,
        };
        let Some(mut server) = self.servers[index].take() else { return Ok(()) };
        server.n += 1;
        server.next_beat = now + Duration::from_millis(1800) + jitter;
        let record = self.record(&server, index);
        let (call, at) = server.table.begin_beat(record.strict, now);
        if !reaches {
            let next = server.table.failed(now, Duration::ZERO);
            assert_eq!(next, Next::Rest, "without a fence a failure ends nobody");
            self.servers[index] = Some(server);
            return Ok(());
        }
        let beat = self.store.beat(&name(index), &record, at);
        if std::mem::take(&mut server.lose_answer) {
            server.table.failed(now, Duration::ZERO);
        } else {
            server.on_its_way = Some((now + delay, now, call, beat));
        }
        self.servers[index] = Some(server);
        self.arrive(index)
    }

    fn arrive(&mut self, index: usize) -> Result<(), String> {
        let now = self.now;
        let Some(mut server) = self.servers[index].take() else { return Ok(()) };
        let Some((at, begun, call, beat)) = server.on_its_way.take() else {
            self.servers[index] = Some(server);
            return Ok(());
        };
        if at > now {
            server.on_its_way = Some((at, begun, call, beat));
            self.servers[index] = Some(server);
            return Ok(());
        }
        let was_kept = matches!(beat, Beat::Kept(..));
        match server.table.answered(call, beat, now) {
            Next::Rest => {
                if was_kept {
                    if server.kept_at.replace(now).is_none() {
                        self.owners.push((server.inc, index));
                    }
                    if let Some((by, since)) = self.gone.get(&server.inc)
                        && *since < begun
                        && !self.forgiven.contains(&server.inc)
                    {
                        return Err(format!(
                            "s{index} serves {} after s{by} said at {since:?} that it is gone",
                            server.inc
                        ));
                    }
                }
                if server.draining {
                    if let Some(rev) = server.table.own_rev() {
                        self.store.remove(&name(index), rev);
                    }
                    // What it said by absences is known to nobody any more.
                    self.gone.retain(|_, (by, _)| *by != index);
                    return Ok(()); // it has ended
                }
            }
            Next::Again => server.next_beat = now,
            Next::End(why) => {
                if !self.excused.contains(&server.inc) {
                    return Err(format!("s{index} {} lives and was ended: {why}", server.inc));
                }
                return Ok(());
            }
        }
        self.servers[index] = Some(server);
        self.judge(index);
        Ok(())
    }

    fn judge(&mut self, index: usize) {
        let now = self.now;
        let Some(mut server) = self.servers[index].take() else { return };
        let relapsed = server.table.relapsed().into_iter().map(|suspect| (suspect, true));
        let suspects = server.table.suspects(now).into_iter().map(|suspect| (suspect, false));
        for (suspect, is_relapsed) in relapsed.collect::<Vec<_>>().into_iter().chain(suspects.collect::<Vec<_>>()) {
            let place = suspect.name[1..].parse::<usize>().expect("names are numbers");
            let probe = match &self.servers[place] {
                _ if self.parted.contains(&(index.min(place), index.max(place))) => Probe::Silence,
                None => Probe::Refused,
                Some(other) if other.frozen => Probe::Silence,
                Some(other) if other.inc == suspect.inc => Probe::Alive,
                Some(_) => Probe::Another,
            };
            let is_lost = is_relapsed || server.table.condemns(&suspect, probe, now);
            let reaches = !self.away && !server.cut;
            if !is_lost || !reaches {
                continue;
            }
            let Some(verdict) = server.table.verdict(&suspect, 1) else { continue };
            if self.store.replace(&suspect.name, suspect.rev, &verdict) {
                server.table.condemned(&suspect, &verdict, now);
            }
        }
        self.servers[index] = Some(server);
    }

    /// Somebody asks this server for a session of any incarnation there ever was.
    fn ask_about_others(&mut self, index: usize) -> Result<(), String> {
        if !self.random.one_in(3) {
            return Ok(());
        }
        if self.owners.is_empty() {
            return Ok(());
        }
        let which = usize::try_from(self.random.below(self.owners.len() as u64)).expect("small");
        let (inc, owner) = self.owners[which];
        let (now, reaches) = (self.now, self.reaches_registry(index));
        let snapshot = self.store.snapshot();
        let Some(server) = &mut self.servers[index] else { return Ok(()) };
        if !server.joined {
            return Ok(());
        }
        let located = match server.table.locate(inc) {
            Some(located) => located,
            None if reaches => {
                let call = server.table.begin();
                server.table.read(call, snapshot, now);
                server.table.locate_after_read(inc, now)
            }
            None => Located::Unknown,
        };
        let is_fresh = server.kept_at.is_some_and(|kept| now.saturating_sub(kept) < TIMING.good());
        if let Located::Gone { .. } = located
            && is_fresh
        {
            self.gone.entry(inc).or_insert((index, now));
            let lives = self.servers[owner].as_ref().is_some_and(|owner| owner.inc == inc && !owner.frozen);
            if lives && !self.excused.contains(&inc) {
                return Err(format!("s{index} says that {inc} is gone, and s{owner} serves it"));
            }
        }
        Ok(())
    }

    /// Everybody reaches everybody again, and nobody is frozen.
    pub(super) fn calm(&mut self) {
        self.away = false;
        self.parted.clear();
        for index in 0..SERVERS {
            self.with(index, |server| {
                server.cut = false;
                server.frozen = false;
            });
        }
    }

    /// Faults have stopped: every server that lives is known to all, everybody else is nobody's.
    pub(super) fn is_settled(&self) -> Result<(), String> {
        for (index, server) in self.servers.iter().enumerate() {
            let Some(server) = server else { continue };
            for (place, other) in self.servers.iter().enumerate().filter(|(place, _)| *place != index) {
                let known = server.table.nodes().find(|(its, _)| *its == name(place)).map(|(_, node)| node.record.inc);
                let lives = other.as_ref().map(|other| other.inc);
                if known != lives {
                    return Err(format!("s{index} knows {known:?} as s{place}, and it is {lives:?}"));
                }
            }
        }
        Ok(())
    }
}
