//! Where a cell's events go.

use crate::CellEvent;

/// Takes a cell's events: the kernel hands them over as it reads them, and keeps none itself.
///
/// Its methods are called on the kernel's own task, one at a time, and must not block. It is dropped with the cell's end.
pub trait CellSink: Send {
    /// Takes the next event. It takes every one; [`CellEvent::End`] comes once and last.
    fn push(&mut self, event: CellEvent);

    /// By how many bytes what waits in here is at or above the sink's limit; `None`: it takes more.
    ///
    /// A sink with an excess is back-pressure: the program's output is not read any more, and it waits in its own
    /// `write`. What is bounded otherwise is still handed over: 64 KiB of messages, or one of
    /// [`max_control_frame`](crate::KernelLimits::max_control_frame), what a pipe holds before a message or the end, and a
    /// mebibyte of a program whose time is over and one when it is stopped. Who takes more again says so by [`resume`](crate::ExecutionControl::resume).
    fn excess(&self) -> Option<usize>;

    /// The kernel holds so many bytes of the program's next message, for whose rest it waits. False: it is to hold no more of
    /// one that is larger than a read, and asks again a little later; of a program that is being stopped it leaves out one that
    /// is larger than a mebibyte, and says so on standard error. It says zero when the message has been pushed, and
    /// nothing more when the cell has ended.
    fn hold(&mut self, bytes: usize) -> bool {
        let _ = bytes;
        true
    }
}
