//! A session's own folder: what its programs and its file tools share.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use agb_sandbox::{HOME, Level, Mount};
use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::ActAs;
use super::above::names_in;
use super::reach::{LastLink, reach};
use super::view::{self, Located, MADE, PathError, Place};
use crate::lock::lock;
use crate::random;
use crate::shorten::shown;

/// A session's own folder. Nothing that is reached through [`Folder::locate`] lies outside of what programs see, whatever
/// a path or a symbolic link says; the operating system checks each step.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    work: PathBuf,
    tmp: PathBuf,
    user: Option<u32>,
    /// Whether mounts appear at their paths, and files stand in for the machine's.
    has_namespaces: bool,
    /// What file tools may change; the working directory is the first.
    places: Mutex<Vec<Place>>,
    mounts: Mutex<Vec<Mount>>,
    /// The files that programs see in place of the machine's, where they do.
    made: Option<Place>,
}

/// The folder for the files that stand in for the machine's.
const MADE_FOLDER: &str = "etc";

/// A directory for files on their way, on the same file system as the session's own. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    pub(crate) dir: Arc<Dir>,
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = agb_sandbox::remove_tree(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a directory for files on their way stays until its session ends");
        }
    }
}

/// What the names of the places for transfers begin with.
const TRANSFER: &str = "transfer-";

impl Folder {
    /// Makes the folder `name` below `parent`, for the session's user and nobody else.
    pub(crate) fn create(parent: &Path, name: &str, user: Option<u32>, level: Level) -> io::Result<Self> {
        let root = parent.join(name);
        let (work, tmp) = (root.join("work"), root.join("tmp"));
        // Another user than ours has to pass through: names are not secret, and there is nothing else in it.
        std::fs::DirBuilder::new().mode(if user.is_some() { 0o711 } else { 0o700 }).create(&root)?;
        let (work_dir, tmp_dir) = (make_own(&work, user)?, make_own(&tmp, user)?);
        let has_namespaces = level.has_namespaces();
        let place = |at: &Path, real: &Path, dir: &Arc<Dir>| {
            let inside = if has_namespaces { at } else { real };
            Place { at: at.to_path_buf(), inside: inside.to_path_buf(), dir: Arc::clone(dir) }
        };
        let mut places = vec![place(Path::new(HOME), &work, &work_dir)];
        places.extend(["/tmp", "/var/tmp"].map(|path| place(Path::new(path), &tmp, &tmp_dir)));
        if !has_namespaces {
            places.extend([place(&work, &work, &work_dir), place(&tmp, &tmp, &tmp_dir)]);
        }
        let made = if has_namespaces { Some(make_files(&root.join(MADE_FOLDER))?) } else { None };
        let (places, mounts) = (Mutex::new(places), Mutex::default());
        Ok(Self { root, work, tmp, user, has_namespaces, places, mounts, made })
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

    /// The working directory, as programs see it.
    pub(crate) fn home(&self) -> &Path {
        if self.has_namespaces { Path::new(HOME) } else { &self.work }
    }

    /// What a path of a caller's leads to. Whether it leads out by a link is seen when it is used.
    pub(crate) fn locate(&self, given: &str) -> Result<Located, PathError> {
        let places = lock(&self.places).clone();
        view::locate(&places, self.made.as_ref(), given)
    }

    /// The same as programs find it, by links from one place to another as well. Call it in the name of the session's user.
    pub(crate) fn reach(&self, given: &str, last: LastLink) -> Result<Located, PathError> {
        let located = self.locate(given)?;
        // A link has the names that programs use, which callers' need not be.
        let mut places = lock(&self.places).clone();
        places.retain(|place| place.at == place.inside);
        Ok(reach(located, last, |target| view::locate(&places, self.made.as_ref(), target)))
    }

    /// What programs see in a directory that [`reach`](Self::reach) does not know because it is above places: names, and
    /// whether each is a directory.
    ///
    /// # Errors
    /// Why nothing was reached, where it is no such directory.
    pub(crate) fn names_above(&self, given: &str, error: PathError) -> Result<BTreeMap<String, bool>, PathError> {
        if !matches!(error, PathError::Outside(_)) {
            return Err(error);
        }
        let places = lock(&self.places).clone();
        let names = names_in(given, &places, self.made.is_some());
        if names.is_empty() { Err(error) } else { Ok(names) }
    }

    /// Makes a directory for a mount that appears at an absolute path, for programs that start from now on. Below the
    /// working directory and `/tmp` it is a directory there; elsewhere it needs a level with namespaces.
    pub(crate) fn add_mount(&self, at: &Path) -> Result<(), PathError> {
        let given = at.to_string_lossy();
        if let Ok(located) = self.locate(&given)
            && located.clone().writable().is_ok()
        {
            let _acting = ActAs::user(self.user).map_err(|_| PathError::Outside(shown(&given)))?;
            return located.dir.create_dir_all(&located.path).map_err(|_| PathError::Outside(shown(&given)));
        }
        if !self.has_namespaces {
            return Err(PathError::Outside(shown(&given)));
        }
        let dir = self.root.join(format!("mount-{}", lock(&self.mounts).len()));
        let place = make_own(&dir, self.user).map_err(|_| PathError::Outside(shown(&given)))?;
        lock(&self.places).push(Place { at: at.to_path_buf(), inside: at.to_path_buf(), dir: place });
        lock(&self.mounts).push(Mount { dir, at: at.to_path_buf() });
        Ok(())
    }

    /// The directories that sandboxes show beside the working directory and `/tmp`.
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        lock(&self.mounts).clone()
    }

    /// A new place for the context that files are passed through. Nobody else writes there, and it counts as the session's.
    pub(crate) fn new_transfer(&self) -> PathBuf {
        self.root.join(format!("{TRANSFER}{}", random::hex::<4>()))
    }

    /// Those that were made.
    pub(crate) fn transfers(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let transfers = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(TRANSFER));
        transfers.map(|entry| entry.path()).collect()
    }

    /// A new directory that programs and tools do not see, for files that take their places together. It counts as the
    /// session's.
    pub(crate) fn new_staging(&self) -> io::Result<Staging> {
        let path = self.new_transfer();
        let dir = make_own(&path, self.user)?;
        Ok(Staging { path, dir })
    }

    /// Removes everything, whatever programs have made of it. Nothing of the session may run any more. This blocks.
    pub(crate) fn remove(&self) -> io::Result<()> {
        agb_sandbox::remove_tree(&self.root)
    }
}

/// A directory for the slot's user alone.
fn make_own(path: &Path, user: Option<u32>) -> io::Result<Arc<Dir>> {
    std::fs::DirBuilder::new().mode(0o700).create(path)?;
    if user.is_some() {
        std::os::unix::fs::lchown(path, user, user)?;
    }
    Ok(Arc::new(Dir::open_ambient_dir(path, ambient_authority())?))
}

/// The files that programs see in place of the machine's, readable for every slot's user.
fn make_files(folder: &Path) -> io::Result<Place> {
    std::fs::DirBuilder::new().mode(0o755).create(folder)?;
    for (name, text) in MADE {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
    }
    let dir = Dir::open_ambient_dir(folder, ambient_authority())?;
    Ok(Place { at: PathBuf::from("/etc"), inside: PathBuf::from("/etc"), dir: Arc::new(dir) })
}
