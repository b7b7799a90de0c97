//! The result of a run that streamed: put together from its events and its end.

use super::{Execution, RichResult, RunFailure};
use crate::run::{RemoteError, RunEnd, RunError};

impl Execution {
    /// What a streamed run came to (wire protocol, "The result a caller gets"): it failed when an `error` event came,
    /// when the end says so or names an error, and when there was no end. The logs are the caller's to add.
    #[must_use]
    pub fn from_stream(
        request_id: String,
        results: Vec<RichResult>,
        error: Option<&RemoteError>,
        end: &RunEnd,
    ) -> Self {
        let mut execution = Self { request_id, results, error: error.map(RemoteError::to_failure), ..Self::default() };
        let (failed, words) = match end {
            Ok(finish) => {
                execution.execution_count = finish.execution_count;
                execution.execution_time = finish.execution_time.unwrap_or_default();
                let words = finish.execution_error.clone();
                if execution.error.is_none() {
                    execution.error = words.as_deref().map(RunFailure::from_text);
                }
                (finish.failed, words)
            }
            Err(end) => {
                let failure =
                    RunFailure { name: end.name().to_owned(), value: end.to_string(), traceback: String::new() };
                // What a cancelled program raises is the interrupt itself.
                if execution.error.is_none() || matches!(end, RunError::Cancelled { .. }) {
                    execution.error = Some(failure);
                }
                (true, Some(end.to_string()))
            }
        };
        execution.conclude(failed, words);
        execution
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
