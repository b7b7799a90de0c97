//! The server's own folder, below the one for all data: what its sessions leave goes with it, at the latest when the
//! next server starts.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agb_kernel::open_lock;

use crate::random;

/// What the folders' names begin with: those in use, and those that are just being made.
const NAME: &str = "agb-server-";
const NEW: &str = ".agb-server-";

/// The file that is locked as long as a folder's server lives.
const LOCK: &str = "lock";

/// A folder that this server has made for itself.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    /// Open, and so locked, until the server has ended, in whatever way.
    _lock: File,
}

impl Root {
    /// Makes one, and removes those whose servers are dead. `for_others`: other users than the server's pass through.
    pub(crate) fn create(data_dir: &Path, for_others: bool) -> io::Result<Self> {
        let id = random::hex::<8>();
        let new = data_dir.join(format!("{NEW}{id}"));
        DirBuilder::new().mode(if for_others { 0o711 } else { 0o700 }).create(&new)?;
        let lock = open_lock(&new.join(LOCK))?;
        lock.try_lock()?;
        // Under its name only once it is locked: otherwise it would pass for a dead server's.
        let path = data_dir.join(format!("{NAME}{id}"));
        fs::rename(&new, &path)?;
        remove_dead_in_background(data_dir);
        // Canonical: programs may see their working directory so, and their absolute paths are compared with it.
        Ok(Self { path: path.canonicalize()?, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(&self) {
        remove(&self.path);
    }
}

/// How long a start waits until what dead servers have left is removed. Usually that takes milliseconds; a session may
/// have left hundreds of thousands of files, and then it goes on meanwhile.
const CLEANING: Duration = Duration::from_secs(2);

/// Removes what dead servers have left. However much that is, and whether it can be removed, the server starts.
fn remove_dead_in_background(data_dir: &Path) {
    let data_dir = data_dir.to_owned();
    let (done, wait) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("agb-clean".to_owned()).spawn(move || {
        remove_dead(&data_dir);
        let _ = done.send(()); // the start may have gone on
    });
    match thread {
        Ok(_) => _ = wait.recv_timeout(CLEANING),
        Err(error) => tracing::warn!(%error, "what dead servers have left is not removed; the next start tries again"),
    }
}

/// Removes what servers have left behind that were killed. Their processes have ended with them: each sandbox does when
/// its launcher does, and that one when its server does.
fn remove_dead(data_dir: &Path) {
    let own = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir(data_dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == own);
        if !is_ours || !name.to_str().is_some_and(|name| name.starts_with(NAME)) {
            continue;
        }
        // Without a lock it is something else, or from a version that had none.
        let lock = entry.path().join(LOCK);
        if !fs::symlink_metadata(&lock).is_ok_and(|meta| meta.is_file() && meta.uid() == own) {
            continue;
        }
        let Ok(lock) = open_lock(&lock) else { continue };
        if lock.try_lock().is_ok() {
            tracing::info!(folder = %entry.path().display(), "removing what a dead server has left");
            remove(&entry.path());
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = agb_sandbox::remove_tree(path) {
        tracing::warn!(%error, folder = %path.display(), "a server's folder could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_have_left_is_removed_and_nothing_else() {
        let data_dir = std::env::temp_dir().join(format!("agb-root-{}", std::process::id()));
        fs::create_dir(&data_dir).expect("the temporary directory is writable");
        let living = Root::create(&data_dir, false).expect("a folder");
        let dead = data_dir.join("agb-server-dead");
        fs::create_dir_all(dead.join("1-abcd/work")).expect("the folder is writable");
        File::create(dead.join(LOCK)).expect("the folder is writable");
        let foreign = data_dir.join("agb-server-notes");
        fs::create_dir(&foreign).expect("the folder is writable");
        let linked = data_dir.join("agb-server-linked");
        fs::create_dir(&linked).expect("the folder is writable");
        std::os::unix::fs::symlink(data_dir.join("elsewhere"), linked.join(LOCK)).expect("it is new");
        let second = Root::create(&data_dir, true).expect("a folder");
        assert!(!dead.exists() && foreign.exists() && linked.exists() && living.path().exists());
        assert!(!data_dir.join("elsewhere").exists());
        let mode = fs::metadata(second.path().join(LOCK)).expect("it is there").mode();
        assert_eq!(mode & 0o777, 0o600, "who may open it can keep it locked");
        living.remove();
        second.remove();
        assert!(!living.path().exists() && !second.path().exists());
        fs::remove_dir_all(&data_dir).expect("it was made above");
    }
}
