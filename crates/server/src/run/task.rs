//! The task of a run: works the log's file, and knows when a run has been alone for long enough.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::observers::PAGE_TURN;
use super::replay::{Block, Job};
use super::source::Stop;
use super::spool::Spool;
use super::{Ready, Run, State, Times};
use crate::budget::Charge;

/// A disk that took nothing is asked again after so long.
const RETRY: Duration = Duration::from_secs(1);

/// What subscribers hear then, for good.
const DISK_LOST: &str = "the server's disk has lost what the run had said";

/// What a run task does next.
struct Turn {
    job: Option<Job>,
    /// The program has ended, and what is left of it takes no more than the log's room.
    ended: bool,
    /// There is more to store.
    more: bool,
    /// When the run has been alone for long enough.
    deadline: Option<Instant>,
    /// Nobody can see the run any more.
    over: bool,
}

/// Waits for the turn of those who find no room.
type TurnWithoutRoom = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// Keeps a run until nobody can see it any more. `busy` is dropped with the program's end, `kept` at the end.
pub(super) async fn keep<B, K>(run: Arc<Run>, mut spool: Spool, busy: B, kept: K) {
    let mut busy = Some(busy);
    let [mut retry_at, mut page_at, mut room_at]: [Option<Instant>; 3] = [None; 3];
    let (mut waits_for_room, mut own_turn): (Option<TurnWithoutRoom>, _) = (None, None);
    loop {
        run.end_page_turn();
        let Turn { job, more, ended, deadline, over } = run.turn(waits_for_room.is_none());
        match job {
            Some(Job::Read(block)) => {
                match run.room_to_read(block, own_turn.take()) {
                    Ok(room) => run.read(block, room, &spool).await,
                    Err(waits) => waits_for_room = Some(waits),
                }
                continue;
            }
            Some(Job::Write { block, bytes, anew }) => {
                retry_at = run.write(block, bytes, anew, &mut spool).await;
                continue;
            }
            None => own_turn = None,
        }
        if more {
            tokio::task::yield_now().await;
            continue;
        }
        if ended {
            busy = None;
        }
        page_at.take_if(|at| *at <= Instant::now());
        if let Some(block) = run.observers_block(page_at.is_some()) {
            page_at = run.read_for_observers(block, &spool).await;
        }
        if room_at.take_if(|at| *at <= Instant::now()).is_some() {
            run.give_observers_room();
        }
        if room_at.is_none() && run.observers_need_room() {
            room_at = Some(Instant::now() + PAGE_TURN);
        }
        if over {
            break;
        }
        let wake =
            [deadline, retry_at, page_at, room_at, run.tail_until(), run.page_turn_until()].into_iter().flatten().min();
        if wake.is_some_and(|wake| wake <= Instant::now()) {
            retry_at.take_if(|at| *at <= Instant::now()).into_iter().for_each(|_| run.state().log.retry());
            run.drop_old_tail();
            run.expire();
            continue;
        }
        tokio::select! {
            () = run.changed.notified() => {}
            () = until(wake) => {}
            turn = turn_of(&mut waits_for_room) => (own_turn, waits_for_room) = (turn, None),
        }
    }
    run.close_file();
    drop((busy, kept));
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => pending().await,
    }
}

async fn turn_of(waits: &mut Option<TurnWithoutRoom>) -> Option<OwnedSemaphorePermit> {
    match waits {
        Some(waits) => waits.await,
        None => pending().await,
    }
}

/// Room for a part of the file: what it takes counts, and the turn where there is none.
#[derive(Default)]
struct PageRoom {
    charge: Option<Charge>,
    turn: Option<OwnedSemaphorePermit>,
}

impl State {
    /// Whether nobody has anything to do with it any more, unless somebody comes back.
    fn is_done(&self) -> bool {
        self.ended && (self.log.is_unwatched() || self.log.is_over())
    }

    /// When the run has been alone for long enough.
    fn deadline(&self, times: Times) -> Option<Instant> {
        if self.is_done() {
            Some(self.idle_since + times.retention)
        } else if self.log.is_unwatched() && self.stop.is_none() {
            Some(self.idle_since + times.unwatched?)
        } else {
            None
        }
    }
}

