//! The caller's end of a running cell.

use std::sync::Arc;

use crate::channel::CellChannel;
use crate::event_queue::EventQueue;
use crate::{CellEvent, StdinError};

/// A cell that is queued or runs: a stream of its events.
///
/// Not calling [`next`](Self::next) is back-pressure: when
/// [`output_buffer`](crate::KernelLimits::output_buffer) bytes wait, the pipes are not read any more and the program
/// blocks on its own write. While the consumer is behind, adjacent chunks of one stream are joined up to 64 KiB.
///
/// Dropping it before its [`CellEvent::End`] interrupts the cell.
#[derive(Debug)]
pub struct Execution {
    events: Arc<EventQueue>,
    control: ExecutionControl,
}

impl Execution {
    pub(crate) fn new(events: Arc<EventQueue>, control: ExecutionControl) -> Self {
        Self { events, control }
    }

    /// The next event; `None` after [`CellEvent::End`].
    ///
    /// Cancel-safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<CellEvent> {
        let event = self.events.next().await;
        self.control.resume();
        event
    }

    /// A handle that steers the cell while somebody else reads its events.
    #[must_use]
    pub fn control(&self) -> ExecutionControl {
        self.control.clone()
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.events.abandon();
        self.control.interrupt();
    }
}

/// Steers a cell. Every method is without effect once the cell has ended.
#[derive(Debug, Clone)]
pub struct ExecutionControl {
    channel: Arc<CellChannel>,
}

impl ExecutionControl {
    pub(crate) fn new(channel: Arc<CellChannel>) -> Self {
        Self { channel }
    }

    /// Stops the cell: a queued one is removed; a running one gets what Ctrl-C sends, and is killed with everything
    /// it started if it has not stopped within [`interrupt_grace`](crate::KernelLimits::interrupt_grace).
    ///
    /// The end says [`Outcome::Cancelled`](crate::Outcome::Cancelled). A queued cell's end is pushed before this returns.
    pub fn interrupt(&self) {
        self.channel.interrupt();
    }

    /// Gives the program input, now or for its next request.
    ///
    /// It is a stream as a pipe is, but a program that reads a line gets what one call gave as a line, also without
    /// a newline at its end.
    ///
    /// # Errors
    /// [`StdinError::Full`] if the program has not read
    /// [`stdin_buffer`](crate::KernelLimits::stdin_buffer) bytes; nothing of `data` is taken then.
    /// [`StdinError::Closed`] if the cell takes no input, has ended, or [`close_stdin`](Self::close_stdin) was called.
    pub fn write_stdin(&self, data: String) -> Result<(), StdinError> {
        self.write_stdin_holding(data, ())
    }

    /// The same, with something that is held until the interpreter gets this piece, or the cell has ended.
    ///
    /// # Errors
    /// As [`write_stdin`](Self::write_stdin).
    pub fn write_stdin_holding(&self, data: String, held: impl Send + 'static) -> Result<(), StdinError> {
        self.channel.write_stdin(data, Box::new(held))
    }

    /// Ends the program's input: what was written is read first.
    pub fn close_stdin(&self) {
        self.channel.close_stdin();
    }

    /// Has the kernel ask the cell's [`CellSink`](crate::CellSink) for its [`excess`](crate::CellSink::excess) again: it
    /// takes more than it did.
    pub fn resume(&self) {
        self.channel.resume();
    }
}
