//! Where a command begins.

use std::path::{Path, PathBuf};

use super::error::CommandError;
use crate::shorten::shown;
use crate::workspace::{ActAs, LastLink, PathError, Workspace};

/// Where a command begins. It enters it inside its sandbox, whatever has become of it by then.
pub(super) enum Cwd {
    /// Relative to the session's working directory.
    Below(PathBuf),
    /// Absolute, as programs see it.
    At(PathBuf),
}

/// Finds the directory that a client names.
pub(super) fn working_directory(workspace: &Workspace, given: Option<&str>) -> Result<Cwd, CommandError> {
    let Some(given) = given else { return Ok(Cwd::Below(PathBuf::new())) };
    let folder = workspace.folder();
    let acting = ActAs::user(workspace.slot().user());
    let _acting = acting.map_err(|error| CommandError::entering(Path::new(given), &error))?;
    let at = match folder.reach(given, LastLink::Followed) {
        Ok(at) => at,
        // It may be a directory of the sandbox's own, such as `/var/log`, which only a program can enter.
        Err(PathError::Outside(_)) if Path::new(given).is_absolute() && !given.contains('\0') => {
            return Ok(Cwd::At(given.into()));
        }
        Err(error) => return Err(error.into()),
    };
    let failed = |error: std::io::Error| CommandError::entering(&at.inside, &error);
    let real = at.dir.canonicalize(&at.path).map_err(failed)?;
    if !at.dir.metadata(&real).is_ok_and(|meta| meta.is_dir()) {
        return Err(CommandError::NotADirectory(shown(given)));
    }
    let is_home = at.place == folder.home();
    Ok(if is_home { Cwd::Below(real) } else { Cwd::At(at.place.join(real)) })
}
