//! A session's own tokens: each opens the session for a while.
//!
//! The session is described with the newest. When half of its time is over, the next description has a new one, and the
//! old one stays good to its end: a client that looks in now and then is never without.

use std::time::Duration;

use agb_protocol::Secret;
use tokio::time::Instant;

use crate::random;

/// A session's own tokens, of 256 random bits each.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    lasts: Duration,
    newest: Token,
    former: Option<Token>,
}

#[derive(Clone, Debug)]
struct Token {
    secret: Secret,
    ends: Instant,
}

/// What a session says to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the session's own, and good.
    Good,
    /// It was the session's own.
    Expired,
    /// It is not, or has long been forgotten.
    Unknown,
}

impl Tokens {
    pub(crate) fn new(lasts: Duration) -> Self {
        Self { lasts, newest: Token::new(lasts), former: None }
    }

    /// The one to give to whoever has the API key.
    pub(crate) fn hand_out(&mut self) -> Secret {
        if Instant::now() + self.lasts / 2 >= self.newest.ends {
            self.former = Some(std::mem::replace(&mut self.newest, Token::new(self.lasts)));
        }
        self.newest.secret.clone()
    }

    pub(crate) fn check(&self, candidate: &str) -> Verdict {
        let now = Instant::now();
        let mut verdict = Verdict::Unknown;
        // All are compared, so that the time says nothing.
        for token in [Some(&self.newest), self.former.as_ref()].into_iter().flatten() {
            if token.secret.matches(candidate) {
                verdict = if now < token.ends { Verdict::Good } else { Verdict::Expired };
            }
        }
        verdict
    }
}

impl Token {
    fn new(lasts: Duration) -> Self {
        Self { secret: random::token(), ends: Instant::now() + lasts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn are_replaced_in_time_and_end() {
        let mut tokens = Tokens::new(2 * HOUR);
        let first = tokens.hand_out();
        assert_eq!(tokens.hand_out(), first);
        assert_eq!(tokens.check(first.expose()), Verdict::Good);
        assert_eq!(tokens.check("guess"), Verdict::Unknown);
        tokio::time::advance(HOUR).await;
        let second = tokens.hand_out();
        assert_ne!(second, first);
        assert_eq!((tokens.check(first.expose()), tokens.check(second.expose())), (Verdict::Good, Verdict::Good));
        tokio::time::advance(HOUR).await;
        assert_eq!(tokens.check(first.expose()), Verdict::Expired);
        assert_eq!(tokens.check(second.expose()), Verdict::Good);
        tokio::time::advance(HOUR).await;
        assert_eq!(tokens.check(second.expose()), Verdict::Expired);
        let third = tokens.hand_out();
        assert_eq!(tokens.check(third.expose()), Verdict::Good);
        assert_eq!(tokens.check(first.expose()), Verdict::Unknown);
    }
}
