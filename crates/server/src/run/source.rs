//! What feeds a run: a kernel's cell, a command's process, an upstream service.
//!
//! ```text
//! Run::start ──► the source's own start, which gets a Feed and gives a Source
//! source ── push(event) ... push(End) ──► Feed ──► the run's log, the only queue on the way to the subscriber
//!        ◄── interrupt, write_input, end_input, resume ── Source ◄── the run
//! ```
//!
//! The run knows nothing else of what runs. Back-pressure is the feed's [`excess`](Feed::excess): while there is one, the
//! source reads no more of its program's output, and [`Source::resume`] tells it when to ask again.

use std::sync::Arc;
use std::time::Duration;

use agb_protocol::command::TerminalSize;
use agb_protocol::{Finish, RunStatus};
use thiserror::Error;

use super::Run;
use super::event::Event;
use crate::budget::{Charge, OverBudget};

/// What feeds a run, as the run steers it. Every method is without effect once the program has ended.
///
/// The run holds its source, so a source holds no [`Feed`]: that is with the task that runs the program.
pub(crate) trait Source: Send + Sync {
    /// Stops the program. Its end follows through the feed, maybe before this returns.
    fn interrupt(&self);

    /// Gives the program input: all of it or nothing. `held` is what it counts for until it is on its way to the program. It is
    /// called under the run's lock, as what follows is: it pushes nothing.
    fn write_input(&self, data: String, held: Option<Charge>) -> Result<(), InputError>;

    /// Ends the program's input: what was written is read first.
    fn end_input(&self);

    /// [`Feed::excess`] may be less than it was.
    fn resume(&self);

    /// Sends a signal, by its number, to the process group of what runs. The error is for the client.
    fn signal(&self, _signal: i32) -> Result<(), &'static str> {
        Err(NO_SIGNALS)
    }

    /// Changes the size of the terminal of what runs. The error is for the client.
    fn resize(&self, _size: TerminalSize) -> Result<(), &'static str> {
        Err(NO_TERMINAL)
    }
}

/// Code has no signals but its cancellation.
pub(crate) const NO_SIGNALS: &str = "only a command takes signals: cancel the run instead";

/// Code has no terminal.
pub(crate) const NO_TERMINAL: &str = "only a command has a terminal";

/// Why input was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum InputError {
    /// The program does not read what it was given.
    #[error("the program has not read {unread} bytes of input; wait until it asks for more, or use a file")]
    Full { unread: usize },
    /// The session or the server holds as much as it may.
    #[error("the input was not taken: {0}")]
    OverBudget(OverBudget),
    /// Nobody will read it.
    #[error("the run takes no input: it was started without, its input was closed, or it has ended")]
    Closed,
}

/// Why a program was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its client wanted it.
    Client,
    /// Nobody came back for it within this time.
    Unwatched(Duration),
    /// Something of ours ends, and takes it along.
    Service(&'static str),
}

/// The way into a run's log. A run whose feed is dropped without an end ends with [`vanished`].
pub(crate) struct Feed {
    run: Arc<Run>,
}

impl Feed {
    pub(super) fn new(run: Arc<Run>) -> Self {
        Self { run }
    }

    /// Takes the next event, whatever the [`excess`](Self::excess). [`Event::End`] is the last one.
    pub(crate) fn push(&mut self, event: Event) {
        self.run.push(event);
    }

    /// By how many bytes what waits is at or above what the run's subscriber and the run's file take; `None`: more is
    /// welcome. Somewhat more may be pushed all the same: what a program has in its pipe when it ends, say.
    pub(crate) fn excess(&self) -> Option<usize> {
        self.run.excess()
    }

    /// Why the program was told to stop, if it was.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.run.state().stop
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.run.push(Event::End(vanished()));
    }
}

/// The end of a run whose source went away without one: a mistake of ours, but still an end.
pub(crate) fn vanished() -> Finish {
    Finish {
        failed: true,
        execution_error: Some("what ran the program vanished; this is a defect of agb-server".to_owned()),
        reason: Some(RunStatus::Killed),
        state_lost: true,
        ..Finish::default()
    }
}
