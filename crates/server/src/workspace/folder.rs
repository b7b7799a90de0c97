//! A session's own folder: what its programs and its file tools share.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use agb_sandbox::HOME;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use thiserror::Error;

use crate::workspace::sandboxes::Slot;

/// A session's own folder. Nothing that is reached through [`Folder::files`] lies outside of it, whatever a path or a
/// symbolic link says; the operating system checks each step.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    work: PathBuf,
    tmp: PathBuf,
    /// Where programs see `work`.
    inside: PathBuf,
    files: Arc<Dir>,
}

/// A path that is no good.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum PathError {
    /// It has a NUL in it, or nothing.
    #[error("the path {0:?} is not a path: give a name relative to the session's working directory")]
    Invalid(String),
    /// It leads out.
    #[error(
        "the path {0:?} is outside of the session's working directory: only files below it can be reached, by a relative path"
    )]
    Outside(String),
}

impl Folder {
    /// Makes the folder `name` below `parent`, for the slot's user and nobody else.
    pub(crate) fn create(parent: &Path, name: &str, slot: &Slot) -> io::Result<Self> {
        let root = parent.join(name);
        let (work, tmp) = (root.join("work"), root.join("tmp"));
        let user = slot.user();
        // Another user than ours has to pass through: names are not secret, and there is nothing else in it.
        std::fs::DirBuilder::new().mode(if user.is_some() { 0o711 } else { 0o700 }).create(&root)?;
        for folder in [&work, &tmp] {
            std::fs::DirBuilder::new().mode(0o700).create(folder)?;
            if user.is_some() {
                std::os::unix::fs::lchown(folder, user, user)?;
            }
        }
        let files = Arc::new(Dir::open_ambient_dir(&work, ambient_authority())?);
        let inside = if slot.level().has_namespaces() { PathBuf::from(HOME) } else { work.clone() };
        Ok(Self { root, work, tmp, inside, files })
    }

    /// Where temporary files of programs are.
    pub(crate) fn tmp(&self) -> &Path {
        &self.tmp
    }

    /// The session's own place, which its programs and its tools do not see.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where programs run, and relative paths begin.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// The files, by paths from [`Folder::path`].
    pub(crate) fn files(&self) -> Arc<Dir> {
        Arc::clone(&self.files)
    }

    /// A path as a caller wrote it, relative to the working directory. Whether it leads out by a link or by `..` is
    /// seen when it is used.
    pub(crate) fn path(&self, given: &str) -> Result<PathBuf, PathError> {
        let trimmed = given.trim_end_matches('/');
        if given.is_empty() || given.contains('\0') {
            return Err(PathError::Invalid(shown(given)));
        }
        let path = Path::new(if trimmed.is_empty() { "/" } else { trimmed });
        let relative = if path.is_absolute() {
            path.strip_prefix(&self.inside).map_err(|_| PathError::Outside(shown(given)))?
        } else {
            path
        };
        let mut depth = 0_usize;
        for component in relative.components() {
            match component {
                Component::Normal(_) => depth += 1,
                Component::CurDir => {}
                Component::ParentDir => {
                    depth = depth.checked_sub(1).ok_or_else(|| PathError::Outside(shown(given)))?;
                }
                Component::RootDir | Component::Prefix(_) => return Err(PathError::Outside(shown(given))),
            }
        }
        Ok(if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative.to_path_buf() })
    }

    /// Removes everything. A program may have taken its own rights away: they are given back first.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if std::fs::remove_dir_all(&self.root).is_ok() {
            return Ok(());
        }
        open_up(&self.root);
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn open_up(folder: &Path) {
    // What cannot be opened up is reported by the removal that follows.
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_paths_inside_and_refuses_the_rest() {
        let root = std::env::temp_dir().join(format!("agb-folder-test-{}", std::process::id()));
        let work = root.join("work");
        std::fs::create_dir_all(&work).expect("the temporary directory is writable");
        let files = Arc::new(Dir::open_ambient_dir(&work, ambient_authority()).expect("it was made above"));
        let folder = Folder { tmp: root.join("tmp"), inside: HOME.into(), root, work, files };
        let inside = format!("{HOME}/a/b");
        for (given, expected) in
            [("a", "a"), ("a/../b/", "a/../b"), ("./a", "./a"), (inside.as_str(), "a/b"), (".", "."), (HOME, ".")]
        {
            assert_eq!(folder.path(given).as_deref(), Ok(Path::new(expected)), "{given}");
        }
        let sly = format!("{HOME}/../../etc");
        let host = folder.work().display().to_string();
        for given in ["/etc/passwd", "..", "a/../../b", "/", sly.as_str(), host.as_str()] {
            assert_eq!(folder.path(given), Err(PathError::Outside(given.to_owned())), "{given}");
        }
        assert!(matches!(folder.path(""), Err(PathError::Invalid(_))));
        assert!(matches!(folder.path("a\0b"), Err(PathError::Invalid(_))));
        std::os::unix::fs::symlink("/etc", folder.work().join("out")).expect("a link");
        assert!(folder.files().read("out/passwd").is_err(), "a link leads out");
        folder.remove().expect("removed");
        assert!(!folder.work().exists());
    }
}
