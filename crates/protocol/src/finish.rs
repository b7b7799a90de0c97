//! How a run ended, in the service's words.

use crate::{KilledBy, RunStatus};

/// The service's own word on the end of a run (wire part 1, phase `end`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finish {
    /// `status` was `failed`.
    pub failed: bool,
    /// How many runs the kernel has had, this one included.
    pub execution_count: Option<u64>,
    /// Seconds, measured around the program.
    pub execution_time: Option<f64>,
    /// What went wrong, in the service's words.
    pub execution_error: Option<String>,
    /// Why it ended, where the service says it (ours).
    pub reason: Option<RunStatus>,
    /// Of a command, as a shell tells it: the exit code, or 128 and the number of the signal that ended it; 124 at its time
    /// limit (ours).
    pub exit_code: Option<i32>,
    /// With [`RunStatus::Killed`]: what ended the interpreter; with [`RunStatus::Signalled`]: the signal that ended the
    /// command (ours).
    pub killed_by: Option<KilledBy>,
    /// The interpreter had to be restarted: variables are gone (ours).
    pub state_lost: bool,
    /// With [`RunStatus::Cancelled`]: nobody has confirmed that the program has stopped, so it may still run (ours).
    pub unconfirmed: bool,
}

impl Finish {
    /// About how much memory its texts hold, for the limit on unread data.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        let signal = self.killed_by.as_ref().and_then(|killed_by| killed_by.signal.as_ref());
        [self.execution_error.as_ref(), signal].into_iter().flatten().map(String::len).sum()
    }
}
