//! The network that the sandboxes of a session share.
//!
//! The first sandbox of a slot makes a network namespace, and the others enter it: a server that one program of the session
//! runs is reached by the others at `127.0.0.1`. It goes with the last of them; what comes then makes a new one, in which
//! nothing could listen yet.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::Network;

/// A session's network namespace, and what serves its way out. Each of its sandboxes holds it.
pub(crate) struct SharedNetwork {
    pub(crate) namespace: OwnedFd,
    /// Which policy it was made for.
    pub(crate) policy: Network,
    /// The number of the nursery's first process whose sandboxes may enter it; `None`: it was made outside of any.
    pub(crate) nursery: Option<u64>,
    /// What the proxy factory returned: dropping it ends the proxy.
    pub(crate) _proxy: Option<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for SharedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedNetwork").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// The networks of all slots.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    by_slot: Mutex<HashMap<u32, Arc<SlotNetwork>>>,
}

/// A slot's network, if there is one. Locked while it is made, so that a session has one only.
#[derive(Debug, Default)]
pub(crate) struct SlotNetwork(Mutex<Weak<SharedNetwork>>);

impl Networks {
    /// The place for a slot's network.
    pub(crate) fn slot(&self, slot: u32) -> Arc<SlotNetwork> {
        let mut by_slot = self.by_slot();
        if let Some(found) = by_slot.get(&slot) {
            return Arc::clone(found);
        }
        by_slot.retain(|_, network| Arc::strong_count(network) > 1 || network.lock().strong_count() > 0);
        Arc::clone(by_slot.entry(slot).or_default())
    }

    /// The slot's next sandbox has a new one, whoever holds the old.
    pub(crate) fn forget(&self, slot: u32) {
        self.by_slot().remove(&slot);
    }

    fn by_slot(&self) -> MutexGuard<'_, HashMap<u32, Arc<SlotNetwork>>> {
        // Each change under the lock is a single step.
        self.by_slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotNetwork {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Weak<SharedNetwork>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
