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
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agb_egress::{Allow, BadRule, EgressProxy, Limits, Outside};
use agb_protocol::RunStatus;
use agb_sandbox::PROXY;
use data_encoding::BASE64;
use thiserror::Error;
use tokio::runtime::Handle;

use crate::run::event::{RunFailure, one_line};
use crate::run::outcome::Ended;

/// What programs reach over the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    #[default]
    None,
    /// All that the server's machine reaches, its loopback services included.
    Host,
    /// These domains, by HTTP and HTTPS, and nothing else. Needs an isolation level with namespaces.
    Allow(Allow),
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnknownNetwork {
    /// It is none of the three.
    #[error("{0:?} is no network: use none, host, or allow=DOMAIN,… such as allow=example.org,*.example.net")]
    Kind(String),
    /// One of the domains is none.
    #[error(transparent)]
    Rule(#[from] BadRule),
}

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        match (text, text.strip_prefix("allow=")) {
            ("none", _) => Ok(Self::None),
            ("host", _) => Ok(Self::Host),
            (_, Some(rules)) => Ok(Self::Allow(rules.parse()?)),
            _ => Err(UnknownNetwork::Kind(text.chars().take(100).collect())),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Allow(rules) => write!(f, "allow={rules}"),
        }
    }
}

impl Network {
    /// As the sandbox knows it.
    pub(crate) fn of_sandbox(&self) -> agb_sandbox::Network {
        match self {
            Self::None => agb_sandbox::Network::None,
            Self::Host => agb_sandbox::Network::Host,
            Self::Allow(_) => agb_sandbox::Network::Proxy,
        }
    }

    /// What tells programs of the proxy, in every spelling that is in use.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let Self::Allow(_) = self else { return Vec::new() };
        let proxy = format!("http://{PROXY}");
        let mut env = Vec::new();
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            env.extend([name.to_owned(), name.to_uppercase()].map(|name| (name, proxy.clone())));
        }
        for name in ["no_proxy", "NO_PROXY"] {
            // A program's own servers are in its own network.
            env.push((name.to_owned(), "localhost,127.0.0.1,::1".to_owned()));
        }
        // Node asks its environment from version 24 on; before that a module of ours does it.
        env.push(("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned()));
        let module = BASE64.encode(include_bytes!("network/node.mjs"));
        env.push(("NODE_OPTIONS".to_owned(), format!("--import=data:text/javascript;base64,{module}")));
        env
    }
}

/// The proxies of all sessions, by their slots.
pub(crate) struct Proxies {
    network: Network,
    outside: Outside,
    runtime: Handle,
    by_slot: Mutex<HashMap<u32, Arc<EgressProxy>>>,
}

impl Proxies {
    /// Call it inside a tokio runtime: proxies are tasks of it.
    pub(crate) fn new(network: Network, outside: Outside) -> Arc<Self> {
        Arc::new(Self { network, outside, runtime: Handle::current(), by_slot: Mutex::default() })
    }

    /// Makes the proxy of a slot's next session, where programs have one.
    pub(crate) fn make(&self, slot: u32) {
        if let Network::Allow(allow) = &self.network {
            let proxy =
                EgressProxy::new(format!("slot {slot}"), allow.clone(), self.outside.clone(), Limits::default());
            self.by_slot().insert(slot, proxy);
        }
    }

    pub(crate) fn remove(&self, slot: u32) {
        self.by_slot().remove(&slot);
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
    fn advice(&self, slot: u32, failure: &RunFailure) -> Option<String> {
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

    fn by_slot(&self) -> MutexGuard<'_, HashMap<u32, Arc<EgressProxy>>> {
        // Each change under the lock is a single step.
        self.by_slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to the failure of one run what would have let its program reach the network.
#[derive(Debug)]
pub(crate) struct Advisor {
    proxies: Arc<Proxies>,
    slot: u32,
    advice: Option<String>,
}

impl Advisor {
    pub(crate) fn new(proxies: Arc<Proxies>, slot: u32) -> Self {
        Self { proxies, slot, advice: None }
    }

    /// To the program's own error.
    pub(crate) fn failure(&mut self, mut failure: RunFailure) -> RunFailure {
        self.advice = self.advice.take().or_else(|| self.proxies.advice(self.slot, &failure));
        if let Some(advice) = &self.advice {
            failure.value = format!("{} ({advice})", failure.value);
        }
        failure
    }

    /// To the end, which repeats the error.
    pub(crate) fn ended(&mut self, ended: Ended) -> Ended {
        let Ended { failure, mut finish } = ended;
        let failure = failure.map(|failure| self.failure(failure));
        if let (Some(failure), Some(RunStatus::Failed)) = (&failure, finish.reason) {
            finish.execution_error = Some(one_line(failure));
        }
        Ended { failure, finish }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::event::failure;

    #[test]
    fn networks_are_read_as_they_are_written() {
        for text in ["none", "host", "allow=index.test,*.files.test"] {
            assert_eq!(text.parse::<Network>().map(|network| network.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "all", "allow=", "allow=10.0.0.1", "allow=*"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_failure_for_want_of_network_says_how_to_have_one() {
        let advise = |error| Advisor::new(Proxies::new(Network::None, Outside::internet()), 1).failure(error).value;
        let value = advise(failure("URLError", "<urlopen error [Errno -3] Temporary failure in name resolution>"));
        assert!(value.contains("--network allow=DOMAIN"), "{value}");
        assert_eq!(advise(failure("ZeroDivisionError", "division by zero")), "division by zero");
    }
}
