//! A directory for the temporary files of one interpreter.

use std::io;
use std::path::{Path, PathBuf};

use agb_sandbox::Policy;

use crate::KernelSpec;
use crate::random::random_hex;

/// A directory for the temporary files of one process: one that is killed cannot remove its own.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Where it is, and where the program sees it.
    path: PathBuf,
    inside: PathBuf,
}

impl Scratch {
    /// Makes a directory in the one that the policy has for temporary files. Without such a one, the sandbox has its
    /// own, which goes with it.
    pub(crate) fn create(spec: &KernelSpec) -> io::Result<Option<Self>> {
        use std::os::unix::fs::{DirBuilderExt, lchown};
        let Policy { level, tmp, slot, .. } = &spec.policy;
        let Some(tmp) = tmp else { return Ok(None) };
        let name = format!("agb-{}-{}", spec.language, random_hex()?);
        let path = tmp.join(&name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        let inside = if level.has_namespaces() { Path::new("/tmp").join(name) } else { path.clone() };
        let scratch = Self { path, inside };
        if let Some(user) = spec.launcher.user_of(*level, *slot) {
            // Not what a link leads to that another program of the session may have put there.
            lchown(&scratch.path, Some(user), Some(user))?;
        }
        Ok(Some(scratch))
    }

    pub(crate) fn inside(&self) -> String {
        self.inside.display().to_string()
    }
}

impl Drop for Scratch {
    /// It may hold any number of files, so this is not the work of the thread that lets go of it. What is left if that
    /// thread does not get to it goes with the session's folder.
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        let remove = move || {
            if let Err(error) = agb_sandbox::remove_tree(&path) {
                tracing::warn!(dir = %path.display(), %error, "temporary files of a kernel could not be removed");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("agb-scratch".to_owned()).spawn(remove) {
            tracing::warn!(%error, "temporary files of a kernel stay until its session ends");
        }
    }
}
