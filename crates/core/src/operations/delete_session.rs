//! Deleting a session: the release (`POST /mcp/releaseSession`, `…Async`), and looking whether it is gone.

use std::time::Duration;

use super::{GetSessionInfo, SessionStatus, post_session};
use crate::error::{ApiError, TransportError};
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Operation, Repeat};
use crate::time::Instant;

/// Releases a session in the background and waits until it is gone. One that is gone already is as good. A driver carries
/// out its [steps](Self::next), each call with its own [`HttpCall`](crate::http::HttpCall).
#[derive(Debug)]
pub struct DeleteSession {
    session_id: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun,
    Looking { poll: DeletePoll, since: Instant, at: Instant, released: Answered<()> },
    Over(Result<Answered<()>, ApiError>),
}

/// What a driver does to delete a session.
#[derive(Debug)]
pub enum DeleteStep {
    /// Send this, and come back with [`DeleteSession::released`].
    Release(ReleaseSession),
    /// Send this, and come back with [`DeleteSession::looked`].
    Look(GetSessionInfo),
    /// Come back at this moment.
    WaitUntil(Instant),
    /// It is over. The id is that of the release.
    Done(Result<Answered<()>, ApiError>),
}

impl DeleteSession {
    /// Begins.
    #[must_use]
    pub fn new(session_id: impl Into<String>) -> Self {
        Self { session_id: session_id.into(), state: State::Begun }
    }

    /// What to do next. After [`DeleteStep::Done`] it says the same again.
    pub fn next(&mut self, now: Instant) -> DeleteStep {
        let session_id = self.session_id.clone();
        match &self.state {
            State::Begun => DeleteStep::Release(ReleaseSession { session_id, in_background: true }),
            State::Looking { at, .. } if *at > now => DeleteStep::WaitUntil(*at),
            State::Looking { .. } => DeleteStep::Look(GetSessionInfo { session_id }),
            State::Over(outcome) => DeleteStep::Done(outcome.clone()),
        }
    }

    /// What the release came to.
    pub fn released(&mut self, now: Instant, outcome: Result<Answered<()>, ApiError>) {
        self.state = match outcome {
            Ok(released) => State::Looking { poll: DeletePoll::new(), since: now, at: now, released },
            Err(ApiError::NotFound(refusal)) => State::Over(Ok(Answered { value: (), request_id: refusal.request_id })),
            Err(error) => State::Over(Err(error)),
        };
    }

    /// What looking came to.
    pub fn looked(&mut self, now: Instant, outcome: &Result<Answered<SessionStatus>, ApiError>) {
        let State::Looking { poll, since, at, released } = &mut self.state else { return };
        match poll.next(now - *since, outcome) {
            Poll::After(delay) => *at = now + delay,
            Poll::Gone => self.state = State::Over(Ok(released.clone())),
            Poll::GaveUp(error) => self.state = State::Over(Err(error)),
        }
    }
}

/// When to look.
///
/// It looks at once, since a session on the same machine is gone by then, and after that ever more rarely: a delete
/// must not cost a second, and a slow one must not cost hundreds of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DeletePoll {
    delay: Duration,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Poll {
    /// Look again after this time.
    After(Duration),
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
    const fn new() -> Self {
        Self { delay: FIRST_DELAY }
    }

    /// Goes on with what [`GetSessionInfo`](super::GetSessionInfo) came to, `elapsed` after the start.
    ///
    /// Not found is what is hoped for. A key that is no longer accepted, or a refusal that is not the service's own
    /// trouble (5xx, 429), would only be repeated; what the network and gateways do on the way is waited out.
    fn next(&mut self, elapsed: Duration, outcome: &Result<Answered<SessionStatus>, ApiError>) -> Poll {
        match outcome {
            Ok(answered) if answered.value.is_gone() => return Poll::Gone,
            Err(ApiError::NotFound(_)) => return Poll::Gone,
            Err(error) if is_final(error) => return Poll::GaveUp(error.clone()),
            _ => {}
        }
        let left = GIVE_UP.saturating_sub(elapsed);
        if left.is_zero() {
            return Poll::GaveUp(match outcome {
                Err(error) => error.clone(),
                Ok(_) => TransportError::TimedOut { after: GIVE_UP }.into(),
            });
        }
        // The last look is at the limit, not before it.
        let after = self.delay.min(left);
        self.delay = (self.delay * 3 / 2).min(LONGEST_DELAY);
        Poll::After(after)
    }
}

fn is_final(error: &ApiError) -> bool {
    match error {
        ApiError::Unauthorized(_) => true,
        ApiError::Refused(refusal) => refusal.status < 500 && refusal.status != 429,
        _ => false,
    }
}

/// Ends a session. A session that is gone already is [`ApiError::NotFound`]; whoever deletes is content with that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseSession {
    /// Which.
    pub session_id: String,
    /// The service only begins; [`DeleteSession`] looks whether it is done. Otherwise
    /// the answer comes when the session is gone.
    pub in_background: bool,
}

