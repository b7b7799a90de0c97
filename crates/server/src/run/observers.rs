//! Those who watch a run beside its subscriber: they see what it is shown, and change nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::log::{Log, Look, NoReplay, Shown};
use super::replay::{Block, Page, Record};
use super::window::{Cursor, Window};
use super::{Ready, ReadyRuns, Run, State};
use crate::budget::{Charge, SMALL};

/// While memory is short, one part of a run's file is in memory for those who watch, and each has the one that it needs for so
/// long when others wait.
///
/// 100 ms: who reads gets on in that time, and who does not keeps nobody waiting for longer.
pub(super) const PAGE_TURN: Duration = Duration::from_millis(100);

/// So long a run keeps its tail when the last of those who watch has gone.
///
/// 10 s: the tail is made anew of up to `--replay-memory` bytes, which takes a millisecond of the thread that serves all. Who
/// comes and goes, again and again, finds it there. No option: it refuses nothing, what it keeps counts as the rest of the run
/// does, and goes at once when memory is short.
const TAIL_STAYS: Duration = Duration::from_secs(10);

/// Those who watch a run beside its subscriber.
///
/// A observer is a place in the run's events. The program, the subscriber and the other observers never wait for it: when what
/// it has to see next is kept no longer, it is told so and is none any more. Only while memory is short do those who read
/// the run's file take turns, and wait until others have read what was sent to them.
#[derive(Default)]
pub(super) struct Observers {
    list: Vec<Observer>,
    /// How many parts of the file were given.
    turns: u64,
    /// A charge of nothing, of what parts of the file may take.
    pub(super) charge: Option<Charge>,
    /// The run task has gone, and nobody reads the run's file any more.
    file_closed: bool,
    /// Nobody is here, and the log's tail goes then.
    tail_until: Option<Instant>,
}

struct Observer {
    who: Arc<ReadyRuns>,
    /// The last number shown.
    cursor: u64,
    window: Option<Window>,
    /// Its queue holds the run.
    queued: bool,
    /// The part of the run's file in which it is.
    page: Option<Arc<CountedPage>>,
    /// Which of all that were given its last part was.
    turn: u64,
    /// How much of a window the next event takes, if it was seen in a part that is gone.
    next: u32,
    /// The bytes of the next event, if there was no room to send it. 0: there was, or nobody has tried.
    needs: usize,
}

/// A part of the run's file, and what it takes of what its session may hold.
struct CountedPage {
    page: Page,
    _charge: Option<Charge>,
}

/// What a observer hears that comes too late for an event.
const BEHIND: &str = "this observer is too far behind: what it would see next is kept no longer (the run itself is not affected); watch it again from afterSeq 0 to go on with what is";
/// What observers hear when a run ends without its last words.
pub(super) const OWNER_LEFT: &str = "the run's owner has left it, and it is stopped: nothing more of it is shown";

impl Observers {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The part of the file for which one waits who had none for the longest.
    fn wanted_block(&self, log: &Log) -> Option<Block> {
        if self.file_closed {
            return None;
        }
        let wanted = self.list.iter().filter(|observer| observer.wants_page());
        let wanted = wanted.filter_map(|observer| match observer.look(log) {
            Look::InFile(block) => Some((observer.turn, block)),
            _ => None,
        });
        wanted.min_by_key(|(turn, _)| *turn).map(|(_, block)| block)
    }

    fn find(&mut self, who: &Arc<ReadyRuns>) -> Option<usize> {
        self.list.iter().position(|observer| Arc::ptr_eq(&observer.who, who))
    }
}

impl Observer {
    /// Whether its window lets this much through. One chunk always goes into an empty one.
    fn takes(&self, chunk: u32) -> bool {
        let window = self.window.as_ref().filter(|_| chunk > 0);
        window.is_none_or(|window| window.is_empty() || window.room() >= u64::from(chunk))
    }

    /// What there is of the next event.
    fn look<'a>(&'a self, log: &'a Log) -> Look<'a> {
        log.look(self.cursor + 1, self.page.as_ref().map(|counted| &counted.page))
    }

    /// Whether it takes something out of a part of the file as soon as it has it. Who is in its queue has not looked yet.
    fn wants_page(&self) -> bool {
        !self.queued && self.needs == 0 && self.takes(self.next)
    }

    /// There is no room to send the next event: others of the session's observers have not read theirs.
    fn waits_for_room(&mut self, event: Option<&Record>) {
        let Some(event) = event else { return };
        (self.needs, self.next) = (event.text.len(), event.chunk);
        self.page = None; // it takes room, too
    }

