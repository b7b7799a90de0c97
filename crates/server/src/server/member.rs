//! The server as a member of a cluster: what it says of itself.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::cluster::{Load, Member};
use crate::listen::http::Shared;
use crate::workspace::pool::free_memory;

/// Is a member of the configured cluster until it is one no longer; without a cluster never ends.
pub(super) async fn run(shared: &Arc<Shared>, address: io::Result<SocketAddr>) {
    let Some(cluster) = &shared.cluster else { return pending().await };
    let address = address.map_err(|error| error.to_string());
    let checked = address
        .and_then(|address| cluster.listens_at(address, shared.tls.is_some()).map_err(|error| error.to_string()));
    if let Err(error) = checked {
        tracing::error!(%error, "the cluster is not joined");
        return pending().await;
    }
    let end = cluster.run(&ServingMember(Arc::clone(shared))).await;
    tracing::error!(%end, "ending");
}

struct ServingMember(Arc<Shared>);

impl Member for ServingMember {
    fn load(&self) -> Load {
        let Shared { sessions, config, keys, .. } = &*self.0;
        let census = sessions.census();
        let warm = census.warm.iter().filter(|(_, ready)| **ready > 0);
        Load {
            sessions: census.sessions as u64,
            max: config.limits.max_sessions as u64,
            free_mem: free_memory(&config.warm.meminfo).unwrap_or(0),
            images: config.images.names().map(str::to_owned).collect(),
            level: sessions.level().name().to_owned(),
            contexts: config.contexts.folder.is_some(),
            warm: warm.map(|(language, ready)| (language.as_str().to_owned(), *ready as u64)).collect(),
            keys: keys.fingerprint(),
            spent: keys.spent().collect::<BTreeMap<_, _>>(),
        }
    }

    fn sessions(&self) -> u64 {
        self.0.sessions.count() as u64
    }

    fn spent_elsewhere(&self, key: &str, calls: u64) {
        self.0.keys.spent_elsewhere(key, calls);
    }
}