impl Run {
    /// `reads`: a part of the file may be read for the subscriber.
    fn turn(self: &Arc<Self>, reads: bool) -> Turn {
        let mut state = self.state();
        if state.log.store_more() {
            self.announce(&mut state);
        }
        self.tell_refused(&mut state);
        // Whoever is in its queue has not looked yet.
        let job = if reads && !state.queued { state.log.next_job() } else { state.log.next_write() };
        self.resume(&mut state);
        let room = state.log.has_room();
        let forgotten = state.is_done() && state.forgotten;
        let ended = state.ended && (room || forgotten);
        state.held_back |= state.ended && !room;
        let needless = !self.options.resume || state.log.is_abandoned() || forgotten;
        let more = state.log.stores_more();
        Turn { job, more, ended, deadline: state.deadline(self.times), over: ended && needless }
    }

    /// The deadline may have come.
    fn expire(&self) {
        let mut state = self.state();
        if state.deadline(self.times).is_none_or(|deadline| deadline > Instant::now()) {
            return;
        }
        if state.ended {
            state.forgotten = true;
            return;
        }
        state.log.close();
        drop(state);
        tracing::debug!(run = self.id, "nobody came back for it");
        self.stop(Stop::Unwatched(self.times.unwatched.unwrap_or_default()));
    }

    /// Writes a part of the log. When that failed: the time to try again.
    async fn write(&self, block: Block, bytes: Vec<u8>, anew: bool, spool: &mut Spool) -> Option<Instant> {
        let written = spool.write(block, bytes, anew).await;
        self.state().log.written(block, written.is_ok());
        let error = written.err()?;
        tracing::warn!(run = self.id, %error, "a run's output cannot be kept on disk: its program waits");
        Some(Instant::now() + RETRY)
    }

    /// Asks for what a part of the file takes while it is read for the subscriber. Where there is no room, runs of a session have
    /// one each after the other: `turn` is this one's, or it has to be waited for.
    fn room_to_read(&self, block: Block, turn: Option<OwnedSemaphorePermit>) -> Result<PageRoom, TurnWithoutRoom> {
        let mut state = self.state();
        state.page_turn = None;
        let Some(mut charge) = state.texts.as_ref().map(Charge::another) else { return Ok(PageRoom::default()) };
        let bytes = block.while_read();
        let has_room = charge.resize(bytes).is_ok();
        if !has_room && turn.is_none() {
            // It may stay in memory from the last block, which is one of those that take the room.
            state.log.drop_page();
            return Err(Box::pin(charge.turn_without_room()));
        }
        charge.hold(bytes);
        Ok(PageRoom { charge: Some(charge), turn: turn.filter(|_| !has_room) })
    }

    /// Reads a part of the file for the subscriber.
    async fn read(self: &Arc<Self>, block: Block, room: PageRoom, spool: &Spool) {
        let read = spool.read_page(block).await;
        let mut state = self.state();
        drop(room.charge); // the log counts it from now on
        let error = match read {
            Ok(page) => {
                state.page_turn = room.turn.map(|turn| (turn, Instant::now() + PAGE_TURN));
                state.log.loaded(page);
                self.announce(&mut state);
                return;
            }
            Err(error) => error,
        };
        tracing::error!(run = self.id, %error, "a run's output cannot be read from disk any more");
        if let Some(subscriber) = state.subscriber.take() {
            subscriber.push(Ready::Lost(Arc::clone(self), DISK_LOST));
        }
        drop(state);
        self.abandon(DISK_LOST);
    }

    /// When the subscriber's part of the file is another run's turn.
    fn page_turn_until(&self) -> Option<Instant> {
        self.state().page_turn.as_ref().map(|(_, until)| *until)
    }

    /// The time may have come.
    fn end_page_turn(&self) {
        let mut state = self.state();
        if state.page_turn.take_if(|(_, until)| *until <= Instant::now()).is_some() {
            state.log.drop_page();
        }
    }

    /// Reads a part of the file for those who watch. While memory is short, the others lose theirs, and the time is told at
    /// which it is the next one's turn.
    async fn read_for_observers(self: &Arc<Self>, block: Block, spool: &Spool) -> Option<Instant> {
        let mut charge = self.page_charge();
        let while_read = block.while_read();
        let is_short = charge.as_mut().is_some_and(|charge| charge.resize(while_read).is_err());
        if is_short {
            self.take_pages_back();
            charge.iter_mut().for_each(|charge| charge.hold(while_read));
        }
        let read = spool.read_page(block).await;
        let page = read.inspect_err(
            |error| tracing::error!(run = self.id, %error, "a run's output cannot be read from disk for an observer"),
        );
        let page = page.ok();
        charge.iter_mut().for_each(|charge| charge.hold(block.memory()));
        self.give_page(block, page, charge);
        is_short.then(|| Instant::now() + PAGE_TURN)
    }
}
