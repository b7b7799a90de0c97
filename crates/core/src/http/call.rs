//! One HTTP call with all its tries, without a clock.

use std::time::Duration;

use super::{Answered, HttpRequest, Repeat, retry_after};
use crate::error::{ApiError, TransportError};
use crate::time::Instant;

/// A call and whether it is sent again. A driver carries out its [steps](Self::next):
///
/// ```no_run
/// # use agb_core::http::{Answered, CallStep, HttpCall};
/// # use agb_core::{Instant, error::ApiError};
/// # fn now() -> Instant { Instant::ORIGIN }
/// # fn sleep_until(_: Instant) {}
/// # fn send(_: Instant) -> Option<(Result<Answered<()>, ApiError>, Option<std::time::Duration>)> { None }
/// # fn drive(mut call: HttpCall<()>) -> Result<Answered<()>, ApiError> {
/// loop {
///     match call.next(now()) {
///         CallStep::Send { until } => {
///             let came = send(until); // `None`: the time was up
///             call.handle(now(), came);
///         }
///         CallStep::WaitUntil(at) => sleep_until(at),
///         CallStep::Done(outcome) => break outcome,
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct HttpCall<T> {
    repeat: Repeat,
    limit: Duration,
    until: Instant,
    /// How long all tries together may wait.
    retry_wait: Duration,
    waited: Duration,
    tries: u32,
    sent_at: Instant,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    /// To be sent.
    Due,
    /// To be sent then, or not at all if that is too late for this outcome to wait.
    Later(Instant, ApiError),
    Over(Result<Answered<T>, ApiError>),
}

/// What a try came to, and how long the service asks to wait.
pub type Came<T> = (Result<Answered<T>, ApiError>, Option<Duration>);

/// What a driver does for a call.
#[derive(Debug)]
pub enum CallStep<T> {
    /// Send the request, and come back with what came, or with nothing at this moment.
    Send {
        /// When the caller's time is up.
        until: Instant,
    },
    /// Come back at this moment.
    WaitUntil(Instant),
    /// The call is over.
    Done(Result<Answered<T>, ApiError>),
}

impl<T> HttpCall<T> {
    /// How long the tries of one call may wait for one another unless the caller says otherwise. Default 10 s: a busy
    /// service has room again by then, or needs more than the patience of whoever waits for the call.
    pub const RETRY_WAIT: Duration = Duration::from_secs(10);

    /// A try that took longer is the last one if it reached nobody: three that hang would be half a minute in which the
    /// caller hears nothing.
    const SLOW: Duration = Duration::from_secs(4);

    /// `timeout` is the caller's limit for all tries together, `retry_wait` how long they may wait for one another.
    #[must_use]
    pub fn new(request: &HttpRequest, timeout: Duration, retry_wait: Duration, now: Instant) -> Self {
        let limit = request.time_limit(timeout);
        Self {
            repeat: request.repeat,
            limit,
            until: now + limit,
            retry_wait,
            waited: Duration::ZERO,
            tries: 0,
            sent_at: now,
            state: State::Due,
        }
    }

    /// What to do next. After [`CallStep::Done`] it is not called again.
    ///
    /// # Panics
    /// When it is.
    pub fn next(&mut self, now: Instant) -> CallStep<T> {
        match std::mem::replace(&mut self.state, State::Due) {
            State::Later(at, error) if at > now => {
                self.state = State::Later(at, error);
                CallStep::WaitUntil(at)
            }
            State::Due | State::Later(..) => {
                self.tries += 1;
                self.sent_at = now;
                CallStep::Send { until: self.until }
            }
            State::Over(outcome) => CallStep::Done(outcome),
        }
    }

    /// What a try came to: its answer as the operation read it, and the answer's `Retry-After`. `None`: the time was up.
    pub fn handle(&mut self, now: Instant, came: Option<Came<T>>) {
        let (outcome, asked) = came.unwrap_or((Err(TransportError::TimedOut { after: self.limit }.into()), None));
        self.state = match outcome {
            Err(error) => match self.again(now, &error, asked) {
                Some(at) => State::Later(at, error),
                None => State::Over(Err(error)),
            },
            answered => State::Over(answered),
        };
    }

