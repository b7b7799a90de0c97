//! What a kernel says about the end of a cell, in the words of the wire.

use agb_kernel::{CellEnd, CellError, Death, Outcome};
use agb_protocol::{KilledBy, RunStatus};
use agb_sandbox::Exceeded;

use crate::run::Stop;
use crate::run::event::{Finish, RunFailure, failure, one_line};

/// The end of a run, and the failure to tell before it if the kernel told none.
#[derive(Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) failure: Option<RunFailure>,
    pub(crate) finish: Finish,
}

/// Puts the end of a cell into the words of the wire: what happened, and what became of the program's variables. `stop`
/// tells why it was told to stop, if it was.
pub(crate) fn ended(end: CellEnd, stop: Option<Stop>) -> Ended {
    let fate = match (end.execution_count, end.state_lost) {
        (0, _) => "it had not begun",
        (_, false) => "the interpreter's state is kept",
        (_, true) => "the interpreter was restarted, its state is lost",
    };
    let killed_by = if let Outcome::Killed(death) = &end.outcome { killed_by(death) } else { None };
    let (reason, failure) = match end.outcome {
        Outcome::Finished => (RunStatus::Finished, None),
        Outcome::Failed(error) => (RunStatus::Failed, Some(failure_of(error))),
        Outcome::TimedOut(limit) => {
            let message = format!("timed out after {} s; {fate}", limit.as_secs_f64());
            (RunStatus::Timeout, Some(failure("Timeout", message)))
        }
        Outcome::Cancelled => match stop {
            None | Some(Stop::Client) => {
                (RunStatus::Cancelled, Some(failure("Cancelled", format!("the run was cancelled; {fate}"))))
            }
            Some(Stop::Unwatched(time)) => {
                let message =
                    format!("nobody came back for the run within {} s, so it was stopped; {fate}", time.as_secs_f64());
                (RunStatus::Interrupted, Some(failure("Interrupted", message)))
            }
            Some(Stop::Service(why)) => {
                (RunStatus::Interrupted, Some(failure("Interrupted", format!("{why}; {fate}"))))
            }
        },
        Outcome::Killed(death) => (RunStatus::Killed, Some(failure("Killed", death.to_string()))),
        Outcome::NotStarted(error) => (RunStatus::Failed, Some(failure("NotStarted", error.to_string()))),
    };
    let execution_error = failure.as_ref().map(|failure| match reason {
        RunStatus::Timeout => failure.value.clone(),
        _ => one_line(failure),
    });
    let finish = Finish {
        failed: failure.is_some(),
        execution_count: (end.execution_count > 0).then_some(u64::from(end.execution_count)),
        execution_time: Some(end.execution_time.as_secs_f64()),
        execution_error,
        reason: Some(reason),
        exit_code: None,
        killed_by,
        state_lost: end.state_lost,
        unconfirmed: false,
    };
    Ended { failure, finish }
}

/// What ended an interpreter, in the fields of the wire.
fn killed_by(death: &Death) -> Option<KilledBy> {
    match death {
        Death::Exited(code) => Some(KilledBy { exit_code: Some(*code), ..KilledBy::default() }),
        Death::Signalled(_) => Some(KilledBy { signal: death.signal(), ..KilledBy::default() }),
        Death::OutOfMemory | Death::Limit(Exceeded::Memory(_)) => {
            Some(KilledBy { out_of_memory: true, ..KilledBy::default() })
        }
        Death::Limit(_) | Death::Protocol(_) => None,
    }
}

/// What the program raised.
pub(crate) fn failure_of(error: CellError) -> RunFailure {
    RunFailure { name: error.name, value: error.value, traceback: error.traceback }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(outcome: Outcome, execution_count: u32, state_lost: bool) -> Ended {
        let end = CellEnd { outcome, execution_count, execution_time: Duration::from_millis(1500), state_lost };
        ended(end, None)
    }

    #[test]
    fn says_what_happened_and_what_became_of_the_state() {
        let finished = of(Outcome::Finished, 3, false);
        assert_eq!(finished.failure, None);
        assert_eq!(finished.finish.execution_count, Some(3));
        assert_eq!(finished.finish.execution_time, Some(1.5));
        assert!(!finished.finish.failed);

        let limit = Duration::from_millis(2500);
        for (outcome, count, lost, error) in [
            (Outcome::TimedOut(limit), 1, false, "timed out after 2.5 s; the interpreter's state is kept"),
            (
                Outcome::TimedOut(limit),
                1,
                true,
                "timed out after 2.5 s; the interpreter was restarted, its state is lost",
            ),
            (Outcome::Cancelled, 0, false, "Cancelled: the run was cancelled; it had not begun"),
        ] {
            let ended = of(outcome, count, lost);
            assert!(ended.finish.failed && ended.failure.is_some());
            assert_eq!(ended.finish.execution_error.as_deref(), Some(error));
            assert_eq!(ended.finish.state_lost, lost);
        }
    }
}
