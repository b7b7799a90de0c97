//! Ways into a session that are given out, to web pages above all: tokens that last a while and open less than the
//! session's own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use agb_protocol::AccessScope;
use agb_protocol::Secret;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::lock::lock;
use crate::random;

/// All accesses that were given out.
///
/// One that has ended is remembered for a while, so that its holder hears that it has ended and not that it never was.
#[derive(Debug, Default)]
pub(crate) struct Accesses {
    given: Mutex<HashMap<String, Grant>>,
}

#[derive(Debug)]
struct Grant {
    session: String,
    scope: AccessScope,
    /// Watched by the connections that were opened with it.
    ends: watch::Sender<Instant>,
}

/// What a token that was accepted opens.
#[derive(Clone, Debug)]
pub(crate) struct AccessGrant {
    scope: AccessScope,
    /// Absent for the session's own token.
    ends: Option<watch::Receiver<Instant>>,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Denied {
    /// Nobody was given it.
    #[error("the access token is not this session's: fetch it anew")]
    Unknown,
    #[error("the access has expired: have your server renew it or give a new one (session.browserAccess)")]
    Expired,
    #[error("the session's token has expired: fetch the session anew with the API key, which gives a new one")]
    OwnExpired,
    #[error("the access is for another session: attach with the access that belongs to this one")]
    OtherSession,
    #[error("the access is for watching only: ask for one with the scope \"run\"")]
    OnlyReads,
}

/// There are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{most} accesses are in use already: wait for some to expire, or let them last shorter (--max-accesses)")]
pub(crate) struct TooMany {
    most: usize,
}

impl Accesses {
    /// Far more than pages that a local server will ever have, and some MiB at most.
    pub(crate) const MOST: usize = 10_000;
    /// A page that slept over its access's end and wakes up is told so.
    const REMEMBERED: Duration = Duration::from_secs(3600);

    /// Gives one out.
    pub(crate) fn give(
        &self,
        session: &str,
        scope: AccessScope,
        lasts: Duration,
        most: usize,
    ) -> Result<Secret, TooMany> {
        let now = Instant::now();
        let mut given = self.given();
        let of_session = given.values().filter(|given| given.session == session && *given.ends.borrow() > now);
        if of_session.count() >= most {
            return Err(TooMany { most });
        }
        if given.len() >= Self::MOST {
            given.retain(|_, given| *given.ends.borrow() + Self::REMEMBERED > now);
        }
        if given.len() >= Self::MOST {
            given.retain(|_, given| *given.ends.borrow() > now);
        }
        if given.len() >= Self::MOST {
            return Err(TooMany { most: Self::MOST });
        }
        let token = random::token();
        let ends = watch::Sender::new(now + lasts);
        given.insert(token.expose().to_owned(), Grant { session: session.to_owned(), scope, ends });
        Ok(token)
    }

    /// Lets one last longer, or end sooner; gives its scope.
    pub(crate) fn renew(&self, session: &str, token: &str, lasts: Duration) -> Result<AccessScope, Denied> {
        let given = self.given();
        let access = given.get(token).ok_or(Denied::Unknown)?;
        if access.session != session {
            return Err(Denied::OtherSession);
        }
        access.ends.send_replace(Instant::now() + lasts);
        Ok(access.scope)
    }

    /// Looks a token up that is not the session's own.
    pub(crate) fn check(&self, session: &str, token: &str) -> Result<AccessGrant, Denied> {
        let given = self.given();
        // A token is 256 random bits and the map's hash is keyed: the time that a look takes says nothing of others.
        let access = given.get(token).ok_or(Denied::Unknown)?;
        if access.session != session {
            return Err(Denied::OtherSession);
        }
        if *access.ends.borrow() <= Instant::now() {
            return Err(Denied::Expired);
        }
        Ok(AccessGrant { scope: access.scope, ends: Some(access.ends.subscribe()) })
    }

    fn given(&self) -> MutexGuard<'_, HashMap<String, Grant>> {
        lock(&self.given)
    }
}

impl AccessGrant {
    /// Of the session's own token: everything. What was opened with it stays open for as long as the session lives.
    pub(crate) const fn of_owner() -> Self {
        Self { scope: AccessScope::Run, ends: None }
    }

    /// Whether its holder may give out accesses in turn.
    pub(crate) const fn is_owner(&self) -> bool {
        self.ends.is_none()
    }

    /// Whether its holder may change anything.
    pub(crate) fn may_run(&self) -> Result<(), Denied> {
        if self.scope == AccessScope::Run { Ok(()) } else { Err(Denied::OnlyReads) }
    }

    /// Whether it has ended. Never for the owner.
    pub(crate) fn is_expired(&self) -> bool {
        self.ends.as_ref().is_some_and(|ends| *ends.borrow() <= Instant::now())
    }

    /// Waits for its end, which may be put off meanwhile. Never for the owner.
    pub(crate) async fn expired(&mut self) {
        let Some(ends) = &mut self.ends else { return std::future::pending().await };
        loop {
            let at = *ends.borrow_and_update();
            tokio::select! {
                () = sleep_until(at) => return,
                // Renewed. Or the memory of it was given up, which is done with ended ones only.
                changed = ends.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl fmt::Display for AccessGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_owner() { "owner" } else { self.scope.as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn opens_one_session_for_a_while() {
        let accesses = Accesses::default();
        let token = accesses.give("s", AccessScope::Read, MINUTE, 9).expect("there is room");
        let grant = accesses.check("s", token.expose()).expect("it is good");
        assert_eq!((grant.may_run(), grant.is_owner()), (Err(Denied::OnlyReads), false));
        assert_eq!(accesses.check("t", token.expose()).err(), Some(Denied::OtherSession));
        assert_eq!(accesses.check("s", "guess").err(), Some(Denied::Unknown));
        tokio::time::advance(MINUTE).await;
        assert_eq!(accesses.check("s", token.expose()).err(), Some(Denied::Expired));
    }

    #[tokio::test(start_paused = true)]
    async fn is_renewed_under_those_who_use_it() {
        let accesses = Accesses::default();
        let token = accesses.give("s", AccessScope::Run, MINUTE, 9).expect("there is room");
        let mut grant = accesses.check("s", token.expose()).expect("it is good");
        let began = Instant::now();
        let waiting = tokio::spawn(async move {
            grant.expired().await;
            began.elapsed()
        });
        tokio::time::sleep(MINUTE / 2).await;
        assert_eq!(accesses.renew("s", token.expose(), MINUTE), Ok(AccessScope::Run));
        assert_eq!(accesses.renew("t", token.expose(), MINUTE), Err(Denied::OtherSession));
        assert_eq!(accesses.renew("s", "guess", MINUTE), Err(Denied::Unknown));
        let lasted = waiting.await.expect("no panic");
        assert!(lasted >= MINUTE * 3 / 2 && lasted < MINUTE * 2, "{lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_limit_and_time_makes_room() {
        let accesses = Accesses::default();
        let give = |session: &str| accesses.give(session, AccessScope::Run, MINUTE, 100);
        for n in 0..Accesses::MOST {
            give(&format!("session {}", n / 100)).expect("there is room");
        }
        assert_eq!(give("session 0"), Err(TooMany { most: 100 }), "a session has a share");
        assert_eq!(give("another"), Err(TooMany { most: Accesses::MOST }));
        tokio::time::advance(MINUTE).await;
        assert!(give("session 0").is_ok() && give("another").is_ok());
    }

    #[tokio::test]
    async fn the_owner_may_do_everything() {
        let grant = AccessGrant::of_owner();
        assert!(grant.is_owner() && grant.may_run().is_ok());
    }
}