    /// The next event was shown.
    fn step(&mut self) {
        self.cursor += 1;
        self.next = 0;
        self.page.take_if(|counted| counted.page.get(self.cursor + 1).is_none());
    }
}

impl Run {
    /// Lets `who` watch from this place on; behind the event 0 comes the oldest that is kept.
    pub(crate) fn watch(self: &Arc<Self>, who: &Arc<ReadyRuns>, place: Cursor) -> Result<(), NoReplay> {
        let mut state = self.state();
        let state = &mut *state;
        let before = state.observers.find(who);
        if before.is_none() && state.observers.list.len() >= self.max_watchers {
            return Err(NoReplay::AddressFull { most: self.max_watchers });
        }
        let cursor = state.log.watch_from(place.after)?;
        let queued = before.is_some_and(|at| state.observers.list.swap_remove(at).queued);
        let window = Window::at(place, state.log.oldest(), |seq| state.log.chunk(seq));
        let who = Arc::clone(who);
        state.observers.tail_until = None;
        state.observers.list.push(Observer { who, cursor, window, queued, page: None, turn: 0, next: 0, needs: 0 });
        state.log.keep_tail(self.tail);
        self.announce_to_observers(state);
        self.changed.notify_one(); // there may be more for the file now
        Ok(())
    }

    /// `who` watches no more. Nobody else notices.
    pub(crate) fn unwatch(&self, who: &Arc<ReadyRuns>) {
        let mut state = self.state();
        if let Some(at) = state.observers.find(who) {
            state.observers.list.swap_remove(at);
            self.tidy(&mut state);
        }
    }

    /// The next event for a observer.
    pub(super) fn show_to_observer(self: &Arc<Self>, state: &mut State, who: &Arc<ReadyRuns>) -> Option<Shown> {
        let at = state.observers.find(who)?;
        let Observers { list, charge, .. } = &mut state.observers;
        let observer = &mut list[at];
        observer.queued = false;
        let record = match observer.look(&state.log) {
            Look::There(record) if observer.takes(record.chunk) => Some(record.clone()),
            _ => None,
        };
        let text = record.as_ref().map(|record| &record.text).filter(|text| text.len() > SMALL);
        let held = charge.as_ref().zip(text).map(|(charge, text)| charge.try_hold_text(text)).transpose();
        let Ok(held) = held else {
            observer.waits_for_room(record.as_ref());
            self.announce_to_observers(state);
            self.changed.notify_one(); // the run task knows when it tries again
            return None;
        };
        let shown = record.map(|record| {
            observer.step();
            if let Some(window) = observer.window.as_mut().filter(|_| record.chunk > 0) {
                window.sent(observer.cursor, u64::from(record.chunk));
            }
            Shown { text: record.text, held, is_end: state.log.is_all(observer.cursor) }
        });
        if shown.as_ref().is_some_and(|shown| shown.is_end) {
            state.observers.list.swap_remove(at);
            self.tidy(state);
        }
        self.announce_to_observers(state);
        shown
    }

    /// A observer has taken every event up to `seq`: more may come to it. For nobody else does that mean anything.
    pub(super) fn acknowledge_of_observer(self: &Arc<Self>, state: &mut State, who: &Arc<ReadyRuns>, seq: u64) {
        if let Some(at) = state.observers.find(who) {
            let observer = &mut state.observers.list[at];
            let seq = seq.min(observer.cursor);
            if let Some(window) = &mut observer.window {
                window.acknowledged(seq);
            }
            self.announce_to_observers(state);
        }
    }

    /// Puts the run into the queues of those who have something to see, and tells those for whom it is too late.
    pub(super) fn announce_to_observers(self: &Arc<Self>, state: &mut State) {
        let State { log, observers, .. } = &mut *state;
        if observers.is_empty() {
            return;
        }
        let (file_closed, mut wants_page) = (observers.file_closed, false);
        observers.list.retain_mut(|observer| match observer.look(log) {
            Look::There(record) => {
                if observer.needs > 0 && file_closed {
                    // Nobody would try again.
                    observer.who.push(Ready::Lost(Arc::clone(self), BEHIND));
                    return false;
                }
                if !observer.queued && observer.needs == 0 && observer.takes(record.chunk) {
                    observer.who.push(Ready::Run(Arc::clone(self)));
                    observer.queued = true;
                }
                true
            }
            Look::InFile(_) if !file_closed => {
                wants_page |= observer.wants_page();
                true
            }
            Look::NotYet => true,
            Look::InFile(_) | Look::Gone => {
                observer.who.push(Ready::Lost(Arc::clone(self), BEHIND));
                false
            }
        });
        self.tidy(state);
        if wants_page {
            self.changed.notify_one();
        }
    }

