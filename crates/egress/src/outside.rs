//! From a name to a connection, by way of an address that was looked at.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
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
}

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
        Self { resolve: Arc::new(|name| Box::pin(look_up(name))), permits: is_public, never_self: true }
    }

    /// Another world: for tests, whose servers are on loopback.
    #[must_use]
    pub fn simulated(
        resolve: impl Fn(Name) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
        permits: fn(IpAddr) -> bool,
    ) -> Self {
        let resolve = move |name| -> BoxFuture<'static, _> { Box::pin(std::future::ready(resolve(name))) };
        Self { resolve: Arc::new(resolve), permits, never_self: false }
    }

    /// Connects to the first address of the name that may be connected to and answers. `patience` is for the resolver,
    /// and for each address.
    pub(crate) async fn connect(&self, name: &Name, port: u16, patience: Duration) -> Result<TcpStream, DialError> {
        let unresolved = |problem: String| DialError::Unresolved { name: name.clone(), problem };
        let addresses = timeout(patience, (self.resolve)(name.clone()))
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
