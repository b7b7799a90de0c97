//! Those who watch a run beside its viewer: they see what it is shown, and change nothing.

use std::sync::Arc;

use super::log::{Log, Look, NoReplay, Shown};
use super::replay::{Block, Page};
use super::window::{Place, Window};
use super::{Ready, ReadyRuns, Run, State};

/// Those who watch a run beside its viewer.
///
/// A watcher is a place in the run's events. The program, the viewer and the other watchers never wait for it: when what
/// it has to see next is kept no longer, it is told so and is none any more.
#[derive(Default)]
pub(super) struct Watchers {
    list: Vec<Watcher>,
    /// The keeper has gone, and nobody reads the run's file any more.
    file_closed: bool,
}

struct Watcher {
    who: Arc<ReadyRuns>,
    /// The last number shown.
    cursor: u64,
    window: Option<Window>,
    /// Its queue holds the run.
    queued: bool,
    /// The part of the run's file in which it is.
    page: Option<Arc<Page>>,
}

/// What a watcher hears that comes too late for an event.
const BEHIND: &str = "this watcher is too far behind: what it would see next is kept no longer (the run itself is not affected); watch it again from afterSeq 0 to go on with what is";
/// What watchers hear when a run ends without its last words.
pub(super) const OWNER_LEFT: &str = "the run's owner has left it, and it is stopped: nothing more of it is shown";

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one waits for a part of the file, and which.
    fn wanted_block(&self, log: &Log) -> Option<Block> {
        if self.file_closed {
            return None;
        }
        self.list.iter().find_map(|watcher| match log.look(watcher.cursor + 1, watcher.page.as_deref()) {
            Look::InFile(block) => Some(block),
            _ => None,
        })
    }

    fn find(&mut self, who: &Arc<ReadyRuns>) -> Option<usize> {
        self.list.iter().position(|watcher| Arc::ptr_eq(&watcher.who, who))
    }
}

impl Watcher {
    /// Whether its window lets this much through. One chunk always goes into an empty one.
    fn takes(&self, chunk: u32) -> bool {
        let window = self.window.as_ref().filter(|_| chunk > 0);
        window.is_none_or(|window| window.is_empty() || window.room() >= u64::from(chunk))
    }
}

impl Run {
    /// Lets `who` watch from this place on; behind the event 0 comes the oldest that is kept.
    pub(crate) fn watch(self: &Arc<Self>, who: &Arc<ReadyRuns>, place: Place) -> Result<(), NoReplay> {
        let mut state = self.state();
        let state = &mut *state;
        let before = state.watchers.find(who);
        if before.is_none() && state.watchers.list.len() >= self.max_watchers {
            return Err(NoReplay::Crowded { most: self.max_watchers });
        }
        let cursor = state.log.watch_from(place.after)?;
        let queued = before.is_some_and(|at| state.watchers.list.swap_remove(at).queued);
        let window = Window::at(place, |seq| state.log.chunk(seq));
        state.watchers.list.push(Watcher { who: Arc::clone(who), cursor, window, queued, page: None });
        state.log.keep_tail(self.tail);
        self.announce_to_watchers(state);
        self.changed.notify_one(); // there may be more for the file now
        Ok(())
    }

    /// `who` watches no more. Nobody else notices.
    pub(crate) fn unwatch(&self, who: &Arc<ReadyRuns>) {
        let mut state = self.state();
        if let Some(at) = state.watchers.find(who) {
            state.watchers.list.swap_remove(at);
            state.tidy();
        }
    }

