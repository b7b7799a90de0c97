//! Where the servers of a cluster find each other: four calls, which any store with compare-and-set can answer.

use super::etcd::Etcd;
use super::kubernetes::Kubernetes;
use super::memory::MemoryRegistry;
use super::record::Record;
use super::settings::{ClusterSettings, RegistryUrl};
use super::snapshot::{Away, Beat, Rev, Snapshot};
use super::{ClusterError, HttpClient};

/// The store behind a cluster. An enum: there are four calls, and no boxing.
pub(crate) enum Registry {
    Etcd(Etcd),
    Kubernetes(Kubernetes),
    Memory(MemoryRegistry),
}

impl Registry {
    /// What the settings name. `None`: nothing.
    pub(crate) fn of(settings: &ClusterSettings) -> Result<Option<Self>, ClusterError> {
        let authority = settings.cluster_ca.as_deref();
        Ok(match &settings.registry {
            None => None,
            Some(RegistryUrl::Etcd(url)) => {
                let user = match (settings.cluster_user.clone(), settings.cluster_password.clone()) {
                    (Some(name), Some(password)) => Some((name, password)),
                    (None, None) => None,
                    _ => return Err(ClusterError::HalfAUser),
                };
                Some(Self::Etcd(Etcd::new(url, HttpClient::new(authority, "--cluster-ca")?, user)))
            }
            Some(RegistryUrl::Kubernetes(url)) => Some(Self::Kubernetes(Kubernetes::in_pod(url, authority)?)),
            Some(RegistryUrl::Memory(memory)) => Some(Self::Memory(memory.clone())),
        })
    }

    /// Writes a server's own record if it is still at revision `at` (`None`: if there is none), and reads all, in one
    /// step.
    pub(crate) async fn beat(&self, name: &str, mine: &Record, at: Option<Rev>) -> Result<Beat, Away> {
        match self {
            Self::Etcd(etcd) => etcd.beat(name, mine, at).await,
            Self::Kubernetes(kubernetes) => kubernetes.beat(name, mine, at).await,
            Self::Memory(memory) => memory.beat(name, mine, at).await,
        }
    }

    /// Reads all. What was written before the call is in the answer.
    pub(crate) async fn read(&self) -> Result<Snapshot, Away> {
        match self {
            Self::Etcd(etcd) => etcd.read().await,
            Self::Kubernetes(kubernetes) => kubernetes.read().await,
            Self::Memory(memory) => memory.read().await,
        }
    }

    /// Writes a record if there is one at this revision. Whether it did.
    pub(crate) async fn replace(&self, name: &str, at: Rev, with: &Record) -> Result<bool, Away> {
        match self {
            Self::Etcd(etcd) => etcd.replace(name, at, with).await,
            Self::Kubernetes(kubernetes) => kubernetes.replace(name, at, with).await,
            Self::Memory(memory) => memory.replace(name, at, with).await,
        }
    }

    /// Removes a record if it is at this revision. Whether it did.
    pub(crate) async fn remove(&self, name: &str, at: Rev) -> Result<bool, Away> {
        match self {
            Self::Etcd(etcd) => etcd.remove(name, at).await,
            Self::Kubernetes(kubernetes) => kubernetes.remove(name, at).await,
            Self::Memory(memory) => memory.remove(name, at).await,
        }
    }
}
