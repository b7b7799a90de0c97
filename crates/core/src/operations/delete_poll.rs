//! When to look whether a session that is being released is gone.

use std::time::Duration;

use super::SessionStatus;
use crate::error::{ApiError, TransportError};
use crate::http::Answered;

/// The waiting after [`ReleaseSession`](super::ReleaseSession) in the background: a small machine without a clock.
///
/// It looks at once, since a session on the same machine is gone by then, and after that ever more rarely: a delete
/// must not cost a second, and a slow one must not cost hundreds of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletePoll {
    delay: Duration,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteStep {
    /// Send [`GetSessionInfo`](super::GetSessionInfo) after this time, and come back with its answer.
    Poll {
        /// How long to wait first.
        after: Duration,
    },
    /// The session is no more.
    Gone,
    /// It is not known to be gone, and this is why.
    GaveUp(ApiError),
}

/// About the way to a service and back: looking more often would only queue.
const FIRST_DELAY: Duration = Duration::from_millis(20);
/// What the published clients wait each time.
const LONGEST_DELAY: Duration = Duration::from_secs(1);
/// The document's limit.
const GIVE_UP: Duration = Duration::from_secs(300);

impl DeletePoll {
    /// Begins, once the service has said that it releases the session.
    #[must_use]
    pub fn start() -> (Self, DeleteStep) {
        (Self { delay: FIRST_DELAY }, DeleteStep::Poll { after: Duration::ZERO })
    }

    /// Goes on with what [`GetSessionInfo`](super::GetSessionInfo) came to, `elapsed` after the start.
    ///
    /// Not found is what is hoped for. A key that is no longer accepted, or a refusal that is not the service's own
    /// trouble (5xx, 429), would only be repeated; what the network and gateways do on the way is waited out.
    pub fn next(&mut self, elapsed: Duration, outcome: &Result<Answered<SessionStatus>, ApiError>) -> DeleteStep {
        match outcome {
            Ok(answered) if answered.value.is_gone() => return DeleteStep::Gone,
            Err(ApiError::NotFound(_)) => return DeleteStep::Gone,
            Err(error) if is_final(error) => return DeleteStep::GaveUp(error.clone()),
            _ => {}
        }
        let left = GIVE_UP.saturating_sub(elapsed);
        if left.is_zero() {
            return DeleteStep::GaveUp(match outcome {
                Err(error) => error.clone(),
                Ok(_) => TransportError::TimedOut { after: GIVE_UP }.into(),
            });
        }
        // The last look is at the limit, not before it.
        let after = self.delay.min(left);
        self.delay = (self.delay * 3 / 2).min(LONGEST_DELAY);
        DeleteStep::Poll { after }
    }
}

fn is_final(error: &ApiError) -> bool {
    match error {
        ApiError::Unauthorized(_) => true,
        ApiError::Refused(refusal) => refusal.status < 500 && refusal.status != 429,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Malformed, Refusal};

    type Outcome = Result<Answered<SessionStatus>, ApiError>;

    fn said(word: &str) -> Outcome {
        Ok(Answered { value: SessionStatus::from(word), request_id: String::new() })
    }

    fn refused(status: u16) -> ApiError {
        ApiError::Refused(Refusal { status, ..Refusal::default() })
    }

    /// Polls until something else comes; the delays, how it ended and when.
    fn play(outcome: &Outcome) -> (Vec<Duration>, DeleteStep, Duration) {
        let (mut poll, mut step) = DeletePoll::start();
        let (mut delays, mut elapsed) = (Vec::new(), Duration::ZERO);
        while let DeleteStep::Poll { after } = step {
            delays.push(after);
            elapsed += after;
            step = poll.next(elapsed, outcome);
        }
        (delays, step, elapsed)
    }

    #[test]
    fn looks_at_once_then_ever_more_rarely_and_gives_up_at_the_limit() {
        let (delays, step, elapsed) = play(&said("DELETING"));
        let milliseconds: Vec<_> = delays[..5].iter().map(Duration::as_micros).collect();
        assert_eq!(milliseconds, [0, 20_000, 30_000, 45_000, 67_500]);
        assert!(delays.iter().all(|delay| *delay <= LONGEST_DELAY));
        assert!(delays.windows(2).rev().skip(1).all(|pair| pair[0] <= pair[1]));
        assert_eq!(elapsed, GIVE_UP);
        assert_eq!(step, DeleteStep::GaveUp(TransportError::TimedOut { after: GIVE_UP }.into()));
        assert!(delays.len() < 320);
    }

    #[test]
    fn gone_is_gone_in_every_way_of_saying_it() {
        for outcome in [said("FINISH"), said("DELETED"), Err(ApiError::NotFound(Refusal::default()))] {
            let (delays, step, elapsed) = play(&outcome);
            assert_eq!((delays.len(), step, elapsed), (1, DeleteStep::Gone, Duration::ZERO));
        }
    }

    #[test]
    fn a_final_error_is_not_waited_out() {
        for error in [refused(400), ApiError::Unauthorized(Refusal::default())] {
            let (delays, step, _) = play(&Err(error.clone()));
            assert_eq!((delays.len(), step), (1, DeleteStep::GaveUp(error)));
        }
    }

    #[test]
    fn trouble_on_the_way_is_waited_out() {
        for error in [
            refused(503),
            refused(429),
            ApiError::Malformed(Malformed::default()),
            TransportError::Unreachable { reason: String::new() }.into(),
        ] {
            let (mut poll, _) = DeletePoll::start();
            assert!(matches!(poll.next(Duration::ZERO, &Err(error.clone())), DeleteStep::Poll { .. }));
            assert_eq!(poll.next(Duration::from_secs(1), &said("FINISH")), DeleteStep::Gone);
            assert_eq!(poll.next(GIVE_UP, &Err(error.clone())), DeleteStep::GaveUp(error));
        }
    }

    #[test]
    fn a_late_answer_still_counts() {
        let (mut poll, _) = DeletePoll::start();
        assert_eq!(poll.next(Duration::MAX, &said("FINISH")), DeleteStep::Gone);
        assert!(matches!(poll.next(Duration::MAX, &said("RUNNING")), DeleteStep::GaveUp(_)));
    }
}
