//! From a name to a connection, by way of an address that was looked at.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::address::is_public;
use crate::name::Name;

/// What lies outside of the sandboxes: how names are resolved, and which addresses may be connected to.
#[derive(Clone)]
pub struct Outside {
    resolve: Arc<dyn Fn(Name) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>,
    permits: fn(IpAddr) -> bool,
    /// Connections to this machine are found out and dropped, by whatever address it was reached.
    never_self: bool,
    /// Names that are resolved at the same time, for all sandboxes. Each takes a thread of those that files need, too, until
    /// the system's resolver gives up, which may be long after nobody waits for it any more.
    lookups: Arc<Semaphore>,
    /// Connections at the same time, for all sandboxes.
    connections: Arc<Semaphore>,
}

/// Connections of all sandboxes at once; more wait. Each takes two descriptors of the server's.
///
/// 1024: the package managers of twenty sessions with all that they open.
pub const MOST_CONNECTIONS: usize = 1024;

/// 64: an eighth of the runtime's 512 threads.
const MOST_LOOKUPS: usize = 64;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("{name} cannot be resolved: {problem}")]
    Unresolved {
        /// The name.
        name: Name,
        /// The system's word for it.
        problem: String,
    },
    /// All its addresses are of a kind that is never connected to.
    #[error("{0} is at no public address, and sandboxes reach no other")]
    NotPublic(Name),
    /// Nobody answers.
    #[error("{name} cannot be reached: {problem}")]
    Unreachable {
        /// The name.
        name: Name,
        /// The system's word for it.
        problem: String,
    },
}

/// More addresses of one name are not tried: each may take its time.
const MOST_ADDRESSES: usize = 4;

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.never_self { "Outside(internet)" } else { "Outside(simulated)" })
    }
}

impl Outside {
    /// The internet, as this machine resolves names, and nothing but the internet ([`is_public`]).
    #[must_use]
    pub fn internet() -> Self {
        Self::new(|name| Box::pin(look_up(name)), is_public, true)
    }

    /// Another world: for tests, whose servers are on loopback.
    #[must_use]
    pub fn simulated(
        resolve: impl Fn(Name) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
        permits: fn(IpAddr) -> bool,
    ) -> Self {
        Self::new(move |name| Box::pin(std::future::ready(resolve(name))), permits, false)
    }

    fn new(
        resolve: impl Fn(Name) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync + 'static,
        permits: fn(IpAddr) -> bool,
        never_self: bool,
    ) -> Self {
        Self {
            resolve: Arc::new(resolve),
            permits,
            never_self,
            lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)),
            connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        }
    }

    /// The same for so many connections at once.
    #[must_use]
    pub fn with_connections(self, most: usize) -> Self {
        Self { connections: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))), ..self }
    }

    /// A place among the connections of all sandboxes, as soon as there is one.
    pub(crate) async fn place(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.connections).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Connects to the first address of the name that may be connected to and answers. `patience` is for the resolver,
    /// and for each address. `share`: how many names of one sandbox are resolved at the same time.
    pub(crate) async fn connect(
        &self,
        name: &Name,
        port: u16,
        patience: Duration,
        share: &Arc<Semaphore>,
    ) -> Result<TcpStream, DialError> {
        let unresolved = |problem: String| DialError::Unresolved { name: name.clone(), problem };
        let addresses = timeout(patience, self.look_up(name, share))
            .await
            .map_err(|_| unresolved(format!("no answer within {} s", patience.as_secs_f64())))?
            .map_err(|error| unresolved(error.to_string()))?;
        if addresses.is_empty() {
            return Err(unresolved("it has no address".to_owned()));
        }
        let mut failure = DialError::NotPublic(name.clone());
        for address in addresses.into_iter().filter(|address| (self.permits)(*address)).take(MOST_ADDRESSES) {
            // This very address: the name is not resolved again.
            let problem = match timeout(patience, TcpStream::connect(SocketAddr::new(address, port))).await {
                Ok(Ok(socket)) if self.never_self && is_self(&socket) => continue,
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", patience.as_secs_f64()),
            };
            failure = DialError::Unreachable { name: name.clone(), problem };
        }
        Err(failure)
    }

    /// Resolves a name. Who gives up waiting leaves the resolver to its work, and what it takes is taken until that is done.
    async fn look_up(&self, name: &Name, share: &Arc<Semaphore>) -> io::Result<Vec<IpAddr>> {
        let mut permits = Vec::new();
        for semaphore in [share, &self.lookups] {
            permits.push(Arc::clone(semaphore).acquire_owned().await.expect("the semaphore is never closed"));
        }
        let resolving = (self.resolve)(name.clone());
        let done = tokio::spawn(async move {
            let addresses = resolving.await;
            drop(permits);
            addresses
        });
        done.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// A connection whose ends have one address does not leave this machine.
fn is_self(socket: &TcpStream) -> bool {
    match (socket.local_addr(), socket.peer_addr()) {
        (Ok(local), Ok(peer)) => local.ip() == peer.ip(),
        _ => true,
    }
}

async fn look_up(name: Name) -> io::Result<Vec<IpAddr>> {
    // With the dot the name is a whole one: neither the search list nor this machine's own names are asked.
    let found = tokio::net::lookup_host((format!("{name}."), 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A resolver that never answers, which is asked no more often than there are places.
    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_hangs_takes_a_few_places_and_no_more() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let resolve = move |_| -> BoxFuture<'static, _> {
            count.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        };
        let outside = Outside::new(resolve, is_public, false);
        let name = Name::parse("example.org").expect("a name");
        for sandbox in 1..=10 {
            let share = Arc::new(Semaphore::new(8));
            for _ in 0..20 {
                let begin = tokio::time::Instant::now();
                let failed = outside.connect(&name, 80, Duration::from_secs(10), &share).await;
                assert!(matches!(failed, Err(DialError::Unresolved { .. })), "{failed:?}");
                assert_eq!(begin.elapsed(), Duration::from_secs(10), "it is said in time all the same");
            }
            assert_eq!(asked.load(Ordering::Relaxed), MOST_LOOKUPS.min(sandbox * 8));
        }
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_the_resolver_has_answered() {
        let outside = Outside::simulated(|_| Ok(Vec::new()), is_public);
        let (name, share) = (Name::parse("example.org").expect("a name"), Arc::new(Semaphore::new(1)));
        for _ in 0..2 * MOST_LOOKUPS {
            let failed = outside.connect(&name, 80, Duration::from_secs(10), &share).await;
            assert!(matches!(failed, Err(DialError::Unresolved { problem, .. }) if problem.contains("no address")));
        }
    }
}
