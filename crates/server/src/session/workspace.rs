//! The session's workspace, which it takes with its first use, and the kernels in it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agb_kernel::{Cell, Kernel};
use agb_protocol::Language;
use agb_protocol::service::StartRun;

use super::{Busy, NewSource, Session, Stage, lock, refusal};
use crate::cell::{self, CellFeed, FailureHint, ModuleHints};
use crate::run::event::{RunFailure, failure};
use crate::run::{RunOptions, SpoolSpace};
use crate::workspace::{KernelKey, Workspace};

impl Session {
    /// Where its runs keep what nobody has read.
    pub(super) fn spool(&self, folder: &Path) -> SpoolSpace {
        SpoolSpace { folder: folder.to_path_buf(), budget: Arc::clone(&self.spools) }
    }

    /// A cell of a kernel of this session.
    pub(super) fn source_here(
        &self,
        language: Language,
        options: RunOptions,
        start: StartRun,
        timeout: Duration,
    ) -> Result<NewSource, RunFailure> {
        let (workspace, kernel) = self.kernel(language)?;
        let cell = Cell { stdin: options.stdin, ..Cell::new(start.code, timeout) };
        let (meter, hint) = (self.meter(language), self.failure_hint(&workspace, language));
        let held = self.budget.nothing();
        let start = move |feed| cell::start(&kernel, cell, CellFeed::new(feed, meter, hint, held));
        Ok(NewSource { spool: self.spool(workspace.folder().root()), start: Box::new(start) })
    }

    /// What the failure of one run says about what its program lacked.
    pub(crate) fn failure_hint(&self, workspace: &Workspace, language: Language) -> FailureHint {
        FailureHint::new(workspace.slot().network_hints(), ModuleHints::new(self.image.clone(), language))
    }

    /// The kernel of a language, and the workspace that it is in. A session that has none yet gets both together, warm if
    /// there is such a workspace; another kernel starts its interpreter with its first cell.
    pub(crate) fn kernel(&self, language: Language) -> Result<(Arc<Workspace>, Kernel), RunFailure> {
        let mut place = lock(&self.workspace);
        if let Some(workspace) = &*place
            && let Some(kernel) = workspace.kernel(language)
        {
            return Ok((Arc::clone(workspace), kernel));
        }
        let key = KernelKey::of(&self.config, &self.image, language)
            .map_err(|error| failure("MissingInterpreter", error.to_string()))?;
        self.check_life()?;
        if let Some(workspace) = &*place {
            self.pool.missed(&key);
            return Ok((Arc::clone(workspace), workspace.add_kernel(&key)));
        }
        let (workspace, kernel) = if self.needs_own_workspace() {
            let workspace = self.furnish(self.pool.take_empty().map_err(no_workspace)?)?;
            let kernel = workspace.add_kernel(&key);
            (workspace, kernel)
        } else {
            let (workspace, kernel) = self.pool.take(&key).map_err(no_workspace)?;
            (self.furnish(workspace)?, kernel)
        };
        Ok((Arc::clone(place.insert(workspace)), kernel))
    }

    /// The session's workspace.
    pub(crate) fn workspace(&self) -> Result<Arc<Workspace>, RunFailure> {
        let mut place = lock(&self.workspace);
        self.check_life()?;
        if let Some(workspace) = &*place {
            return Ok(Arc::clone(workspace));
        }
        let own = self.needs_own_workspace();
        let workspace =
            if own { self.pool.take_empty() } else { self.pool.take_any(&self.image) }.map_err(no_workspace)?;
        Ok(Arc::clone(place.insert(self.furnish(workspace)?)))
    }

    /// The session's workspace, if it has one.
    pub(crate) fn existing_workspace(&self) -> Option<Arc<Workspace>> {
        lock(&self.workspace).clone()
    }

    /// Whether the session can still be used. Under the lock of its workspace: a release takes that after it has said so.
    fn check_life(&self) -> Result<(), RunFailure> {
        if self.upstream.is_some() {
            return Err(failure(
                "NotHere",
                "this gateway runs no programs and has no files: ask for it by the session's tools",
            ));
        }
        if self.stage() == Stage::Running { Ok(()) } else { Err(refusal(&Busy::Ending)) }
    }
}

fn no_workspace(error: io::Error) -> RunFailure {
    let words = format!("the session's folder could not be made: {error}");
    failure("NoRoom", format!("{words}; look for space and rights in the server's --data-dir"))
}
