//! Where a command's output goes.

use agb_protocol::Stream;

/// Takes what a command writes, while it runs.
pub(super) trait CommandSink: Send {
    /// The command runs.
    fn started(&mut self);

    /// It wrote this, which may be empty.
    fn output(&mut self, stream: Stream, text: String);

    /// Whether more output is taken; while it is not, the command waits in its own `write`.
    fn has_room(&self) -> bool;
}
