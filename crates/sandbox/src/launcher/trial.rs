//! Finding out which levels this machine offers, by making a sandbox at each.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Instant;

use super::{Launcher, PATIENCE, errno};
use crate::plan::{Kind, Plan};
use crate::policy::SLOTS;
use crate::remove::remove_tree;
use crate::report::{Offer, Report};
use crate::{Command, Level, Policy, SpawnError};

impl Launcher {
    /// Finds out which levels this machine offers, by making a sandbox at each and looking around in it.
    ///
    /// Uses the last slot, so call it before there are sessions.
    #[must_use]
    pub fn probe(&self) -> Report {
        Report { levels: Level::ALL.map(|level| (level, self.try_level(level))).into() }
    }

    /// Makes a sandbox at this level and looks around in it; see [`probe`](Self::probe).
    pub fn try_level(&self, level: Level) -> Result<Offer, SpawnError> {
        let system = |what| move |error: io::Error| SpawnError::System { what, errno: errno(&error) };
        let workdir = TemporaryDir::create().map_err(system("create a directory for a trial sandbox"))?;
        let null = File::options().read(true).write(true).open("/dev/null").map_err(system("open /dev/null"))?;
        let policy = Policy::new(level, &workdir.0, SLOTS - 1);
        let plan = Plan::new(&policy, &Command::new("/trial"), Kind::Trial)?;
        let start = Instant::now();
        let mut child = self.run(plan, [null.as_fd(); 5])?;
        let took = start.elapsed();
        // The trial's own verdict comes as its last word, which may be after the first ones.
        match child.finish(PATIENCE) {
            Err(failure) => Err(failure),
            Ok(Some(status)) if ExitStatus::success(&status) => {
                Ok(Offer { took, has_proc: child.has_proc(), changes_files: child.changes_files() })
            }
            Ok(Some(_)) => Err(SpawnError::Vanished),
            Ok(None) => Err(SpawnError::TimedOut(PATIENCE)),
        }
    }
}

/// The working directory of a trial.
struct TemporaryDir(PathBuf);

impl TemporaryDir {
    /// Under a name that nobody can know before: in a place of everybody's, one that is known can be taken.
    fn create() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        loop {
            let random = RandomState::new().build_hasher().finish();
            let path = std::env::temp_dir().join(format!("agb-trial-{random:016x}"));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map(|()| Self(path)),
            }
        }
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        let _ = remove_tree(&self.0);
    }
}
