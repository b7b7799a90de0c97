//! Who gets in how often: the calls and connections of a session, apart for those that may do different things in it.
//!
//! A page that was let in to watch cannot keep out those that were let in to run programs, nor any page whoever has the
//! session's own token.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::access::AccessGrant;
use crate::auth::rate::{Bucket, Rate};
use crate::settings::Limits;

/// The calls and connections of a session.
#[derive(Debug)]
pub(crate) struct Admission {
    /// With the session's own token.
    owner: Class,
    /// With accesses that may run programs.
    runners: Class,
    /// With accesses that may only watch.
    observers: Class,
}

/// What those have together that may do the same.
#[derive(Debug)]
struct Class {
    calls: Bucket,
    connections: Arc<Semaphore>,
}

/// All connections that a token may have are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AllTaken;

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let class = || Class {
            calls: Bucket::new(Rate::of(limits)),
            connections: Arc::new(Semaphore::new(limits.max_connections_per_session.min(Semaphore::MAX_PERMITS))),
        };
        Self { owner: class(), runners: class(), observers: class() }
    }

    /// Takes a call, or says how long to wait.
    pub(crate) fn call(&self, grant: &AccessGrant) -> Result<(), Duration> {
        self.class(grant).calls.take()
    }

    /// Takes a call that is made already, and says how long to wait before the next one.
    pub(crate) fn call_anyway(&self, grant: &AccessGrant) -> Duration {
        self.class(grant).calls.take_anyway()
    }

    /// Takes a connection's place, for as long as what this gives is held.
    pub(crate) fn connect(&self, grant: &AccessGrant) -> Result<OwnedSemaphorePermit, AllTaken> {
        Arc::clone(&self.class(grant).connections).try_acquire_owned().map_err(|_| AllTaken)
    }

    fn class(&self, grant: &AccessGrant) -> &Class {
        match (grant.is_owner(), grant.may_run()) {
            (true, _) => &self.owner,
            (false, Ok(())) => &self.runners,
            (false, Err(_)) => &self.observers,
        }
    }
}

#[cfg(test)]
mod tests {
    use agb_protocol::AccessScope;

    use super::*;
    use crate::auth::access::Accesses;

    /// The session's own token, an access to run programs, and two to watch.
    fn grants() -> [AccessGrant; 4] {
        let all = Accesses::default();
        let grant = |scope| {
            let token = all.give("s", scope, Duration::from_secs(60), 9).expect("there is room");
            all.check("s", token.expose()).expect("it is good")
        };
        [AccessGrant::of_owner(), grant(AccessScope::Run), grant(AccessScope::Read), grant(AccessScope::Read)]
    }

    #[tokio::test(start_paused = true)]
    async fn who_watches_keeps_nobody_out_who_may_do_more() {
        let limits =
            Limits { max_connections_per_session: 3, calls_per_second: 1, calls_burst: 5, ..Limits::default() };
        let (admission, [owner, runner, observer, other]) = (Admission::new(&limits), grants());
        let mut held = Vec::new();
        let mut connections = |grant: &AccessGrant| {
            let before = held.len();
            held.extend(std::iter::from_fn(|| admission.connect(grant).ok()));
            held.len() - before
        };
        assert_eq!([&observer, &other, &runner, &owner].map(&mut connections), [3, 0, 3, 3]);
        held.truncate(1);
        assert!(admission.connect(&observer).is_ok() && admission.connect(&owner).is_ok());
        let calls = |grant: &AccessGrant| (0..100).take_while(|_| admission.call(grant).is_ok()).count();
        assert_eq!([&observer, &other, &runner, &owner].map(calls), [5, 0, 5, 5]);
    }
}
