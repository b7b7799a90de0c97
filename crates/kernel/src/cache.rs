//! What is kept to be started again later: only this user may have been able to write it, at any time.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where this user keeps what can be made again: `$XDG_CACHE_HOME/agb`, else `.cache/agb` in the user's home, which the
/// list of users names where `$HOME` does not; else a folder in `/var/cache`. Never one in a place that all users share:
/// another user could make it first.
#[must_use]
pub fn default_cache() -> PathBuf {
    let absolute = |path: &PathBuf| path.is_absolute();
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(absolute);
    let home = || Some(std::env::home_dir().filter(absolute)?.join(".cache"));
    named.or_else(home).unwrap_or_else(|| "/var/cache".into()).join("agb")
}

/// Makes a folder, if it is not there, and answers its real path, which nobody else can exchange. Others may read: a
/// program that runs as another user starts from it.
pub(crate) fn own_folder(folder: &Path) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let folder = folder.canonicalize()?;
    for ancestor in folder.ancestors().skip(1) {
        check_parent(ancestor)?;
    }
    check(&folder)?;
    Ok(folder)
}

/// Says why something in an [`own_folder`] is not to be used, if it is not: it has to be this user's, and no link, and
/// nobody else may write to it. Asked at each use; nothing there is an error as well.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() || meta.uid() != own_user() || meta.mode() & 0o022 != 0 {
        return Err(refused(path));
    }
    Ok(())
}

/// In a folder of another user, or one that others write to, names can be exchanged; where it is sticky, as `/tmp` is, not
/// those of this user's files.
fn check_parent(folder: &Path) -> io::Result<()> {
    const STICKY: u32 = 0o1000;
    let meta = fs::symlink_metadata(folder)?;
    let is_trusted = meta.uid() == own_user() || meta.uid() == 0;
    if !is_trusted || meta.mode() & 0o022 != 0 && meta.mode() & STICKY == 0 {
        return Err(refused(folder));
    }
    Ok(())
}

/// A file or folder that goes if it is not moved away.
pub(crate) struct Temporary(pub(crate) PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
    }
}

/// Removes what processes that were killed have left half made.
pub(crate) fn sweep(folder: &Path) {
    const OLD: Duration = Duration::from_secs(3600); // nothing takes so long
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_old =
            entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OLD));
        if is_old && entry.path().extension().is_some_and(|extension| extension == "tmp") {
            drop(Temporary(entry.path()));
        }
    }
}

/// Has the command's process end with the thread that starts it, which waits for it: it outlives nobody.
pub(crate) fn end_with_this_thread(command: &mut Command) {
    // SAFETY: one system call on integers between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}

fn refused(path: &Path) -> io::Error {
    let path = path.display();
    let reason = format!(
        "{path} belongs to another user, is a link, or others can write to it, and programs are started from it; remove \
         it, or name another folder (--cache-dir)"
    );
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    fn place(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("agb-cache-test-{name}-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o755).create(&dir).expect("the temporary directory is writable");
        dir
    }

    #[test]
    fn only_what_nobody_else_could_write_is_used() {
        let dir = place("own");
        let cache = own_folder(&dir.join("a/b")).expect("all of it is ours");
        let file = cache.join("file");
        fs::write(&file, "1").expect("it is ours");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("it is ours");
        check(&file).expect("it is ours");
        assert_eq!(check(&cache.join("none")).expect_err("it is not there").kind(), io::ErrorKind::NotFound);
        symlink(&file, cache.join("link")).expect("it is ours");
        assert!(check(&cache.join("link")).is_err());
        for mode in [0o664, 0o646] {
            fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("it is ours");
            assert!(check(&file).is_err(), "{mode:o}");
        }
        for open in [dir.join("a"), dir.clone()] {
            fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("it is ours");
            let error = own_folder(&cache).expect_err("others can exchange it");
            assert!(error.to_string().contains("--cache-dir"), "{error}");
            fs::set_permissions(&open, PermissionsExt::from_mode(0o755)).expect("it is ours");
        }
        if own_user() == 0 {
            chown(dir.join("a"), Some(1_999_999_997), None).expect("root may");
            assert!(own_folder(&cache).is_err(), "another user's");
        }
        fs::remove_dir_all(&dir).expect("it was made above");
    }

    #[test]
    fn the_default_is_no_shared_place() {
        let cache = default_cache();
        // A home may be anywhere.
        let is_own = std::env::home_dir().is_some_and(|home| cache.starts_with(home));
        let is_shared = cache.starts_with("/tmp") || cache.starts_with("/var/tmp");
        assert!(cache.is_absolute() && (is_own || !is_shared), "{cache:?}");
    }
}
