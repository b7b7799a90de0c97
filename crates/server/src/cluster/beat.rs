//! The task that joins a cluster, beats, and judges those that are silent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::clock::now;
use super::record::{NodeState, Record};
use super::snapshot::{Away, Beat};
use super::spent::{Spent, Telling};
use super::table::{Join, Next, Probe, Suspect};
use super::{Asked, Cluster, ClusterEnd, Member, lock};
use crate::unix_time::unix_ms;

/// A refused connection is tried once more after this: a server that restarts in place refuses for a moment.
const SECOND_TRY: Duration = Duration::from_millis(500);
/// Beats in a row without a pause, while the own record is found otherwise than expected. Each settles one question;
/// more would be a fight over the record.
const MOST_AGAIN: u32 = 4;
/// Suspects that are asked at once. When half a large cluster is silent, the rest has time.
const MOST_PROBES: usize = 32;
/// How often the others' silence is looked at between two beats, at least. A look costs microseconds.
const LOOKS: u32 = 4;
/// The log has a line of a registry that is away this often.
const REMIND: Duration = Duration::from_secs(30);

/// Joins, beats and judges until the server is a member no longer.
pub(super) async fn run(cluster: &Arc<Cluster>, member: &impl Member) -> ClusterEnd {
    let mut beater = Beater {
        cluster,
        member,
        n: 0,
        told: 0,
        spent: Spent::default(),
        telling: Telling::default(),
        complained: None,
        unreadable: BTreeMap::new(),
        again: 0,
    };
    if let Err(end) = beater.join().await {
        return end;
    }
    let mut probes = JoinSet::new();
    loop {
        if let Some(end) = beater.beat().await {
            return end;
        }
        let until = Instant::now() + if beater.again == 0 { cluster.pause() } else { Duration::ZERO };
        while Instant::now() < until {
            while probes.try_join_next().is_some() {}
            judge(cluster, &mut probes);
            // Others count what they know of: of a server that dies, and of one that they might choose.
            if beater.has_many_more() {
                break;
            }
            // The moment from which a server counts as silent is not waited past.
            let next = cluster.table().next_suspect(now());
            let look = cluster.settings.beat / LOOKS;
            let look = Instant::now() + next.map_or(look, |next| look.min(next));
            tokio::select! {
                () = tokio::time::sleep_until(look.min(until)) => {}
                () = cluster.beat_now.notified() => break,
            }
        }
    }
}

struct Beater<'a, M> {
    cluster: &'a Arc<Cluster>,
    member: &'a M,
    n: u64,
    /// How many sessions the last beat told of.
    told: u64,
    spent: Spent,
    telling: Telling,
    complained: Option<Instant>,
    unreadable: BTreeMap<String, String>,
    again: u32,
}

