//! Whether to send a call again.

use std::time::Duration;

use crate::error::{ApiError, TransportError};

/// Whether a call may be executed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// It only reads, or says what is to be the case: a second time changes nothing.
    Safe,
    /// It does something each time: a second session would be paid for, a second run would run twice.
    Unsafe,
}

/// What a server says that has done nothing: it ends, or the one of its cluster that has the session cannot be reached, or
/// nobody can be asked which one that is.
const NOT_TAKEN: [&str; 3] = ["ServiceUnavailable.Ending", "ServiceUnavailable.Owner", "ServiceUnavailable.Registry"];

/// How long to wait before the call is sent again, or `None`: the error is the outcome. `tries` counts how often it was
/// sent so far, `asked` how long the service asked to wait with its answer (`Retry-After` of a 429 or 503).
///
/// | failure | sent again | because |
/// | --- | --- | --- |
/// | unreachable | always | the service has not seen it |
/// | HTTP 429 | always | the service says that it did not take it |
/// | HTTP 503 with one of the codes `ServiceUnavailable.Ending`, `.Owner` and `.Registry` | always | likewise |
/// | interrupted, HTTP 502, 503, 504 | when [`Repeat::Safe`] | it may have been executed behind the proxy that lost it |
/// | timed out | never | the caller's time is used up |
/// | everything else | never | the answer would be the same |
///
/// Three tries in all, with 0.1 s and 0.4 s between: enough for a service that is being replaced by its next version,
/// and a wrong endpoint is still reported within a second. Where the service asks for a longer wait, that is waited; a
/// driver has a limit for it, and gives the error where the service asks for more.
#[must_use]
pub fn retry_after(repeat: Repeat, error: &ApiError, tries: u32, asked: Option<Duration>) -> Option<Duration> {
    let delay = match tries {
        0 | 1 => Duration::from_millis(100),
        2 => Duration::from_millis(400),
        _ => return None,
    };
    let may_have_run = match (error, error.status()) {
        (ApiError::Transport(TransportError::Unreachable { .. }), _) | (_, Some(429)) => false,
        (ApiError::Refused(refusal), Some(503)) if NOT_TAKEN.contains(&&*refusal.code) => false,
        (ApiError::Transport(TransportError::Interrupted { .. }), _) | (_, Some(502..=504)) => true,
        _ => return None,
    };
    let asked = asked.filter(|_| matches!(error.status(), Some(429 | 503)));
    (!may_have_run || repeat == Repeat::Safe).then(|| delay.max(asked.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Malformed, Refusal};

    #[test]
    fn repeats_what_cannot_do_harm() {
        let refused = |status| ApiError::Refused(Refusal { status, ..Refusal::default() });
        let of_server =
            |code: &str, status| ApiError::Refused(Refusal { code: code.into(), status, ..Refusal::default() });
        let reason = String::from("x");
        for (error, safe, unsafe_) in [
            (TransportError::Unreachable { reason: reason.clone() }.into(), true, true),
            (TransportError::Interrupted { reason }.into(), true, false),
            (TransportError::TimedOut { after: Duration::ZERO }.into(), false, false),
            (refused(429), true, true),
            (refused(503), true, false),
            (of_server("ServiceUnavailable.Owner", 503), true, true),
            (of_server("ServiceUnavailable.Registry", 503), true, true),
            (of_server("ServiceUnavailable.Ending", 503), true, true),
            (of_server("ServiceUnavailable.List", 503), true, false),
            (of_server("ServiceUnavailable.Interrupted", 502), true, false),
            (ApiError::Malformed(Malformed { status: 502, ..Malformed::default() }), true, false),
            (ApiError::Malformed(Malformed { status: 200, ..Malformed::default() }), false, false),
            (refused(400), false, false),
            (refused(500), false, false),
            (ApiError::Unauthorized(Refusal { status: 401, ..Refusal::default() }), false, false),
            (ApiError::NotFound(Refusal { status: 404, ..Refusal::default() }), false, false),
        ] {
            assert_eq!(retry_after(Repeat::Safe, &error, 1, None).is_some(), safe, "{error:?}");
            assert_eq!(retry_after(Repeat::Unsafe, &error, 1, None).is_some(), unsafe_, "{error:?}");
            assert_eq!(retry_after(Repeat::Safe, &error, 3, None), None);
        }
    }

    #[test]
    fn waits_longer_the_second_time() {
        let error = TransportError::Unreachable { reason: String::new() }.into();
        let refused = |status| ApiError::Refused(Refusal { status, ..Refusal::default() });
        let asked = Some(Duration::from_secs(3));
        assert_eq!(retry_after(Repeat::Unsafe, &refused(429), 1, asked), asked);
        assert_eq!(retry_after(Repeat::Safe, &refused(503), 2, asked), asked);
        assert_eq!(retry_after(Repeat::Unsafe, &refused(503), 1, asked), None, "it may have been done");
        assert_eq!(retry_after(Repeat::Safe, &refused(502), 1, asked), Some(Duration::from_millis(100)));
        let delays =
            (0..5).map(|tries| retry_after(Repeat::Unsafe, &error, tries, None).map(|delay| delay.as_millis()));
        assert_eq!(delays.collect::<Vec<_>>(), [Some(100), Some(100), Some(400), None, None]);
    }
}
