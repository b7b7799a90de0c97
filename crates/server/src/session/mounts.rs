//! The contexts of a session: what is mounted where, and the copying between a context and the session's own files.
//!
//! A mount is a directory of the session's. The context's files are copied into it (download) and back (upload), so that a
//! program never has its hands on the context itself: only whole regular files, folders and links get there, within the
//! context's quota. Copying reads and writes the session's side in the name of its programs' user.

mod download;
mod upload;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub(crate) use self::download::{Source, download};
use self::upload::Upload;
use super::left_out::LeftOut;
use super::path_set::PathSet;
use super::side::Side;
use crate::contexts::{Context, ContextError, ContextPath, MAX_POLICY, RecycleRule, SyncPolicy};
use crate::lock::lock;
use crate::shorten::shown;

/// A context at a path of a session.
#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) context: Arc<Context>,
    /// As the client wrote it.
    pub(crate) path: String,
    pub(crate) policy: SyncPolicy,
    /// The context's folder that is mounted.
    folder: ContextPath,
    /// Files that both sides have had, relative to the mount: only these are deleted when the session has them no more.
    known: Mutex<PathSet>,
}

impl Mount {
    /// Checks the path of a mount.
    pub(crate) fn new(context: Arc<Context>, path: String, policy: &str) -> Result<Self, ContextError> {
        let at = ContextPath::of_file(&path)?;
        let invalid = |problem| ContextError::InvalidPath { path: shown(&path), problem };
        if !path.starts_with('/') || path.contains('\\') {
            return Err(invalid("a mount needs an absolute path"));
        }
        let inside = Path::new("/").join(at.as_path());
        if ["/home/user", "/tmp", "/var/tmp", "/var/log"]
            .iter()
            .any(|own| Path::new(own).starts_with(&inside) && Path::new(own) != inside)
            || SYSTEM.iter().any(|system| inside.starts_with(system))
        {
            return Err(invalid("it is a place of the system's; mount below /home, /mnt, /data or the like"));
        }
        let policy = SyncPolicy::parse(policy, &at)?;
        let folder = policy.mapping.clone().unwrap_or(at);
        Ok(Self { context, path, policy, folder, known: Mutex::default() })
    }

    /// Where programs find it.
    pub(crate) fn inside(&self) -> PathBuf {
        Path::new("/").join(self.path.trim_matches('/'))
    }

    /// What is recycled by age below it, as the context is to know it. A context knows the rules of all paths that it has
    /// been mounted at, until it is mounted there without: these are as many as one policy has.
    pub(crate) fn keep_recycle_rule(&self) -> Result<(), ContextError> {
        let (rule, root) = (self.policy.recycle_rule(&self.folder), self.folder.shown());
        let mut is_full = false;
        self.context.update(|meta| {
            let others = meta.recycle.iter().filter(|other| other.root != root);
            is_full = rule.is_some() && others.map(RecycleRule::memory_size).sum::<usize>() > MAX_POLICY;
            if !is_full {
                meta.recycle.retain(|other| other.root != root);
                meta.recycle.extend(rule);
            }
        })?;
        if is_full {
            let problem = "recyclePolicy: the context has too many from other paths: mount it there without one";
            return Err(ContextError::Policy(problem.to_owned()));
        }
        self.context.touch()
    }

    /// Copies the context's files to the session; what is there already and the same stays. Files of the session that
    /// the context has not are left alone.
    pub(crate) fn download(&self, side: Side<'_>) -> Result<(), ContextError> {
        let archive = self.policy.archive.then(|| self.archive());
        let from = Source { context: &self.context, folder: &self.folder, archive: archive.as_deref() };
        download(from, &self.path, side, &self.policy, |path| {
            lock(&self.known).insert(path);
        })
    }

    /// Copies the session's files to the context. Where the policy says so, what the session has deleted is deleted there.
    /// What cannot be copied is left out, and told.
    pub(crate) fn upload(&self, side: Side<'_>) -> Result<(), ContextError> {
        Upload::begin(self, side)?.run()
    }

    /// The archive that the mount's files are uploaded as, where they are, relative to the mount.
    fn archive(&self) -> PathBuf {
        let name = self.folder.as_path().file_name().unwrap_or_default().to_string_lossy();
        PathBuf::from(format!("{name}.zip"))
    }
}

/// A file is left out, unless the context takes nothing more at all.
fn leave(left: &mut LeftOut, path: &Path, error: ContextError) -> Result<(), ContextError> {
    match error {
        ContextError::NotFound(_) | ContextError::Clearing(_) | ContextError::DiskFull | ContextError::Released => {
            Err(error)
        }
        error => {
            left.note(path, &error);
            Ok(())
        }
    }
}

fn refused(path: &str, error: &crate::workspace::PathError) -> ContextError {
    ContextError::System { action: "using a path of the session", problem: format!("{path}: {error}") }
}

/// What a sandbox consists of.
const SYSTEM: [&str; 13] =
    ["/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/dev", "/sys", "/run", "/nix"];
