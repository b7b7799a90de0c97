//! The stable code of what went wrong in a run without the program's doing.
//!
//! It follows from the rest of the result, so that nobody carries it: what a program raised has a traceback, and what a
//! client says itself is the whole of `error_message`.

use super::{Execution, RunFailure, RunStatus};
use crate::codes;

impl Execution {
    /// A stable code of `error`, one of [`codes`]. `None` for what the program raised, whatever its name, and for what a
    /// service says in words of its own.
    #[must_use]
    pub fn error_code(&self) -> Option<&'static str> {
        let error = self.error.as_ref().filter(|error| error.traceback.is_empty())?;
        let by_client = if error.value == self.error_message { client_code(error) } else { None };
        by_client.filter(|_| self.status != RunStatus::Finished).or(match self.status {
            RunStatus::Finished | RunStatus::Exited => None,
            RunStatus::Failed => error.service_code(),
            RunStatus::Timeout => Some(codes::TIMED_OUT),
            RunStatus::Cancelled => Some(codes::CANCELLED),
            RunStatus::Killed | RunStatus::Signalled => Some(codes::KILLED),
            RunStatus::Interrupted => Some(codes::INTERRUPTED),
        })
    }
}

/// By the names of [`RunError`](crate::RunError).
fn client_code(error: &RunFailure) -> Option<&'static str> {
    Some(match error.name.as_str() {
        "RemoteError" => codes::REMOTE,
        "ConnectionError" => codes::UNREACHABLE,
        "NotFoundError" => codes::NOT_FOUND,
        "ServiceError" => codes::REFUSED,
        "AuthenticationError" => codes::UNAUTHORIZED,
        "Interrupted" => codes::INTERRUPTED,
        "Cancelled" => codes::CANCELLED,
        "TimeoutError" => codes::TIMED_OUT,
        "Overflow" => codes::OVERFLOW,
        "ProtocolError" => codes::PROTOCOL,
        "SessionClosed" => codes::CLOSED,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::disconnect_reason::DisconnectReason;
    use crate::run::{Finish, RemoteError, RunEnd, RunError, Violation};

    fn code(error: Option<&RemoteError>, end: &RunEnd) -> Option<&'static str> {
        Execution::from_stream("i".into(), Vec::new(), error, end).error_code()
    }

    fn said(name: &str, traceback: &str) -> RemoteError {
        let failure = RunFailure { name: name.into(), value: "words".into(), traceback: traceback.into() };
        RemoteError { code: name.into(), message: "words".into(), failure: Some(failure), ..RemoteError::default() }
    }

    fn reported(reason: RunStatus, words: &str) -> RunEnd {
        Ok(Finish { failed: true, reason: Some(reason), execution_error: Some(words.into()), ..Finish::default() })
    }

    #[test]
    fn each_end_that_a_client_makes_has_its_own() {
        let loss = || DisconnectReason::Broken("x".into());
        for end in [
            RunError::Remote { message: "no".into() },
            RunError::Unreachable(loss()),
            RunError::Interrupted(loss()),
            RunError::Cancelled { state_lost: true },
            RunError::CancelUnconfirmed,
            RunError::TimedOut(Duration::from_secs(1)),
            RunError::Overflow { limit: 1 },
            RunError::Protocol(Violation::NoPhase),
            RunError::Closed,
        ] {
            let expected = end.code();
            assert_eq!(code(None, &Err(end)), Some(expected));
        }
    }

    #[test]
    fn what_the_service_says_has_the_same() {
        for (name, reason, expected) in [
            ("Timeout", RunStatus::Timeout, codes::TIMED_OUT),
            ("Cancelled", RunStatus::Cancelled, codes::CANCELLED),
            ("Killed", RunStatus::Killed, codes::KILLED),
            ("Interrupted", RunStatus::Interrupted, codes::INTERRUPTED),
            ("UnknownLanguage", RunStatus::Failed, codes::UNKNOWN_LANGUAGE),
        ] {
            let event = said(name, "");
            assert_eq!(
                (event.service_code(), code(Some(&event), &reported(reason, "words"))),
                (Some(expected), Some(expected))
            );
        }
        assert_eq!(code(None, &reported(RunStatus::Killed, "the kernel vanished")), Some(codes::KILLED));
    }

    #[test]
    fn what_the_program_raised_has_none_whatever_its_name() {
        for name in ["Cancelled", "Timeout", "Interrupted", "ConnectionError", "TimeoutError", "ValueError"] {
            let event = said(name, "Traceback (most recent call last):\n");
            assert_eq!(event.service_code(), None);
            assert_eq!(code(Some(&event), &reported(RunStatus::Failed, &format!("{name}: words"))), None);
            assert_eq!(code(Some(&event), &Err(RunError::Closed)), None, "it is the program's, whatever came then");
        }
        // Services without tracebacks.
        for name in ["ConnectionError", "TimeoutError", "ValueError"] {
            let end = Finish { execution_error: Some(format!("{name}: words")), ..Finish::default() };
            assert_eq!(code(None, &Ok(end.clone())), None);
            let event = RemoteError { code: name.into(), message: "words".into(), ..RemoteError::default() };
            assert_eq!((event.service_code(), code(Some(&event), &Ok(end))), (None, None));
        }
        assert_eq!(code(None, &Ok(Finish::default())), None);
    }
}
