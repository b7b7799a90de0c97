//! Running programs in the process table that their session's have in common.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::{Launcher, errno};
use crate::plan::{Kind, Plan};
use crate::processes::SharedProcesses;
use crate::{Child, Command, Policy, SpawnError, Stage};

impl Launcher {
    /// Runs a plan in its session's process table. `None`: there can be none here.
    pub(super) fn run_among_others(&self, plan: &Plan, fds: [BorrowedFd<'_>; 5]) -> Result<Option<Child>, SpawnError> {
        if !plan.policy.level.has_namespaces() || self.shares.get() == Some(&false) {
            return Ok(None);
        }
        let mut is_again = false;
        loop {
            let Some(table) = self.process_table(&plan.policy)? else { return Ok(None) };
            match self.run_in(plan.clone(), fds, &table) {
                // It ended while it was entered. The next one is new.
                Err(_) if table.has_ended() && !is_again => is_again = true,
                Err(SpawnError::Failed { stage: Stage::Processes, errno, .. }) => {
                    if is_of_machine(errno) {
                        let _ = self.shares.set(false); // the first stays
                    }
                    return Ok(None);
                }
                Ok(child) => {
                    let _ = self.shares.set(true); // as above
                    return Ok(Some(child));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The session's process table, or a new one. `None`: here it would be of no use.
    fn process_table(&self, policy: &Policy) -> Result<Option<Arc<SharedProcesses>>, SpawnError> {
        let place = self.processes.slot(policy.slot);
        let mut known = place.lock();
        let network = self.networks.slot(policy.slot).lock().upgrade();
        if let Some(table) = known.as_ref().filter(|table| table.takes(policy.network, network.as_ref())) {
            return Ok(Some(Arc::clone(table)));
        }
        drop(network);
        let null = std::fs::File::options().read(true).write(true).open("/dev/null");
        let null = null.map_err(|error| SpawnError::System { what: "open /dev/null", errno: errno(&error) })?;
        let plan = Plan::new(policy, &Command::new("/processes"), Kind::Processes)?;
        let group = self.groups.session(policy.slot, &policy.limits)?;
        let plan = Plan { groups: group.as_ref().map(|group| group.cgroup_files()).unwrap_or_default(), ..plan };
        let order = |bytes: &[u8], fds: &[BorrowedFd<'_>]| self.order(bytes, fds);
        let (mut made, network) = self.make_in_network(plan, group, [null.as_fd(); 5], (None, None), order)?;
        let namespaces = made.processes.take().ok_or(SpawnError::Vanished)?;
        let child = self.watched(made, network, None);
        if !child.has_proc() {
            let _ = self.shares.set(false); // where none could be seen before
            return Ok(None);
        }
        let table = Arc::new(SharedProcesses::new(child, namespaces, policy.network));
        *known = Some(Arc::clone(&table));
        Ok(Some(table))
    }

    /// Runs a plan in a process table.
    fn run_in(
        &self,
        mut plan: Plan,
        fds: [BorrowedFd<'_>; 5],
        table: &Arc<SharedProcesses>,
    ) -> Result<Child, SpawnError> {
        let group = self.groups.session(plan.policy.slot, &plan.policy.limits)?;
        plan.groups = group.as_ref().map(|group| group.cgroup_files()).unwrap_or_default();
        plan.joins_processes = true;
        let order = |bytes: &[u8], fds: &[BorrowedFd<'_>]| self.order(bytes, fds);
        let made = self.make_in_network(plan, group, fds, (None, Some(&table.namespaces)), order);
        let (made, network) = made.inspect_err(|_| table.sweep())?;
        let child = self.watched(made, network, None).among_others(Arc::clone(table));
        table.watch(child.as_fd()).map_err(|_| SpawnError::Vanished)?;
        Ok(child)
    }
}

/// Whether a step fails so for everybody on this machine. Memory and descriptors run out for one session, and for a while.
fn is_of_machine(errno: i32) -> bool {
    matches!(errno, libc::EPERM | libc::EACCES | libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP)
}
