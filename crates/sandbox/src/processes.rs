//! The process table that the commands of a session share.
//!
//! ```text
//! launcher ─┬─ PID 1 of the table: holds it, runs nothing, ends what has lost its supervisor
//!           ├─ supervisor of a command: parent of all orphans below it ── the command ── what it starts
//!           └─ …
//! ```
//!
//! A session's first command makes a PID namespace, and the others enter it: `ps`, `kill` and `fuser` in one find what
//! another one has left in the background. A command is no longer ended by the end of its namespace, but by its
//! supervisor, which is its orphans' parent (`PR_SET_CHILD_SUBREAPER`), so nothing gets out from below it. A supervisor can
//! be killed by its session's own commands. What was below it falls to the table's first process then, which nothing in
//! the table can signal or slow down, and which kills it. The table itself ends as every sandbox does: the kernel kills
//! all in it with its first process.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::network::SharedNetwork;
use crate::plan::{ENTERED, LEFT_OVER};
use crate::sys::socket;
use crate::{Child, Network};

/// What a process table is entered by.
#[derive(Debug)]
pub(crate) struct SharedNamespaces {
    pub(crate) processes: OwnedFd,
    /// That of all who enter, where programs have one: elsewhere the kernel keeps them from looking at each other.
    pub(crate) user: Option<OwnedFd>,
}

impl SharedNamespaces {
    /// In the order in which [`fds`](Self::fds) gives them. `None`: there are none.
    pub(crate) fn of(fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        Some(Self { processes: fds.next()?, user: fds.next() })
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.processes.as_fd()).chain(self.user.as_ref().map(AsFd::as_fd))
    }
}

/// A session's process table. Each command in it holds it.
pub(crate) struct SharedProcesses {
    pub(crate) namespaces: SharedNamespaces,
    /// Which policy it was made for.
    pub(crate) network_policy: Network,
    /// The sandbox that holds it.
    child: Child,
}

impl SharedProcesses {
    pub(crate) fn new(child: Child, namespaces: SharedNamespaces, network_policy: Network) -> Self {
        Self { namespaces, network_policy, child }
    }

    /// Whether another command can enter it that will be in this network. An ordinary user has rights over both only where
    /// one was made inside the other.
    pub(crate) fn takes(&self, policy: Network, network: Option<&Arc<SharedNetwork>>) -> bool {
        let is_its_own = match (network, self.child.network()) {
            (Some(network), Some(own)) => Arc::ptr_eq(network, own),
            (Some(_), None) => false,
            (None, _) => true,
        };
        is_its_own && self.network_policy == policy && !self.has_ended()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.child.watched().has_ended()
    }

    /// Has the first process watch who has entered, to end what he leaves when he is killed.
    pub(crate) fn watch(&self, entered: BorrowedFd<'_>) -> io::Result<()> {
        socket::send_now(self.child.watched().control.as_fd(), &ENTERED, &[entered])
    }

    /// Has the first process end what somebody has left who did not get that far.
    pub(crate) fn sweep(&self) {
        // An error means that it ends, and all the others with it; or it looks for them already.
        let _ = socket::send_now(self.child.watched().control.as_fd(), &LEFT_OVER, &[]);
    }
}

impl fmt::Debug for SharedProcesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedProcesses").field("namespaces", &self.namespaces).finish_non_exhaustive()
    }
}

/// The process tables of all slots. Each stays until its session ends, so that a command does not pay for a new one.
#[derive(Debug, Default)]
pub(crate) struct ProcessTables {
    by_slot: Mutex<HashMap<u32, Arc<SlotProcesses>>>,
}

/// A slot's process table, if there is one. Locked while it is made, so that a session has one only.
#[derive(Debug, Default)]
pub(crate) struct SlotProcesses(Mutex<Option<Arc<SharedProcesses>>>);

impl ProcessTables {
    /// The place for a slot's table.
    pub(crate) fn slot(&self, slot: u32) -> Arc<SlotProcesses> {
        Arc::clone(self.by_slot().entry(slot).or_default())
    }

    /// The slot's next command has a new one, whoever holds the old.
    pub(crate) fn forget(&self, slot: u32) {
        let forgotten = self.by_slot().remove(&slot);
        drop(forgotten); // without the lock: it ends a sandbox
    }

    /// Lets go of a table in which nothing runs, and with it of the network that it holds. Whether there was one.
    pub(crate) fn forget_idle(&self, slot: u32) -> bool {
        let Some(place) = self.by_slot().get(&slot).map(Arc::clone) else { return false };
        let idle = place.lock().take_if(|table| Arc::strong_count(table) == 1);
        idle.is_some()
    }

    fn by_slot(&self) -> MutexGuard<'_, HashMap<u32, Arc<SlotProcesses>>> {
        // Each change under the lock is a single step.
        self.by_slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotProcesses {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Arc<SharedProcesses>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
