//! The way of a context's files to the session.

use std::io::{self, Read};
use std::path::Path;

use cap_std::fs::{Dir, OpenOptions, Permissions, PermissionsExt};

use super::{leave, refused};
use crate::contexts::{Context, ContextError, ContextPath, Entry, Extract, SyncPolicy};
use crate::random;
use crate::session::archive;
use crate::session::left_out::LeftOut;
use crate::session::side::{Refusal, Side};
use crate::workspace::{ActAs, Located};

/// Bytes of a download that are copied without a look whether the session goes on.
///
/// 64 MiB: a tenth of a second.
const UNINTERRUPTED: u64 = 64 << 20;

/// What is downloaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) context: &'a Context,
    pub(crate) folder: &'a ContextPath,
    /// The archive that an upload has made, relative to the folder: it is always extracted in its place.
    pub(crate) archive: Option<&'a Path>,
}

/// Copies a folder of a context to a path of a session. Tells of each file.
pub(crate) fn download(
    Source { context, folder, archive }: Source<'_>,
    path: &str,
    side: Side<'_>,
    policy: &SyncPolicy,
    mut copied: impl FnMut(&Path),
) -> Result<(), ContextError> {
    let located = side.folder.locate(path).and_then(Located::writable);
    let at = located.map_err(|error| refused(path, &error))?;
    let mut left = LeftOut::default();
    context.walk(folder, |entry| {
        let Ok(below) = entry.path.as_path().strip_prefix(folder.as_path()) else { return Ok(()) };
        if !policy.includes(below) {
            return Ok(());
        }
        let done = download_entry(Source { context, folder, archive }, &entry, below, &at, side, policy, &mut left);
        match done {
            Ok(true) => copied(below),
            Ok(false) => {}
            Err(Refusal::Session(error)) => left.note(below, &error),
            Err(Refusal::Context(error)) => leave(&mut left, below, error)?,
        }
        Ok(())
    })?;
    left.result()
}

/// False: it is not a file, or not all of it has arrived.
fn download_entry(
    Source { context, archive, .. }: Source<'_>,
    entry: &Entry,
    below: &Path,
    at: &Located,
    side: Side<'_>,
    policy: &SyncPolicy,
    left: &mut LeftOut,
) -> Result<bool, Refusal> {
    side.download.check()?;
    let to = at.path.join(below);
    if entry.is_dir {
        return make_folder(&at.dir, &to, side).map(|()| false);
    }
    let how = if archive == Some(below) {
        Some(Extract { delete_source: true, into_current: true })
    } else {
        policy.extract.filter(|_| !entry.is_link)
    };
    if let Some(how) = how
        && let Some(folder) = archive::destination(below, how.into_current)
        && let Some(opened) = archive::open(context.open(&entry.path)?.0, context.max_files())?
    {
        let before = left.count();
        archive::extract(opened, &at.dir, &at.path, &folder, side, left)?;
        if how.delete_source {
            // What replaces it is uploaded, and then it goes, unless a part of it has not arrived.
            return Ok(left.count() == before);
        }
    }
    download_file(context, entry, &at.dir, &to, side).map(|()| true)
}

fn download_file(context: &Context, entry: &Entry, dir: &Dir, to: &Path, side: Side<'_>) -> Result<(), Refusal> {
    let user = side.user;
    let session = Refusal::Session;
    if let Some(parent) = to.parent() {
        make_folder(dir, parent, side)?;
    }
    let new = to.with_file_name(format!(".agb-{}.new", random::hex::<8>()));
    if entry.is_link {
        let target = context.read_link(&entry.path)?;
        side.workspace.take_disk(0, 1).map_err(ContextError::from)?;
        let _acting = ActAs::user(user).map_err(session)?;
        let placed = dir.symlink_contents(&target, &new).and_then(|()| dir.rename(&new, dir, to));
        return placed.map_err(session);
    }
    // Opened with the server's rights, written with the session's.
    let (mut source, meta) = context.open(&entry.path)?;
    let executable = meta.permissions().mode() & 0o100 != 0;
    let _acting = ActAs::user(user).map_err(session)?;
    let before = dir.symlink_metadata(to).ok().filter(|before| before.is_file() && before.len() == meta.len());
    if before.and_then(|before| before.modified().ok()).is_some_and(|time| time.into_std() == entry.modified) {
        return Ok(());
    }
    side.workspace.take_disk(meta.len(), 1).map_err(ContextError::from)?;
    let mut copy = || {
        let file = dir.open_with(&new, OpenOptions::new().write(true).create_new(true)).map_err(session)?;
        file.set_permissions(Permissions::from_mode(if executable { 0o755 } else { 0o644 })).map_err(session)?;
        let mut file = file.into_std();
        // By the kernel, and between the pieces there is time to hear of the session's end.
        while io::copy(&mut Read::by_ref(&mut source).take(UNINTERRUPTED), &mut file).map_err(session)? > 0 {
            side.download.check()?;
        }
        // The same time on both sides tells an upload that nothing has changed.
        file.set_modified(entry.modified).map_err(session)?;
        dir.rename(&new, dir, to).map_err(session)
    };
    copy().inspect_err(|_| {
        let _ = dir.remove_file(&new); // the first error is the one to report
    })
}

/// Makes a folder of the session's where there is none, and those above it.
fn make_folder(dir: &Dir, path: &Path, side: Side<'_>) -> Result<(), Refusal> {
    let _acting = ActAs::user(side.user).map_err(Refusal::Session)?;
    if dir.metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    side.workspace.take_disk(0, path.components().count() as u64).map_err(ContextError::from)?;
    dir.create_dir_all(path).map_err(Refusal::Session)
}