    /// The next event for a watcher.
    pub(super) fn show_to_watcher(self: &Arc<Self>, state: &mut State, who: &Arc<ReadyRuns>) -> Option<Shown> {
        let at = state.watchers.find(who)?;
        let watcher = &mut state.watchers.list[at];
        watcher.queued = false;
        let record = match state.log.look(watcher.cursor + 1, watcher.page.as_deref()) {
            Look::There(record) if watcher.takes(record.chunk) => Some(record.clone()),
            _ => None,
        };
        let shown = record.map(|record| {
            watcher.cursor += 1;
            if let Some(window) = watcher.window.as_mut().filter(|_| record.chunk > 0) {
                window.sent(watcher.cursor, u64::from(record.chunk));
            }
            Shown { text: record.text, is_end: state.log.is_all(watcher.cursor) }
        });
        if shown.as_ref().is_some_and(|shown| shown.is_end) {
            state.watchers.list.swap_remove(at);
            state.tidy();
        }
        self.announce_to_watchers(state);
        shown
    }

    /// A watcher has taken every event up to `seq`: more may come to it. For nobody else does that mean anything.
    pub(super) fn acknowledge_of_watcher(self: &Arc<Self>, state: &mut State, who: &Arc<ReadyRuns>, seq: u64) {
        if let Some(at) = state.watchers.find(who) {
            let watcher = &mut state.watchers.list[at];
            let seq = seq.min(watcher.cursor);
            if let Some(window) = &mut watcher.window {
                window.acknowledged(seq);
            }
            self.announce_to_watchers(state);
        }
    }

    /// Puts the run into the queues of those who have something to see, and tells those for whom it is too late.
    pub(super) fn announce_to_watchers(self: &Arc<Self>, state: &mut State) {
        let State { log, watchers, .. } = &mut *state;
        if watchers.is_empty() {
            return;
        }
        let (file_closed, mut wants_page) = (watchers.file_closed, false);
        watchers.list.retain_mut(|watcher| match log.look(watcher.cursor + 1, watcher.page.as_deref()) {
            Look::There(record) => {
                if !watcher.queued && watcher.takes(record.chunk) {
                    watcher.who.push(Ready::Run(Arc::clone(self)));
                    watcher.queued = true;
                }
                true
            }
            Look::InFile(_) if !file_closed => {
                wants_page = true;
                true
            }
            Look::NotYet => true,
            Look::InFile(_) | Look::Gone => {
                watcher.who.push(Ready::Lost(Arc::clone(self), BEHIND));
                false
            }
        });
        state.tidy();
        if wants_page {
            self.changed.notify_one();
        }
    }

    /// Nobody can watch any more, and this is why.
    pub(super) fn dismiss_watchers(self: &Arc<Self>, state: &mut State, why: &'static str) {
        for watcher in state.watchers.list.drain(..) {
            watcher.who.push(Ready::Lost(Arc::clone(self), why));
        }
        state.tidy();
    }

    /// The part of the file that a watcher waits for.
    pub(super) fn watchers_block(&self) -> Option<Block> {
        let state = self.state();
        state.watchers.wanted_block(&state.log)
    }

    /// A part of the file was read for those who watch. `None`: it cannot be.
    pub(super) fn give_page(self: &Arc<Self>, block: Block, page: Option<Page>) {
        let mut state = self.state();
        let state = &mut *state;
        let log = &state.log;
        let page = page.map(Arc::new);
        state.watchers.list.retain_mut(|watcher| {
            let waits =
                matches!(log.look(watcher.cursor + 1, watcher.page.as_deref()), Look::InFile(at) if at == block);
            match &page {
                _ if !waits => true,
                Some(page) => {
                    watcher.page = Some(Arc::clone(page));
                    true
                }
                None => {
                    watcher.who.push(Ready::Lost(Arc::clone(self), BEHIND));
                    false
                }
            }
        });
        self.announce_to_watchers(state);
    }

    /// The keeper goes, and the file with it.
    pub(super) fn close_file(self: &Arc<Self>) {
        let mut state = self.state();
        state.watchers.file_closed = true;
        self.announce_to_watchers(&mut state);
    }
}

impl State {
    /// Without watchers there is no tail.
    fn tidy(&mut self) {
        if self.watchers.is_empty() {
            self.log.drop_tail();
        }
    }
}
