//! What programs reach over the network: nothing, everything, or named domains by a proxy of the server's own.
//!
//! ```text
//! program ── http_proxy (environment) ──► 127.0.0.1:3128 in the sandbox ──► EgressProxy (crate agb-egress, a task a sandbox)
//! ```
//!
//! A session has one [`EgressProxy`], whichever sandboxes its programs run in, so that it knows what was refused to a run.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

use agb_egress::{EgressProxy, Limits, Outside};
use agb_protocol::RunFailure;
use tokio::runtime::Handle;

use crate::lock::lock;
use crate::settings::Network;

/// The proxies of all sessions, by their slots.
pub(crate) struct Proxies {
    network: Network,
    outside: Outside,
    runtime: Handle,
    by_slot: Mutex<HashMap<u32, Arc<EgressProxy>>>,
    /// The slots whose sessions have a network of their own.
    narrowed: Mutex<HashMap<u32, Network>>,
}

impl Proxies {
    /// Call it inside a tokio runtime: proxies are tasks of it.
    pub(crate) fn new(network: Network, outside: Outside) -> Arc<Self> {
        Arc::new(Self {
            network,
            outside,
            runtime: Handle::current(),
            by_slot: Mutex::default(),
            narrowed: Mutex::default(),
        })
    }

    /// Makes the proxy of a slot's next session, where programs have one.
    pub(crate) fn make(&self, slot: u32) {
        self.make_of(slot, &self.network);
    }

    /// Gives a slot's session a network of its own.
    pub(crate) fn narrow(&self, slot: u32, network: &Network) {
        self.by_slot().remove(&slot);
        self.narrowed().insert(slot, network.clone());
        self.make_of(slot, network);
    }

    pub(crate) fn remove(&self, slot: u32) {
        self.by_slot().remove(&slot);
        self.narrowed().remove(&slot);
    }

    fn make_of(&self, slot: u32, network: &Network) {
        if let Network::Allow(allow) = network {
            let proxy =
                EgressProxy::new(format!("slot {slot}"), allow.clone(), self.outside.clone(), Limits::default());
            self.by_slot().insert(slot, proxy);
        }
    }

    /// Serves a new sandbox; what it gives ends that when it is dropped.
    pub(crate) fn keep(&self, slot: u32, listener: TcpListener) -> Box<dyn Any + Send + Sync> {
        let proxy = self.by_slot().get(&slot).cloned();
        Box::new(proxy.map(|proxy| {
            AbortOnDrop(self.runtime.spawn(async move {
                let listener =
                    listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
                match listener {
                    Ok(listener) => proxy.serve(listener).await,
                    Err(error) => tracing::error!(%error, "a sandbox has no way out"),
                }
            }))
        }))
    }

    /// What would have let a program reach the network, where that may be the reason of its failure.
    fn hint(&self, slot: u32, failure: &RunFailure) -> Option<String> {
        if let Some(own) = self.narrowed().get(&slot) {
            let refused = self.by_slot().get(&slot).map(|proxy| proxy.refusals()).unwrap_or_default();
            let is_refused = !refused.is_empty() || *own == Network::None && looks_like_no_network(failure);
            return is_refused.then(|| {
                let refused = if refused.is_empty() { String::new() } else { format!(" to {}", refused.join(",")) };
                format!("this session was created with the network {own}, which allows no connection{refused}")
            });
        }
        match &self.network {
            Network::Host => None,
            Network::None => looks_like_no_network(failure).then(|| {
                "this server's programs have no network; to allow a domain, start it with --network allow=DOMAIN"
                    .to_owned()
            }),
            Network::Allow(allow) => {
                let refused = self.by_slot().get(&slot).map(|proxy| proxy.refusals()).unwrap_or_default();
                let refused = (!refused.is_empty()).then(|| refused.join(","))?;
                Some(format!(
                    "this server allows no connection to {refused}; to allow it, start it with --network allow={allow},{refused}"
                ))
            }
        }
    }

    fn narrowed(&self) -> MutexGuard<'_, HashMap<u32, Network>> {
        // As below.
        lock(&self.narrowed)
    }

    fn by_slot(&self) -> MutexGuard<'_, HashMap<u32, Arc<EgressProxy>>> {
        // Each change under the lock is a single step.
        lock(&self.by_slot)
    }
}

/// What would have let the programs of one slot reach the network.
#[derive(Clone, Debug)]
pub(crate) struct NetworkHints {
    proxies: Arc<Proxies>,
    slot: u32,
}

impl NetworkHints {
    pub(crate) fn new(proxies: Arc<Proxies>, slot: u32) -> Self {
        Self { proxies, slot }
    }

    /// Where the network may be the reason of this failure.
    pub(crate) fn hint(&self, failure: &RunFailure) -> Option<String> {
        self.proxies.hint(self.slot, failure)
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").field("network", &self.network).finish_non_exhaustive()
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether a program's error is one that it gets where there is no network, in the words of its language.
fn looks_like_no_network(failure: &RunFailure) -> bool {
    const SIGNS: [&str; 12] = [
        "name resolution",
        "Name or service not known",
        "nodename nor servname",
        "Network is unreachable",
        "ENETUNREACH",
        "EAI_AGAIN",
        "ENOTFOUND",
        "Could not resolve host",
        "cannot open URL",
        "UnknownHostException",
        "UnresolvedAddressException",
        "NoRouteToHostException",
    ];
    SIGNS.iter().any(|sign| failure.value.contains(sign) || failure.traceback.contains(sign))
}
