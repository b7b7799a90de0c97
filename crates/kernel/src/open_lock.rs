//! Files that are there to be locked.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Opens a file to be locked by this user, and makes it if it is not there. Other users cannot open it: whoever reads a file
/// can lock it, and keep it so for ever.
///
/// # Errors
/// What opening a file gives, and that a link, or anything but a file, is there.
pub fn open_lock(path: &Path) -> io::Result<File> {
    const CLOSED: u32 = 0o600;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(CLOSED);
    // Not to wait for the other end of a pipe.
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other(format!("{}, which is to be locked, is not a file: remove it", path.display())));
    }
    if meta.mode() & 0o777 != CLOSED && meta.uid() == rustix::process::geteuid().as_raw() {
        // One of an earlier version's. On a file system without modes it stays as it is.
        let _ = file.set_permissions(Permissions::from_mode(CLOSED));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_lock_is_a_file_of_this_users_alone() {
        let dir = std::env::temp_dir().join(format!("agb-open-lock-{}", std::process::id()));
        fs::create_dir(&dir).expect("the temporary directory is writable");
        let path = dir.join("lock");
        let mode = || fs::metadata(&path).expect("it was made").mode() & 0o777;
        let held = open_lock(&path).expect("it is new");
        held.lock().expect("nobody has it");
        assert_eq!(mode(), 0o600);
        held.set_permissions(Permissions::from_mode(0o644)).expect("it is ours");
        assert!(open_lock(&path).expect("it is there").try_lock().is_err(), "another holds it");
        assert_eq!(mode(), 0o600, "as an earlier version has made it");
        for other in ["link", "pipe", "folder"] {
            let path = dir.join(other);
            match other {
                "link" => std::os::unix::fs::symlink(dir.join("elsewhere"), &path).expect("it is new"),
                "pipe" => {
                    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
                    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).expect("it is new");
                }
                _ => fs::create_dir(&path).expect("it is new"),
            }
            assert!(open_lock(&path).is_err(), "{other}");
        }
        assert!(!dir.join("elsewhere").exists());
        fs::remove_dir_all(&dir).expect("it was made above");
    }
}