impl Operation for ReleaseSession {
    type Output = ();

    fn request(&self) -> HttpRequest {
        let path = if self.in_background { "/mcp/releaseSessionAsync" } else { "/mcp/releaseSession" };
        // Releasing twice releases once.
        post_session(path, &self.session_id, Repeat::Safe)
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        Ok(Envelope::open(response)?.answer(()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::{Malformed, Refusal};
    use crate::operations::fixtures::{body, endure, line, read};

    type Outcome = Result<Answered<SessionStatus>, ApiError>;

    fn said(word: &str) -> Outcome {
        Ok(Answered { value: SessionStatus::from(word), request_id: String::new() })
    }

    fn refused(status: u16) -> ApiError {
        ApiError::Refused(Refusal { status, ..Refusal::default() })
    }

    /// Polls until something else comes; the delays, how it ended and when.
    fn play(outcome: &Outcome) -> (Vec<Duration>, Poll, Duration) {
        let (mut poll, mut step) = (DeletePoll::new(), Poll::After(Duration::ZERO));
        let (mut delays, mut elapsed) = (Vec::new(), Duration::ZERO);
        while let Poll::After(after) = step {
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
        assert_eq!(step, Poll::GaveUp(TransportError::TimedOut { after: GIVE_UP }.into()));
        assert!(delays.len() < 320);
    }

    #[test]
    fn gone_is_gone_in_every_way_of_saying_it() {
        for outcome in [said("FINISH"), said("DELETED"), Err(ApiError::NotFound(Refusal::default()))] {
            let (delays, step, elapsed) = play(&outcome);
            assert_eq!((delays.len(), step, elapsed), (1, Poll::Gone, Duration::ZERO));
        }
    }

    #[test]
    fn a_final_error_is_not_waited_out() {
        for error in [refused(400), ApiError::Unauthorized(Refusal::default())] {
            let (delays, step, _) = play(&Err(error.clone()));
            assert_eq!((delays.len(), step), (1, Poll::GaveUp(error)));
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
            let mut poll = DeletePoll::new();
            assert!(matches!(poll.next(Duration::ZERO, &Err(error.clone())), Poll::After(_)));
            assert_eq!(poll.next(Duration::from_secs(1), &said("FINISH")), Poll::Gone);
            assert_eq!(poll.next(GIVE_UP, &Err(error.clone())), Poll::GaveUp(error));
        }
    }

    #[test]
    fn a_late_answer_still_counts() {
        let mut poll = DeletePoll::new();
        assert_eq!(poll.next(Duration::MAX, &said("FINISH")), Poll::Gone);
        assert!(matches!(poll.next(Duration::MAX, &said("RUNNING")), Poll::GaveUp(_)));
    }

    #[test]
    fn releases_then_looks_and_keeps_the_id_of_the_release() {
        let at = |milliseconds| Instant::since_origin(Duration::from_millis(milliseconds));
        let released = || Ok(Answered { value: (), request_id: "r".into() });
        let mut delete = DeleteSession::new("s");
        assert!(matches!(delete.next(at(0)), DeleteStep::Release(release) if release.session_id == "s"));
        delete.released(at(5), released());
        assert!(matches!(delete.next(at(5)), DeleteStep::Look(_)));
        delete.looked(at(9), &said("DELETING"));
        assert!(matches!(delete.next(at(9)), DeleteStep::WaitUntil(until) if until == at(29)));
        assert!(matches!(delete.next(at(29)), DeleteStep::Look(_)));
        delete.looked(at(30), &Err(ApiError::NotFound(Refusal::default())));
        assert!(matches!(delete.next(at(30)), DeleteStep::Done(Ok(answered)) if answered.request_id == "r"));

        let mut gone = DeleteSession::new("s");
        gone.released(at(0), Err(ApiError::NotFound(Refusal { request_id: "q".into(), ..Refusal::default() })));
        assert!(matches!(gone.next(at(0)), DeleteStep::Done(Ok(answered)) if answered.request_id == "q"));
        let mut refusing = DeleteSession::new("s");
        refusing.released(at(0), Err(refused(400)));
        assert!(matches!(refusing.next(at(0)), DeleteStep::Done(Err(error)) if error == refused(400)));
    }

    #[test]
    fn both_ways_name_the_session() {
        for (in_background, path) in [(true, "releaseSessionAsync"), (false, "releaseSession")] {
            let operation = ReleaseSession { session_id: String::from("s-1"), in_background };
            let request = operation.request();
            assert_eq!(line(&request), format!("POST https://h/mcp/{path}"));
            assert_eq!(body(&request), json!({"sessionId": "s-1"}));
            read(&operation, json!(null));
            endure(&operation);
        }
    }
}