    /// When the call is sent again.
    fn again(&mut self, now: Instant, error: &ApiError, asked: Option<Duration>) -> Option<Instant> {
        let delay = retry_after(self.repeat, error, self.tries, asked)?;
        let is_unreachable = matches!(error, ApiError::Transport(TransportError::Unreachable { .. }));
        self.waited = delay.saturating_add(self.waited);
        let is_late = self.waited > self.retry_wait || now + delay >= self.until;
        let is_slow = is_unreachable && now - self.sent_at > Self::SLOW;
        (!is_late && !is_slow).then(|| now + delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;
    use crate::http::Method;

    fn at(milliseconds: u64) -> Instant {
        Instant::since_origin(Duration::from_millis(milliseconds))
    }

    fn refused(status: u16) -> ApiError {
        ApiError::Refused(Refusal { status, ..Refusal::default() })
    }

    fn unreachable() -> ApiError {
        TransportError::Unreachable { reason: "x".into() }.into()
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    /// Plays a script of outcomes, each try of which takes so many milliseconds. Gives when each was sent, the end and
    /// when it came.
    fn play(
        repeat: Repeat,
        took: u64,
        script: Vec<Option<Came<u8>>>,
    ) -> (Vec<Instant>, Result<Answered<u8>, ApiError>, Instant) {
        let request = HttpRequest::new(Method::Get, "/x", repeat);
        let mut now = at(0);
        let mut call = HttpCall::new(&request, Duration::from_secs(60), HttpCall::<u8>::RETRY_WAIT, now);
        let (mut script, mut sent) = (script.into_iter(), vec![]);
        loop {
            match call.next(now) {
                CallStep::Send { until } => {
                    assert_eq!(until, at(60_000));
                    sent.push(now);
                    let came = script.next().expect("it is not sent more often");
                    now = if came.is_some() { now + Duration::from_millis(took) } else { until };
                    call.handle(now, came);
                }
                CallStep::WaitUntil(at) => now = at,
                CallStep::Done(outcome) => return (sent, outcome, now),
            }
        }
    }

    #[test]
    fn what_did_not_arrive_is_sent_three_times() {
        let answer = Answered { value: 7, request_id: "r".into() };
        let script = vec![Some((Err(unreachable()), None)), Some((Err(refused(429)), None)), Some((Ok(answer), None))];
        let (sent, outcome, _) = play(Repeat::Unsafe, 0, script);
        assert_eq!((sent, outcome.expect("the third").value), (vec![at(0), at(100), at(500)], 7));
        let script = vec![Some((Err(unreachable()), None)); 3];
        assert_eq!(play(Repeat::Safe, 0, script).1, Err(unreachable()));
    }

    #[test]
    fn a_service_that_asks_to_wait_is_waited_for_within_limits() {
        let answer = || Some((Ok(Answered { value: 7, request_id: String::new() }), None));
        let (sent, ..) = play(Repeat::Unsafe, 0, vec![Some((Err(refused(429)), seconds(3))), answer()]);
        assert_eq!(sent, [at(0), at(3_000)]);
        let (_, outcome, now) = play(Repeat::Safe, 0, vec![Some((Err(refused(503)), seconds(11)))]);
        assert_eq!((outcome, now), (Err(refused(503)), at(0)), "too long");
        let twice = vec![Some((Err(refused(429)), seconds(6))), Some((Err(refused(429)), seconds(6)))];
        assert_eq!(play(Repeat::Safe, 0, twice).2, at(6_000), "in all");
    }

    #[test]
    fn what_may_have_run_is_not_sent_again() {
        for error in [refused(503), TransportError::Interrupted { reason: "x".into() }.into()] {
            let script = vec![Some((Err(error.clone()), None))];
            assert_eq!(play(Repeat::Unsafe, 0, script).1, Err(error));
        }
        let (sent, outcome, now) = play(Repeat::Safe, 0, vec![None]);
        let late = TransportError::TimedOut { after: Duration::from_secs(60) };
        assert_eq!((sent.len(), outcome, now), (1, Err(late.into()), at(60_000)));
    }

    #[test]
    fn a_certificate_a_proxy_and_a_silent_network_are_told_of_at_once() {
        let reason = || String::from("x");
        for error in [TransportError::Untrusted { reason: reason() }, TransportError::ProxyRefused { reason: reason() }]
        {
            let (sent, outcome, _) = play(Repeat::Safe, 0, vec![Some((Err(error.clone().into()), None))]);
            assert_eq!((sent.len(), outcome), (1, Err(error.into())));
        }
        let (sent, _, now) = play(Repeat::Safe, 5_000, vec![Some((Err(unreachable()), None))]);
        assert_eq!((sent.len(), now), (1, at(5_000)));
    }
}