impl<M: Member> Beater<'_, M> {
    /// Waits until the own name is free.
    async fn join(&mut self) -> Result<(), ClusterEnd> {
        let cluster = self.cluster;
        loop {
            let call = cluster.table().begin();
            match cluster.patiently(cluster.registry.read()).await {
                Err(away) => self.complain(&away),
                Ok(all) => {
                    self.answered();
                    let step = cluster.table().join(call, all, cluster.lock_file.id(), now());
                    match step {
                        Join::Register => return Ok(()),
                        Join::Wait { first } if first => {
                            tracing::warn!(
                                name = cluster.name,
                                wait = ?cluster.settings.lost_after,
                                "the registry has a server of this name: waiting whether it still lives"
                            );
                        }
                        Join::Wait { .. } => {}
                        Join::Taken { addr } => return Err(ClusterEnd::NameTaken { name: cluster.name.clone(), addr }),
                        Join::Ask(suspect) => {
                            if probe(cluster, &suspect).await == Probe::Alive {
                                return Err(ClusterEnd::NameTaken { name: cluster.name.clone(), addr: suspect.addr });
                            }
                            cluster.table().register_at(Some(suspect.rev), Some(suspect.inc), now());
                            return Ok(());
                        }
                    }
                }
            }
            tokio::time::sleep(cluster.pause()).await;
        }
    }

    /// One beat. Says why the server is a member no longer, if so.
    async fn beat(&mut self) -> Option<ClusterEnd> {
        let cluster = self.cluster;
        self.n += 1;
        let mut record = self.record();
        self.told = record.load.sessions;
        record.load.spent = self.telling.next(std::mem::take(&mut record.load.spent));
        let (call, at) = cluster.table().begin_beat(record.strict, now());
        let began = Instant::now();
        let next = match cluster.patiently(cluster.registry.beat(&cluster.name, &record, at)).await {
            Ok(beat) => {
                self.answered();
                cluster.counts.last_beat_us.store(micros(began.elapsed()), Ordering::Relaxed);
                let is_first = matches!(beat, Beat::Kept(..)) && cluster.beat_age().is_none();
                let mut table = cluster.table();
                let next = table.answered(call, beat, now());
                self.spent.tell(&table, self.member);
                let unreadable = table.unreadable();
                drop(table);
                self.complain_of_records(unreadable);
                if is_first {
                    tracing::info!(name = cluster.name, incarnation = %cluster.inc, "joined the cluster");
                }
                next
            }
            Err(away) => {
                self.complain(&away);
                cluster.table().failed(now(), cluster.settings.fence_after)
            }
        };
        self.again = if next == Next::Again && self.again < MOST_AGAIN { self.again + 1 } else { 0 };
        cluster.beats.send_modify(|beats| *beats += 1);
        match next {
            Next::End(ended) => Some(ClusterEnd::Condemned(ended)),
            Next::Rest | Next::Again => None,
        }
    }

    /// Whether there are more sessions than the last beat told of, by more than a quarter: the first one is, and a server
    /// that fills up beats a few times more than otherwise.
    fn has_many_more(&self) -> bool {
        self.member.sessions() > self.told + self.told / 4
    }

    fn record(&self) -> Record {
        let cluster = self.cluster;
        let (draining, strict) = {
            let table = cluster.table();
            (table.is_draining(), table.is_strict(now()))
        };
        Record {
            v: Record::FORM,
            inc: cluster.inc,
            addr: cluster.address.get().expect("listens_at comes first").clone(),
            state: if draining { NodeState::Draining } else { NodeState::Up },
            n: self.n,
            started_ms: cluster.started_ms,
            lock: cluster.lock_file.id().to_owned(),
            strict,
            load: self.member.load(),
            by: None,
            at_ms: None,
        }
    }

    fn answered(&mut self) {
        *lock(&self.cluster.away) = None;
        if self.complained.take().is_some() {
            tracing::info!("the registry answers again");
        }
    }

    /// A record that cannot be read is said once: nobody is declared lost for it, and nobody finds its server by it.
    fn complain_of_records(&mut self, unreadable: BTreeMap<String, String>) {
        for (name, problem) in &unreadable {
            if self.unreadable.get(name) != Some(problem) {
                tracing::warn!(server = name, problem, "its record in the registry cannot be read and is left alone");
            }
        }
        self.unreadable = unreadable;
    }

    fn complain(&mut self, away: &Away) {
        self.cluster.counts.beats_failed.fetch_add(1, Ordering::Relaxed);
        *lock(&self.cluster.away) = Some(away.to_string());
        if self.complained.is_none_or(|last| last.elapsed() >= REMIND) {
            self.complained = Some(Instant::now());
            tracing::error!(%away, "the registry (--cluster) does not answer: sessions go on, new ones have to wait");
        }
    }
}

impl Cluster {
    /// Until the next beat: a tenth more or less, so that the servers do not all come at once.
    fn pause(&self) -> Duration {
        self.settings.beat * (90 + crate::random::below(21)) / 100
    }
}

