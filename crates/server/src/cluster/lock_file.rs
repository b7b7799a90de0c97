//! The lock of a server's name on its machine. Who holds it knows that the process that held it before has ended.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::geteuid;

use super::ClusterError;
use crate::random;

/// How long a server waits for its name. One that was killed holds it until the kernel has taken it apart, memory and all;
/// who starts it again may be quicker. As long as a supervisor's first pauses, and short for someone who gave a name twice.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Between two tries for the lock.
const PAUSE: Duration = Duration::from_millis(20);

/// A lock that is held until this is dropped, or the process ends.
#[derive(Debug)]
pub(super) struct LockFile {
    _file: File,
    id: String,
}

impl LockFile {
    /// Takes the lock of this name; blocks for as long as another holds it, and no longer than `patience`.
    pub(super) fn take(data_dir: &Path, name: &str, patience: Duration) -> Result<Self, ClusterError> {
        let path = data_dir.join(format!("agb-node-{name}.lock"));
        let wrong = |error| ClusterError::LockFile { file: path.clone(), error };
        let mut file = open(&path).map_err(wrong)?;
        let asked = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if asked.elapsed() < patience => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(ClusterError::Locked { name: name.to_owned(), file: path });
                }
                Err(TryLockError::Error(error)) => return Err(wrong(error)),
            }
        }
        let id = identity(&mut file).map_err(wrong)?;
        Ok(Self { _file: file, id })
    }

    /// What tells this lock from all others: what is written in the file, the file itself, and the machine's run. A copy of
    /// the folder on another machine is another lock.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// Opens the lock's file. Others may write to the folder, such as `/tmp`: what they have put there is not taken for a lock.
fn open(path: &Path) -> io::Result<File> {
    let file = agb_kernel::open_lock(path)?;
    let owner = file.metadata()?.uid();
    if owner != geteuid().as_raw() {
        return Err(io::Error::other(format!("it belongs to another user ({owner})")));
    }
    Ok(file)
}

fn identity(file: &mut File) -> io::Result<String> {
    const MOST: u64 = 64;
    let mut text = String::new();
    Read::by_ref(file).take(MOST).read_to_string(&mut text)?;
    if text.is_empty() {
        text = random::hex::<8>();
        file.rewind()?;
        file.write_all(text.as_bytes())?;
    }
    let metadata = file.metadata()?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let all = format!("{text} {} {} {boot}", metadata.dev(), metadata.ino());
    let digest = ring::digest::digest(&ring::digest::SHA256, all.as_bytes());
    Ok(agb_protocol::random::hex(&digest.as_ref()[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(folder: &Path, name: &str) -> Result<LockFile, ClusterError> {
        LockFile::take(folder, name, Duration::ZERO)
    }

    #[test]
    fn one_process_has_a_name() {
        let folder = tempfile::tempdir().expect("there is room");
        let first = take(folder.path(), "a").expect("it is free");
        assert!(matches!(take(folder.path(), "a"), Err(ClusterError::Locked { .. })));
        let other = take(folder.path(), "b").expect("another name");
        assert_ne!(first.id(), other.id());
        let id = first.id().to_owned();
        drop(first);
        assert_eq!(take(folder.path(), "a").expect("it is free again").id(), id);
    }

    #[test]
    fn only_a_file_of_this_user_is_a_lock() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = |name: &str| folder.path().join(format!("agb-node-{name}.lock"));
        let target = folder.path().join("target");
        std::fs::write(&target, "of somebody").expect("there is room");
        std::os::unix::fs::symlink(&target, path("link")).expect("a link");
        std::os::unix::fs::symlink(folder.path().join("absent"), path("dangling")).expect("a link");
        std::fs::create_dir(path("folder")).expect("a folder");
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("a pipe");
        for name in ["link", "dangling", "folder", "pipe"] {
            assert!(matches!(take(folder.path(), name), Err(ClusterError::LockFile { .. })), "{name}");
        }
        assert_eq!(std::fs::read_to_string(&target).expect("it is there"), "of somebody");
        assert!(!folder.path().join("absent").exists());
        let _held = take(folder.path(), "a").expect("it is free");
        assert_eq!(std::fs::metadata(path("a")).expect("it is there").mode() & 0o777, 0o600);
        // Only root can give a file away.
        if geteuid().is_root() {
            std::fs::write(path("other"), "").expect("there is room");
            std::os::unix::fs::chown(path("other"), Some(12345), None).expect("root may");
            let error = take(folder.path(), "other").expect_err("it is another's").to_string();
            assert!(error.contains("another user (12345)") && error.contains("--data-dir"), "{error}");
        }
    }

    #[test]
    fn a_name_is_waited_for_while_its_last_process_ends() {
        let folder = tempfile::tempdir().expect("there is room");
        let ending = take(folder.path(), "a").expect("it is free");
        let id = ending.id().to_owned();
        thread::scope(|scope| {
            let next = scope.spawn(|| LockFile::take(folder.path(), "a", Duration::from_secs(60)));
            thread::sleep(PAUSE * 2);
            drop(ending);
            assert_eq!(next.join().expect("it has not panicked").expect("it is free now").id(), id);
        });
    }
}