    /// Nobody can watch any more, and this is why.
    pub(super) fn dismiss_observers(self: &Arc<Self>, state: &mut State, why: &'static str) {
        for observer in state.observers.list.drain(..) {
            observer.who.push(Ready::Lost(Arc::clone(self), why));
        }
        self.tidy(state);
    }

    /// The part of the file that a observer waits for; `taken`: nobody's who has one is taken away yet.
    pub(super) fn observers_block(&self, taken: bool) -> Option<Block> {
        let state = self.state();
        if taken && state.observers.list.iter().any(|observer| observer.page.is_some()) {
            return None;
        }
        state.observers.wanted_block(&state.log)
    }

    /// Whether an observer has an event to see that there was no room to send.
    pub(super) fn observers_need_room(&self) -> bool {
        self.state().observers.list.iter().any(|observer| observer.needs > 0)
    }

    /// Lets the one of them try again who has waited the longest, if there is room now.
    pub(super) fn give_observers_room(self: &Arc<Self>) {
        let mut state = self.state();
        let Observers { list, charge, .. } = &mut state.observers;
        let waiting = list.iter_mut().filter(|observer| observer.needs > 0).min_by_key(|observer| observer.turn);
        if let Some(observer) = waiting
            && charge.as_ref().is_none_or(|charge| charge.has_room_for_text(observer.needs))
        {
            observer.needs = 0;
            self.announce_to_observers(&mut state);
        }
    }

    /// A charge of nothing yet, for a part of the file.
    pub(super) fn page_charge(&self) -> Option<Charge> {
        self.state().observers.charge.as_ref().map(Charge::another)
    }

    /// Memory is short, and others want a part of the file.
    pub(super) fn take_pages_back(&self) {
        for observer in &mut self.state().observers.list {
            if let Some(counted) = observer.page.take() {
                observer.next = counted.page.get(observer.cursor + 1).map_or(0, |record| record.chunk);
            }
        }
    }

    /// A part of the file was read for those who watch. `None`: it cannot be.
    pub(super) fn give_page(self: &Arc<Self>, block: Block, page: Option<Page>, charge: Option<Charge>) {
        let mut state = self.state();
        let State { log, observers, .. } = &mut *state;
        let page = page.map(|page| Arc::new(CountedPage { page, _charge: charge }));
        observers.turns += 1;
        let turn = observers.turns;
        observers.list.retain_mut(|observer| {
            let waits = observer.wants_page() && matches!(observer.look(log), Look::InFile(at) if at == block);
            match &page {
                _ if !waits => true,
                Some(page) => {
                    observer.page = Some(Arc::clone(page));
                    observer.turn = turn;
                    true
                }
                None => {
                    observer.who.push(Ready::Lost(Arc::clone(self), BEHIND));
                    false
                }
            }
        });
        self.announce_to_observers(&mut state);
    }

    /// The run task goes, and the file with it.
    pub(super) fn close_file(self: &Arc<Self>) {
        let mut state = self.state();
        state.observers.file_closed = true;
        if state.observers.tail_until.take().is_some() {
            state.log.drop_tail();
        }
        self.announce_to_observers(&mut state);
    }
}

impl Run {
    /// Without observers there is no tail for long.
    fn tidy(&self, state: &mut State) {
        if !state.observers.is_empty() || !state.log.has_tail() {
            return;
        }
        if state.log.is_short() || state.observers.file_closed {
            state.log.drop_tail();
        } else if state.observers.tail_until.is_none() {
            state.observers.tail_until = Some(Instant::now() + TAIL_STAYS);
            self.changed.notify_one();
        }
    }

    /// When the tail goes that nobody looks at.
    pub(super) fn tail_until(&self) -> Option<Instant> {
        self.state().observers.tail_until
    }

    /// The time may have come.
    pub(super) fn drop_old_tail(&self) {
        let mut state = self.state();
        if state.observers.tail_until.take_if(|at| *at <= Instant::now()).is_some() {
            state.log.drop_tail();
        }
    }
}

#[cfg(test)]
mod tests;
