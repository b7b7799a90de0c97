//! Where factory are made: the server's own folder, and who runs what there.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agb_sandbox::Level;

use crate::random;
use crate::settings::Config;
use crate::workspace::root::Root;
use crate::workspace::sandboxes::Sandboxes;
use crate::workspace::zygotes::Zygotes;
use crate::workspace::{Folder, Workspace};

/// Makes factory in the server's own folder.
#[derive(Debug)]
pub(crate) struct WorkspaceFactory {
    config: Arc<Config>,
    sandboxes: Arc<Sandboxes>,
    root: Root,
    zygotes: Arc<Zygotes>,
    next: AtomicU64,
}

impl WorkspaceFactory {
    /// No workspace yet, and a private folder for them.
    pub(crate) fn new(config: Arc<Config>, sandboxes: Arc<Sandboxes>) -> io::Result<Self> {
        let root = Root::create(&config.data_dir, sandboxes.has_users())?;
        let zygotes = Zygotes::new(root.path().to_owned(), config.zygotes);
        Ok(Self { config, sandboxes, root, zygotes, next: AtomicU64::new(1) })
    }

    /// The server's own folder, in which those of sessions are.
    pub(crate) fn folder(&self) -> &Path {
        self.root.path()
    }

    /// How programs are isolated.
    pub(crate) fn level(&self) -> Level {
        self.sandboxes.level()
    }

    /// An empty one.
    pub(crate) fn make(&self) -> io::Result<Workspace> {
        let slot = self.sandboxes.slot()?;
        let name = format!("{}-{}", self.next.fetch_add(1, Ordering::Relaxed), random::hex::<4>());
        let folder = Folder::create(self.root.path(), &name, slot.user(), slot.level())?;
        Ok(Workspace::new(folder, slot, Arc::clone(&self.zygotes), Arc::clone(&self.config)))
    }

    /// Removes the folder with all that is in it.
    pub(crate) fn remove(&self) {
        self.root.remove();
    }
}
