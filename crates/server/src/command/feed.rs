//! What a command says, on its way into its run's log, in the words of the wire.

use std::time::Duration;

use agb_protocol::{Finish, KilledBy, RunStatus, Stream};
use agb_sandbox::Exceeded;

use super::outcome::{Outcome, signal_name};
use super::sink::CommandSink;
use crate::observe::RunMeter;
use crate::run::event::{Event, RunFailure, failure, one_line};
use crate::run::{Feed, Stop};

/// What a command says, on its way into its run's log.
pub(super) struct CommandFeed {
    pub(super) feed: Feed,
    pub(super) meter: RunMeter,
}

impl CommandSink for CommandFeed {
    fn started(&mut self) {
        self.meter.started();
        self.feed.push(Event::Started);
    }

    fn output(&mut self, stream: Stream, text: String) {
        if !text.is_empty() {
            self.feed.push(Event::Chunk(stream.into(), text));
        }
    }

    fn has_room(&self) -> bool {
        self.feed.excess().is_none()
    }
}

impl CommandFeed {
    /// It is over, after so long.
    pub(super) fn end(mut self, outcome: &Outcome, time: Duration) {
        self.meter.ended(outcome.word(), time);
        let (failure, finish) = ended(outcome, time, self.feed.stop());
        if let Some(failure) = failure {
            self.feed.push(Event::Error(failure));
        }
        self.feed.push(Event::End(finish));
    }
}

/// The end of a command in the words of the wire, and the failure to tell before it. `stop` tells why it was told to stop,
/// if it was.
fn ended(outcome: &Outcome, time: Duration, stop: Option<Stop>) -> (Option<RunFailure>, Finish) {
    let exit_code = outcome.exit_code();
    let mut killed_by = None;
    let (reason, failure) = match outcome {
        Outcome::Exited(_) => (RunStatus::Exited, None),
        Outcome::Signalled(signal) => {
            killed_by = Some(KilledBy { signal: Some(signal_name(*signal)), ..KilledBy::default() });
            (RunStatus::Signalled, None)
        }
        Outcome::TimedOut(limit) => {
            let message = format!("the command ran longer than {} ms and was killed", limit.as_millis());
            (RunStatus::Timeout, Some(failure("Timeout", message)))
        }
        Outcome::Cancelled => match stop {
            None | Some(Stop::Client) => {
                (RunStatus::Cancelled, Some(failure("Cancelled", "the command was cancelled")))
            }
            Some(Stop::Unwatched(time)) => {
                let message =
                    format!("nobody came back for the command within {} s, so it was stopped", time.as_secs_f64());
                (RunStatus::Interrupted, Some(failure("Interrupted", message)))
            }
            Some(Stop::Service(why)) => (RunStatus::Interrupted, Some(failure("Interrupted", why))),
        },
        Outcome::Exceeded(limit) => {
            let out_of_memory = matches!(limit, Exceeded::Memory(_));
            killed_by = out_of_memory.then(|| KilledBy { out_of_memory, ..KilledBy::default() });
            let message = format!("the command was killed: its session exceeded its {limit}");
            (RunStatus::Killed, Some(failure("Killed", message)))
        }
        Outcome::NotStarted(reason) => (RunStatus::Failed, Some(failure("NotStarted", reason.as_str()))),
    };
    let execution_error = match (&failure, outcome) {
        (Some(failure), _) => Some(one_line(failure)),
        (None, Outcome::Signalled(signal)) => Some(format!("the command was ended by {}", signal_name(*signal))),
        (None, Outcome::Exited(code @ 1..)) => Some(format!("the command ended with the exit code {code}")),
        _ => None,
    };
    let finish = Finish {
        failed: execution_error.is_some(),
        execution_time: Some(time.as_secs_f64()),
        execution_error,
        reason: Some(reason),
        exit_code,
        killed_by,
        ..Finish::default()
    };
    (failure, finish)
}
