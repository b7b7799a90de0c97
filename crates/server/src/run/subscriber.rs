//! A run's subscriber: it comes, is shown what there is, says what it has taken, and goes.

use std::sync::Arc;

use agb_protocol::DEFAULT_TARGET;
use agb_protocol::service::Reply;
use tokio::time::Instant;

use super::log::{NoReplay, Shown};
use super::observers::OWNER_LEFT;
use super::window::Cursor;
use super::{Ready, ReadyRuns, Run, State};
use crate::budget::{Charge, SMALL};

impl Run {
    /// The frame that tells a subscriber which has come back that the run is here: the program may be silent for long, and
    /// what it says next may be a frame that a bad connection does not carry whole. It has no number: it is not an event.
    pub(crate) fn greeting(&self) -> String {
        let reply = Reply { invocation: &self.id, source: DEFAULT_TARGET, seq: None, time: None };
        let state = self.state();
        reply.greeting(state.begun, self.options.extensions, state.input.seq)
    }

    /// From now on `subscriber` is told when there is something to show, from this place on. A subscriber that was there
    /// before is told that it is none any more.
    pub(crate) fn attach(self: &Arc<Self>, subscriber: &Arc<ReadyRuns>, place: Cursor) -> Result<(), NoReplay> {
        {
            let mut state = self.state();
            state.log.attach(place)?;
            state.note_place(subscriber);
            if !is(&state.subscriber, subscriber) {
                if let Some(old) = state.subscriber.replace(Arc::clone(subscriber)) {
                    old.push(Ready::Lost(Arc::clone(self), "the run is watched by a later connection now"));
                    state.let_go(&old);
                }
                state.queued = false;
            }
            self.announce(&mut state);
        }
        self.changed.notify_one(); // a part of the log may have to be read back
        Ok(())
    }

    /// The next event for the subscriber or a observer, if that is who asks. The run keeps its place in the subscriber's queue while it has
    /// more.
    pub(crate) fn show(self: &Arc<Self>, subscriber: &Arc<ReadyRuns>) -> Option<Shown> {
        let mut state = self.state();
        if !is(&state.subscriber, subscriber) {
            return self.show_to_observer(&mut state, subscriber);
        }
        let mut shown = state.confirm_input(&self.id).or_else(|| state.log.show());
        if let (Some(shown), Some(texts)) = (&mut shown, &state.texts) {
            // The subscriber has it in any case: nobody else can show it.
            shown.held = (shown.text.len() > SMALL).then(|| texts.hold_text(&shown.text).with(&state.under_way));
        }
        state.note_place(subscriber);
        state.queued = false;
        self.tell_refused(&mut state);
        self.announce(&mut state);
        if state.log.is_over() {
            state.idle_since = Instant::now();
        }
        self.wake(&mut state);
        shown
    }

    /// The subscriber has taken every event up to `seq`.
    pub(crate) fn acknowledge(self: &Arc<Self>, subscriber: &Arc<ReadyRuns>, seq: u64) {
        let mut state = self.state();
        if is(&state.subscriber, subscriber) {
            self.take_acknowledgement(&mut state, seq);
        } else {
            self.acknowledge_of_observer(&mut state, subscriber, seq);
        }
    }

    /// Somebody has taken every event up to `seq`, over HTTP, where nobody says whose stream it came by. What only others
    /// were shown is not theirs to have taken.
    pub(crate) fn acknowledge_over_http(self: &Arc<Self>, seq: u64) {
        let mut state = self.state();
        let seq = seq.min(state.shown_over_http);
        self.take_acknowledgement(&mut state, seq);
    }

    fn take_acknowledgement(self: &Arc<Self>, state: &mut State, seq: u64) {
        state.log.acknowledge(seq);
        self.announce(state);
        self.wake(state);
    }

    /// The subscriber goes. A run that is not kept is interrupted, and what it still says is dropped. Whoever only watches may
    /// go without any of that.
    pub(crate) fn leave(self: &Arc<Self>, subscriber: &Arc<ReadyRuns>) {
        let mut state = self.state();
        if !is(&state.subscriber, subscriber) {
            drop(state);
            return self.unwatch(subscriber);
        }
        state.subscriber = None;
        state.let_go(subscriber);
        state.idle_since = Instant::now();
        if self.options.resume {
            state.log.detach();
            self.announce_to_observers(&mut state);
            drop(state);
            self.changed.notify_one();
        } else {
            drop(state);
            self.abandon(OWNER_LEFT);
        }
    }
}

impl State {
    /// A subscriber is none any more. What it was sent and has not taken is of no use to anybody, and one after the other could
    /// hold such: it may take the rest while there is room for that, and loses its connection where there is none.
    fn let_go(&mut self, subscriber: &ReadyRuns) {
        let under_way = std::mem::take(&mut self.under_way);
        if under_way.is_out() && self.texts.as_ref().is_some_and(Charge::is_short) {
            subscriber.cut();
        }
    }

    /// Remembers how far whoever comes over HTTP is.
    fn note_place(&mut self, subscriber: &ReadyRuns) {
        if subscriber.is_over_http() {
            self.shown_over_http = self.shown_over_http.max(self.log.cursor());
        }
    }
}

fn is(subscriber: &Option<Arc<ReadyRuns>>, other: &Arc<ReadyRuns>) -> bool {
    subscriber.as_ref().is_some_and(|subscriber| Arc::ptr_eq(subscriber, other))
}
