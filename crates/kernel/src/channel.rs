//! What those who run a cell tell the kernel's task about it: interrupts, input, and that there is room again.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What a piece of input costs beyond its text, so that many small ones are bounded as well.
const INPUT_COST: usize = 64;

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

/// From any number of [`ExecutionControl`](crate::ExecutionControl)s to the kernel's task, which is the one waiter: so
/// [`Notify::notify_one`] loses no wake-up.
pub(crate) struct CellChannel {
    state: Mutex<State>,
    changed: Notify,
    /// Called once, by the first interrupt: a cell that still waits in the queue is removed from it.
    on_interrupt: Box<dyn Fn() + Send + Sync>,
    stdin_limit: usize,
}

#[derive(Debug)]
struct State {
    interrupted: bool,
    ended: bool,
    /// With what is held for each until it is taken.
    stdin: VecDeque<(String, Box<dyn Any + Send>)>,
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
        let state =
            State { interrupted: false, ended: false, stdin: VecDeque::new(), stdin_bytes: 0, stdin_open: stdin };
        Self { state: Mutex::new(state), changed: Notify::new(), on_interrupt, stdin_limit }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code between lock and unlock panics; a poisoned state is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Those who run the cell.

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

    pub(crate) fn write_stdin(&self, data: String, held: Box<dyn Any + Send>) -> Result<(), StdinError> {
        let mut state = self.lock();
        if !state.stdin_open || state.ended {
            return Err(StdinError::Closed);
        }
        let cost = data.len() + INPUT_COST;
        if state.stdin_bytes + cost > self.stdin_limit {
            return Err(StdinError::Full(state.stdin_bytes));
        }
        state.stdin_bytes += cost;
        state.stdin.push_back((data, held));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(crate) fn close_stdin(&self) {
        self.lock().stdin_open = false;
        self.changed.notify_one();
    }

    /// The cell's sink may take more than when it was last asked.
    pub(crate) fn resume(&self) {
        self.changed.notify_one();
    }

    // The kernel's task.

    /// Resolves after anything changed: an interrupt, input, room in the sink.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn interrupted(&self) -> bool {
        self.lock().interrupted
    }

    /// The cell is over: from now on nothing has any effect. Whether it was not before.
    pub(crate) fn end(&self) -> bool {
        let mut state = self.lock();
        let unread = std::mem::take(&mut state.stdin);
        state.stdin_bytes = 0;
        let has_ended = std::mem::replace(&mut state.ended, true);
        drop(state);
        drop(unread);
        !has_ended
    }

    /// Takes one piece of input, as it was written.
    pub(crate) fn take_stdin(&self) -> Input {
        let mut state = self.lock();
        match state.stdin.pop_front() {
            Some((data, _held)) => {
                state.stdin_bytes -= data.len() + INPUT_COST;
                Input::Data(data)
            }
            None if state.stdin_open => Input::Nothing,
            None => Input::Eof,
        }
    }
}
