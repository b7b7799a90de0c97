//! The last transport fallback: one plain HTTP call for a run that could not stream and was never sent.
//!
//! Invariants:
//! * The call is made only for a run of which nothing was sent, which is for the core to say
//!   ([`RunError::Unreachable`]), and once.
//! * An answer that did not come leaves the outcome unknown, and the run's end says so.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use agb_core::operations::{RunCode, SessionData};
use agb_core::result::Execution;
use agb_core::run::RunRequest;
use agb_core::{Batch, DisconnectReason, RunError, StreamEvent};
use futures_util::future::{AbortHandle, AbortRegistration, Abortable, Aborted};

use crate::answer::SharedRoom;
use crate::api::Api;
use crate::error::Error;
use crate::random;

/// A run that may come to be made by a plain call. It goes on while it is polled.
pub(crate) struct PlainCall {
    api: Arc<Api>,
    session: Arc<SessionData>,
    request: RunRequest,
    stamps: bool,
    /// What its answer is counted by, until the run is dropped.
    room: Option<SharedRoom>,
    abort: AbortHandle,
    /// In a lock for nothing but to be `Sync`: it is never waited for.
    state: Mutex<State>,
    extra: Extra,
}

/// What the answer has and a stream has not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    /// The id of the call.
    pub(crate) request_id: String,
    /// The service cut what it sent.
    pub(crate) truncated: bool,
}

type Answer = Pin<Box<dyn Future<Output = Result<Result<Execution, Error>, Aborted>> + Send>>;

enum State {
    /// The run is streamed, or going to be.
    Spare(AbortRegistration),
    /// To be made, for this reason.
    Due(DisconnectReason, AbortRegistration),
    /// Being made.
    Made(DisconnectReason, Answer),
    /// Over: this is still to be read.
    Over(VecDeque<Batch>),
}

impl PlainCall {
    pub(crate) fn new(
        api: &Arc<Api>,
        session: &Arc<SessionData>,
        request: RunRequest,
        stamps: bool,
        room: Option<SharedRoom>,
    ) -> Self {
        let (abort, registration) = AbortHandle::new_pair();
        let state = Mutex::new(State::Spare(registration));
        let (api, session) = (Arc::clone(api), Arc::clone(session));
        Self { api, session, request, stamps, room, abort, state, extra: Extra::default() }
    }

    /// Ends the call from elsewhere, while it is made or before.
    pub(crate) fn abort_handle(&self) -> AbortHandle {
        self.abort.clone()
    }

    /// What the answer has and a stream has not, once it is there.
    pub(crate) const fn extra(&self) -> &Extra {
        &self.extra
    }

    /// From now on the call is the run. Nothing of the run may have been sent.
    pub(crate) fn begin(&mut self, reason: DisconnectReason) {
        let state = self.state();
        if let State::Spare(registration) = std::mem::replace(state, State::Over(VecDeque::new())) {
            *state = State::Due(reason, registration);
        }
    }

    /// Whether the call is the run.
    pub(crate) fn is_begun(&mut self) -> bool {
        !matches!(self.state(), State::Spare(_))
    }

    /// The next batch of the run: first the word that it could not be streamed, then what the call came to.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Batch> {
        loop {
            let end = match self.state() {
                State::Spare(_) => return Poll::Pending, // nobody asks before it is begun
                State::Due(..) => {
                    if let Some(word) = self.make() {
                        return Poll::Ready(word);
                    }
                    continue;
                }
                State::Made(reason, answer) => {
                    let answer = ready!(answer.as_mut().poll(cx));
                    let reason = reason.clone();
                    match answer {
                        Ok(Ok(execution)) => {
                            self.take(execution);
                            continue;
                        }
                        Ok(Err(error)) => end_of(&reason, &error),
                        Err(Aborted) => RunError::Cancelled { state_lost: false },
                    }
                }
                State::Over(batches) => match batches.pop_front() {
                    Some(batch) => return Poll::Ready(batch),
                    None => return Poll::Pending, // nobody asks after the end
                },
            };
            *self.state() = State::Over([Batch::of_end(Err(end))].into());
        }
    }

    /// Makes the call, and says so; nothing where it was cancelled before.
    fn make(&mut self) -> Option<Batch> {
        let State::Due(reason, registration) = std::mem::replace(self.state(), State::Over(VecDeque::new())) else {
            return None;
        };
        if self.abort.is_aborted() {
            let end = RunError::Cancelled { state_lost: false };
            *self.state() = State::Over([Batch::of_end(Err(end))].into());
            return None;
        }
        tracing::info!(target: "agb::connection", %reason, "a run cannot be streamed: it is made by a plain call");
        let word = Batch::of_event(StreamEvent::Unstreamed(reason.clone()), self.stamps);
        let api = Arc::clone(&self.api);
        let operation = RunCode::new(&self.session, &self.request, random::id());
        let room = self.room.clone();
        let call = async move {
            let answered = match room {
                Some(room) => api.call_apart(&Arc::new(operation), &room).await?,
                None => api.call(&operation).await?,
            };
            Ok(answered.value)
        };
        *self.state() = State::Made(reason, Box::pin(Abortable::new(call, registration)));
        Some(word)
    }

    fn take(&mut self, execution: Execution) {
        self.extra = Extra { request_id: execution.request_id.clone(), truncated: execution.truncated };
        let batches = execution.into_stream(self.stamps).collect();
        *self.state() = State::Over(batches);
    }

    fn state(&mut self) -> &mut State {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call without an answer comes to. `reason` is why the run was not streamed.
fn end_of(reason: &DisconnectReason, error: &Error) -> RunError {
    match error {
        Error::Api(error) => RunError::of_plain_call(reason, error),
        // Before anything was sent: no key, no local server.
        _ => RunError::Unreachable(reason.clone()),
    }
}
