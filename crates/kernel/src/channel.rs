//! Between a cell in the actor and its [`Execution`](crate::Execution).
//!
//! One producer (the actor), one consumer (the `Execution`), any number of controls. Bounded by bytes instead of by
//! messages, because a message is anything from one byte to a figure.
//!
//! Invariants:
//! * the end is pushed once, and nothing after it: it never waits for room, so that a slow consumer delays nobody;
//! * each side has one waiter, so [`Notify::notify_one`] loses no wake-up.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{CellEnd, CellEvent};

/// A chunk is never joined beyond this: the size of a pipe, and of a read.
const CHUNK: usize = 64 << 10;

/// What a queued event costs beyond its text, so that many small events are bounded as well.
const EVENT_COST: usize = 64;

/// Why input was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StdinError {
    /// The program does not read what it was given.
    #[error("the program has not read {0} bytes of input; wait until it asks for more, or use a file")]
    Full(usize),
    /// Nobody will read it.
    #[error("the run takes no input: it was started without, its input was closed, or it has ended")]
    Closed,
}

pub(crate) struct CellChannel {
    state: Mutex<State>,
    readable: Notify,
    changed: Notify,
    /// Called once, by the first interrupt: a cell that still waits in the queue is removed from it.
    on_interrupt: Box<dyn Fn() + Send + Sync>,
    stdin_limit: usize,
}

#[derive(Debug)]
struct State {
    events: VecDeque<CellEvent>,
    bytes: usize,
    abandoned: bool,
    interrupted: bool,
    ended: bool,
    stdin: VecDeque<String>,
    stdin_bytes: usize,
    stdin_open: bool,
}

/// What the program's input has to offer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Data(String),
    Eof,
    Nothing,
}

impl fmt::Debug for CellChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CellChannel").field("state", &self.state).finish_non_exhaustive()
    }
}

impl CellChannel {
    pub(crate) fn new(on_interrupt: Box<dyn Fn() + Send + Sync>, stdin: bool, stdin_limit: usize) -> Self {
        let state = State {
            events: VecDeque::new(),
            bytes: 0,
            abandoned: false,
            interrupted: false,
            ended: false,
            stdin: VecDeque::new(),
            stdin_bytes: 0,
            stdin_open: stdin,
        };
        Self { state: Mutex::new(state), readable: Notify::new(), changed: Notify::new(), on_interrupt, stdin_limit }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code between lock and unlock panics; a poisoned state is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The consumer.

    pub(crate) async fn next(&self) -> Option<CellEvent> {
        loop {
            {
                let mut state = self.lock();
                if let Some(event) = state.events.pop_front() {
                    state.bytes -= memory_size(&event);
                    drop(state);
                    self.changed.notify_one();
                    return Some(event);
                }
                if state.ended {
                    return None;
                }
            }
            self.readable.notified().await;
        }
    }

    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.events.clear();
        state.bytes = 0;
        drop(state);
        self.interrupt();
    }

    pub(crate) fn interrupt(&self) {
        let mut state = self.lock();
        if state.ended || state.interrupted {
            return;
        }
        state.interrupted = true;
        drop(state);
        (self.on_interrupt)();
        self.changed.notify_one();
    }

    pub(crate) fn write_stdin(&self, data: String) -> Result<(), StdinError> {
        let mut state = self.lock();
        if !state.stdin_open || state.ended {
            return Err(StdinError::Closed);
        }
        let cost = data.len() + EVENT_COST;
        if state.stdin_bytes + cost > self.stdin_limit {
            return Err(StdinError::Full(state.stdin_bytes));
        }
        state.stdin_bytes += cost;
        state.stdin.push_back(data);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(crate) fn close_stdin(&self) {
        self.lock().stdin_open = false;
        self.changed.notify_one();
    }

    // The actor.

    /// Resolves after anything changed: room was made, an interrupt, input.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn interrupted(&self) -> bool {
        self.lock().interrupted
    }

    /// How many bytes wait for the consumer.
    pub(crate) fn backlog(&self) -> usize {
        self.lock().bytes
    }

    /// Hands over an event, joined with the last one where both are output of one stream.
    pub(crate) fn push(&self, event: CellEvent) {
        let mut state = self.lock();
        if state.abandoned || state.ended {
            return;
        }
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

    pub(crate) fn end(&self, end: CellEnd) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.ended = true;
        let event = CellEvent::End(end);
        if !state.abandoned {
            state.bytes += memory_size(&event);
            state.events.push_back(event);
        }
        drop(state);
        self.readable.notify_one();
    }

    /// Takes one piece of input, as it was written.
    pub(crate) fn take_stdin(&self) -> Input {
        let mut state = self.lock();
        match state.stdin.pop_front() {
            Some(data) => {
                state.stdin_bytes -= data.len() + EVENT_COST;
                Input::Data(data)
            }
            None if state.stdin_open => Input::Nothing,
            None => Input::Eof,
        }
    }
}

/// What an event takes while it is queued.
fn memory_size(event: &CellEvent) -> usize {
    EVENT_COST
        + match event {
            CellEvent::Stdout(text) | CellEvent::Stderr(text) | CellEvent::Background { text, .. } => text.len(),
            CellEvent::Result(result) => result.data.memory_size(),
            CellEvent::Error(error) => error.name.len() + error.value.len() + error.traceback.len(),
            CellEvent::InputRequest { prompt } => prompt.len(),
            CellEvent::Started | CellEvent::End(_) => 0,
        }
}
