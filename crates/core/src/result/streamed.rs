//! The result of a run that streamed: put together from its events and its end.

use super::{Execution, RichResult, RunFailure};
use crate::run::{RemoteError, RunEnd, RunError};

impl Execution {
    /// What a streamed run came to (wire protocol, "The result a caller gets"): it failed when an `error` event came,
    /// when the end says so or names an error, and when there was no end. The logs and the interruptions are the caller's
    /// to add.
    #[must_use]
    pub fn from_stream(
        request_id: String,
        results: Vec<RichResult>,
        error: Option<&RemoteError>,
        end: &RunEnd,
    ) -> Self {
        let mut execution = Self { request_id, results, error: error.map(RemoteError::to_failure), ..Self::default() };
        let (failed, reason, words) = match end {
            Ok(finish) => {
                execution.execution_count = finish.execution_count;
                execution.execution_time = finish.execution_time.unwrap_or_default();
                let words = finish.execution_error.clone();
                if execution.error.is_none() {
                    execution.error = words.as_deref().map(RunFailure::from_text);
                }
                execution.state_lost = finish.state_lost;
                execution.killed_by.clone_from(&finish.killed_by);
                (finish.failed, finish.reason, words)
            }
            Err(end) => {
                let failure =
                    RunFailure { name: end.name().to_owned(), value: end.to_string(), traceback: String::new() };
                // What a cancelled program raises is the interrupt itself.
                if execution.error.is_none() || matches!(end, RunError::Cancelled { .. }) {
                    execution.error = Some(failure);
                }
                execution.state_lost = matches!(end, RunError::Cancelled { state_lost: true });
                (true, Some(end.status()), Some(end.to_string()))
            }
        };
        execution.conclude(failed, reason, words);
        execution
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{KilledBy, RunStatus};
    use crate::run::Finish;

    fn of(error: Option<&RemoteError>, end: &RunEnd) -> Execution {
        Execution::from_stream("i".into(), Vec::new(), error, end)
    }

    fn raised() -> RemoteError {
        RemoteError { code: "ValueError".into(), message: "no".into(), ..RemoteError::default() }
    }

    #[test]
    fn a_clean_end_is_success() {
        let end = Finish { execution_count: Some(3), execution_time: Some(0.5), ..Finish::default() };
        let execution = of(None, &Ok(end));
        assert!(execution.success && execution.error_message.is_empty() && execution.error.is_none());
        assert_eq!((execution.execution_count, execution.execution_time), (Some(3), 0.5));
    }

    #[test]
    fn the_status_is_the_services_word_where_it_has_one() {
        let end = |reason, failed| Ok(Finish { reason, failed, ..Finish::default() });
        for (error, end, status) in [
            (None, end(None, false), RunStatus::Finished),
            (None, end(None, true), RunStatus::Failed),
            (Some(raised()), end(None, false), RunStatus::Failed),
            (Some(raised()), end(Some(RunStatus::Finished), false), RunStatus::Failed),
            (Some(raised()), end(Some(RunStatus::Timeout), true), RunStatus::Timeout),
            (None, end(Some(RunStatus::Killed), false), RunStatus::Killed),
            (None, end(Some(RunStatus::Interrupted), true), RunStatus::Interrupted),
            (None, Err(RunError::Cancelled { state_lost: true }), RunStatus::Cancelled),
            (None, Err(RunError::Interrupted(crate::io::Loss::Broken("x".into()))), RunStatus::Interrupted),
            (None, Err(RunError::Unreachable(crate::io::Loss::Broken("x".into()))), RunStatus::Failed),
        ] {
            let execution = of(error.as_ref(), &end);
            assert_eq!(execution.status, status, "{end:?}");
            assert_eq!(execution.success, status == RunStatus::Finished);
            assert_eq!(execution.success, execution.error_message.is_empty());
        }
    }

    #[test]
    fn what_became_of_the_interpreter_is_told() {
        let killed_by = KilledBy { signal: Some("SIGSEGV".into()), ..KilledBy::default() };
        let finish = Finish { failed: true, state_lost: true, killed_by: Some(killed_by.clone()), ..Finish::default() };
        let execution = of(None, &Ok(finish));
        assert_eq!((execution.state_lost, execution.killed_by), (true, Some(killed_by)));
        assert!(of(None, &Err(RunError::Cancelled { state_lost: true })).state_lost);
    }

    #[test]
    fn each_sign_of_failure_fails() {
        let failed = Finish { failed: true, ..Finish::default() };
        let named = Finish { execution_error: Some("NameError: x".into()), ..Finish::default() };
        for (error, end, name, message) in [
            (Some(raised()), Ok(Finish::default()), Some("ValueError"), "ValueError: no"),
            (Some(raised()), Ok(named.clone()), Some("ValueError"), "NameError: x"),
            (None, Ok(named), Some("NameError"), "NameError: x"),
            (None, Ok(failed), None, "the service reports that the run failed and does not say why"),
            (Some(raised()), Err(RunError::Cancelled { state_lost: false }), Some("Cancelled"), "cancelled"),
            (None, Err(RunError::Closed), Some("SessionClosed"), "the session was closed during the run"),
            (Some(raised()), Err(RunError::Closed), Some("ValueError"), "the session was closed during the run"),
        ] {
            let execution = of(error.as_ref(), &end);
            assert!(!execution.success);
            assert_eq!(execution.error.as_ref().map(|error| error.name.as_str()), name);
            assert_eq!(execution.error_message, message);
        }
    }
}
