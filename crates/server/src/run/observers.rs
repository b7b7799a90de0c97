//! Those who watch a run beside its subscriber: they see what it is shown, and change nothing.

use std::sync::Arc;

use super::log::{Log, Look, NoReplay, Shown};
use super::replay::{Block, Page};
use super::window::{Cursor, Window};
use super::{Ready, ReadyRuns, Run, State};

/// Those who watch a run beside its subscriber.
///
/// A observer is a place in the run's events. The program, the subscriber and the other observers never wait for it: when what
/// it has to see next is kept no longer, it is told so and is none any more.
#[derive(Default)]
pub(super) struct Observers {
    list: Vec<Observer>,
    /// The run task has gone, and nobody reads the run's file any more.
    file_closed: bool,
}

struct Observer {
    who: Arc<ReadyRuns>,
    /// The last number shown.
    cursor: u64,
    window: Option<Window>,
    /// Its queue holds the run.
    queued: bool,
    /// The part of the run's file in which it is.
    page: Option<Arc<Page>>,
}

/// What a observer hears that comes too late for an event.
const BEHIND: &str = "this observer is too far behind: what it would see next is kept no longer (the run itself is not affected); watch it again from afterSeq 0 to go on with what is";
/// What observers hear when a run ends without its last words.
pub(super) const OWNER_LEFT: &str = "the run's owner has left it, and it is stopped: nothing more of it is shown";

impl Observers {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one waits for a part of the file, and which.
    fn wanted_block(&self, log: &Log) -> Option<Block> {
        if self.file_closed {
            return None;
        }
        self.list.iter().find_map(|observer| match log.look(observer.cursor + 1, observer.page.as_deref()) {
            Look::InFile(block) => Some(block),
            _ => None,
        })
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
        state.observers.list.push(Observer { who: Arc::clone(who), cursor, window, queued, page: None });
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
            state.tidy();
        }
    }

    /// The next event for a observer.
    pub(super) fn show_to_observer(self: &Arc<Self>, state: &mut State, who: &Arc<ReadyRuns>) -> Option<Shown> {
        let at = state.observers.find(who)?;
        let observer = &mut state.observers.list[at];
        observer.queued = false;
        let record = match state.log.look(observer.cursor + 1, observer.page.as_deref()) {
            Look::There(record) if observer.takes(record.chunk) => Some(record.clone()),
            _ => None,
        };
        let shown = record.map(|record| {
            observer.cursor += 1;
            if let Some(window) = observer.window.as_mut().filter(|_| record.chunk > 0) {
                window.sent(observer.cursor, u64::from(record.chunk));
            }
            Shown { text: record.text, is_end: state.log.is_all(observer.cursor) }
        });
        if shown.as_ref().is_some_and(|shown| shown.is_end) {
            state.observers.list.swap_remove(at);
            state.tidy();
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
        observers.list.retain_mut(|observer| match log.look(observer.cursor + 1, observer.page.as_deref()) {
            Look::There(record) => {
                if !observer.queued && observer.takes(record.chunk) {
                    observer.who.push(Ready::Run(Arc::clone(self)));
                    observer.queued = true;
                }
                true
            }
            Look::InFile(_) if !file_closed => {
                wants_page = true;
                true
            }
            Look::NotYet => true,
            Look::InFile(_) | Look::Gone => {
                observer.who.push(Ready::Lost(Arc::clone(self), BEHIND));
                false
            }
        });
        state.tidy();
        if wants_page {
            self.changed.notify_one();
        }
    }

    /// Nobody can watch any more, and this is why.
    pub(super) fn dismiss_observers(self: &Arc<Self>, state: &mut State, why: &'static str) {
        for observer in state.observers.list.drain(..) {
            observer.who.push(Ready::Lost(Arc::clone(self), why));
        }
        state.tidy();
    }

    /// The part of the file that a observer waits for.
    pub(super) fn observers_block(&self) -> Option<Block> {
        let state = self.state();
        state.observers.wanted_block(&state.log)
    }

    /// A part of the file was read for those who watch. `None`: it cannot be.
    pub(super) fn give_page(self: &Arc<Self>, block: Block, page: Option<Page>) {
        let mut state = self.state();
        let state = &mut *state;
        let log = &state.log;
        let page = page.map(Arc::new);
        state.observers.list.retain_mut(|observer| {
            let waits =
                matches!(log.look(observer.cursor + 1, observer.page.as_deref()), Look::InFile(at) if at == block);
            match &page {
                _ if !waits => true,
                Some(page) => {
                    observer.page = Some(Arc::clone(page));
                    true
                }
                None => {
                    observer.who.push(Ready::Lost(Arc::clone(self), BEHIND));
                    false
                }
            }
        });
        self.announce_to_observers(state);
    }

    /// The run task goes, and the file with it.
    pub(super) fn close_file(self: &Arc<Self>) {
        let mut state = self.state();
        state.observers.file_closed = true;
        self.announce_to_observers(&mut state);
    }
}

impl State {
    /// Without observers there is no tail.
    fn tidy(&mut self) {
        if self.observers.is_empty() {
            self.log.drop_tail();
        }
    }
}
