//! The events of a cell on their way to an [`Execution`](crate::Execution).
//!
//! One producer (the kernel's task), one consumer (the `Execution`). Bounded by bytes instead of by messages, because a
//! message is anything from one byte to a figure.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{CellEvent, CellSink};

/// A chunk is never joined beyond this: the size of a pipe, and of a read.
const CHUNK: usize = 64 << 10;

/// What a queued event costs beyond its text, so that many small events are bounded as well.
const EVENT_COST: usize = 64;

/// The events that wait. The end is the last one; nothing is taken after it.
pub(crate) struct EventQueue {
    state: Mutex<State>,
    /// One waiter, so [`Notify::notify_one`] loses no wake-up.
    readable: Notify,
    limit: usize,
    hold: Mutex<Hold>,
}

/// Whether the kernel may hold so many bytes of a message: see [`CellSink::hold`].
pub type Hold = Box<dyn FnMut(usize) -> bool + Send>;

#[derive(Debug, Default)]
struct State {
    events: VecDeque<CellEvent>,
    bytes: usize,
    ended: bool,
    /// Nobody takes them any more.
    abandoned: bool,
}

impl EventQueue {
    pub(crate) fn new(limit: usize, hold: Hold) -> Self {
        Self { state: Mutex::default(), readable: Notify::new(), limit, hold: Mutex::new(hold) }
    }

    /// The next event; `None` after the end. Cancel-safe.
    pub(crate) async fn next(&self) -> Option<CellEvent> {
        loop {
            {
                let mut state = self.lock();
                if let Some(event) = state.events.pop_front() {
                    state.bytes -= memory_size(&event);
                    return Some(event);
                }
                if state.ended {
                    return None;
                }
            }
            self.readable.notified().await;
        }
    }

    /// Forgets what waits, and what still comes.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.events.clear();
        state.bytes = 0;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code between lock and unlock panics; a poisoned state is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CellSink for Arc<EventQueue> {
    /// Joins an event with the last one where both are output of one stream.
    fn push(&mut self, event: CellEvent) {
        let mut state = self.lock();
        if state.abandoned || state.ended {
            return;
        }
        state.ended = matches!(event, CellEvent::End(_));
        let added = match (state.events.back_mut(), &event) {
            (Some(CellEvent::Stdout(last)), CellEvent::Stdout(more))
            | (Some(CellEvent::Stderr(last)), CellEvent::Stderr(more))
                if last.len() + more.len() <= CHUNK =>
            {
                last.push_str(more);
                more.len()
            }
            _ => {
                let size = memory_size(&event);
                state.events.push_back(event);
                size
            }
        };
        state.bytes += added;
        drop(state);
        self.readable.notify_one();
    }

    fn excess(&self) -> Option<usize> {
        self.lock().bytes.checked_sub(self.limit)
    }

    fn hold(&mut self, bytes: usize) -> bool {
        // The kernel's task alone asks.
        (*self.hold.lock().unwrap_or_else(PoisonError::into_inner))(bytes)
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").field("state", &self.state).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// What an event takes while it is queued.
fn memory_size(event: &CellEvent) -> usize {
    EVENT_COST
        + match event {
            CellEvent::Stdout(text) | CellEvent::Stderr(text) | CellEvent::Background { text, .. } => text.len(),
            CellEvent::Result(result) => result.data.memory_size(),
            CellEvent::Error(error) => error.name.len() + error.value.len() + error.traceback.len(),
            CellEvent::InputRequest { prompt, .. } => prompt.len(),
            CellEvent::Started | CellEvent::End(_) => 0,
        }
}