impl Cluster {
    /// Whether a suspect may be asked now: one question at a time, and one in a beat.
    fn may_ask(&self, name: &str) -> bool {
        let (mut all, now) = (lock(&self.asked), Instant::now());
        let beat = self.settings.beat;
        let said = match all.get(name) {
            Some(asked) if asked.is_open || now.duration_since(asked.since) < beat => return false,
            Some(asked) => asked.said,
            None => None,
        };
        // Who has not been asked for long is not a suspect any more.
        all.retain(|_, asked| asked.is_open || now.duration_since(asked.since) < beat * 4);
        all.insert(name.to_owned(), Asked { since: now, is_open: true, said });
        true
    }

    /// Whether the log has not been told yet that this suspect lives.
    fn says_first(&self, suspect: &Suspect) -> bool {
        let mut all = lock(&self.asked);
        let said = all.get_mut(&suspect.name).map(|asked| asked.said.replace(suspect.rev));
        said != Some(Some(suspect.rev))
    }
}

/// Asks those that are silent whether they live, each in a task of its own.
fn judge(cluster: &Arc<Cluster>, probes: &mut JoinSet<()>) {
    let (relapsed, suspects) = {
        let table = cluster.table();
        (table.relapsed(), table.suspects(now()))
    };
    let relapsed = relapsed.into_iter().map(|suspect| (suspect, true));
    for (suspect, is_relapsed) in relapsed.chain(suspects.into_iter().map(|suspect| (suspect, false))) {
        if probes.len() >= MOST_PROBES || !cluster.may_ask(&suspect.name) {
            continue;
        }
        let cluster = Arc::clone(cluster);
        probes.spawn(async move {
            let probe = if is_relapsed { None } else { Some(probe(&cluster, &suspect).await) };
            let is_lost = probe.is_none_or(|probe| cluster.table().condemns(&suspect, probe, now()));
            match probe {
                _ if is_lost => condemn(&cluster, &suspect, probe).await,
                Some(Probe::Alive) if cluster.says_first(&suspect) => {
                    tracing::warn!(server = suspect.name, "cut off from the registry; it answers, and stays a member");
                }
                _ => {}
            }
            if let Some(asked) = lock(&cluster.asked).get_mut(&suspect.name) {
                asked.is_open = false;
            }
        });
    }
    if let Some((name, rev)) = cluster.table().old_grave(now())
        && probes.len() < MOST_PROBES
    {
        let cluster = Arc::clone(cluster);
        probes.spawn(async move {
            if let Err(away) = cluster.patiently(cluster.registry.remove(&name, rev)).await {
                tracing::debug!(%away, name, "the record of a lost server stays for now");
            }
        });
    }
}

/// Declares a server lost. One of those who try it wins.
async fn condemn(cluster: &Cluster, suspect: &Suspect, probe: Option<Probe>) {
    let Some(verdict) = cluster.table().verdict(suspect, unix_ms()) else { return };
    let sessions = verdict.load.sessions;
    match cluster.patiently(cluster.registry.replace(&suspect.name, suspect.rev, &verdict)).await {
        Ok(true) => {
            cluster.table().condemned(suspect, &verdict, now());
            tracing::warn!(server = suspect.name, addr = suspect.addr, sessions, ?probe, "declared lost");
        }
        // Another one was quicker, or it lives: what the registry says is not waited for until the next beat.
        Ok(false) => cluster.refresh().await,
        Err(away) => tracing::debug!(%away, server = suspect.name, "could not be declared lost"),
    }
}

/// Asks a server directly whether it is the one of the record.
async fn probe(cluster: &Cluster, suspect: &Suspect) -> Probe {
    match cluster.ask_alive(&suspect.addr, suspect.inc).await {
        Probe::Refused => {
            tokio::time::sleep(SECOND_TRY).await;
            cluster.ask_alive(&suspect.addr, suspect.inc).await
        }
        probe => probe,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
