//! The file tools that change something.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use cap_std::fs::{File, OpenOptions, OpenOptionsExt};
use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;

use super::args::Args;
use super::difference::{difference, differing};
use super::error::ToolError;
use super::read_files::{open, read_whole, refused};
use crate::budget::Charge;
use crate::workspace::{Commit, LastLink, Located, NewFile, Workspace};

/// Edits in one call: the file's whole text is searched, and copied, for each.
const MAX_EDITS: usize = 200;
/// What to do where a new file was to be made.
const OVERWRITE: &str = "overwrite it, or choose another name";
/// What to do where something was to be moved to.
const DELETE: &str = "delete it first, or choose another name";

pub(super) fn create_directory(workspace: &Workspace, args: &Args) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let at = workspace.folder().reach(given, LastLink::Followed)?.writable()?;
    take_disk(workspace, 0, at.path.components().count())?;
    at.dir.create_dir_all(&at.path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(given, "it is a file: choose another name"),
        _ => ToolError::system("making", &at.inside, &error),
    })?;
    Ok(format!("Successfully created directory {given}"))
}

/// `overwrite` replaces the file as a whole or not at all; `append` adds to it.
pub(super) fn write_file(workspace: &Workspace, args: &Args) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let at = workspace.folder().reach(given, LastLink::Followed)?.writable()?;
    let content = args.text("content")?;
    match args.optional_text("mode")?.unwrap_or("overwrite") {
        "" | "overwrite" => put(workspace, &at, content.as_bytes(), Commit::Overwrite)?,
        "append" => {
            take_disk(workspace, content.len(), 1)?;
            append(&at, content.as_bytes())?;
        }
        "create_new" => {
            if at.dir.symlink_metadata(&at.path).is_ok() {
                return Err(exists(given, OVERWRITE)); // before anything is written in vain
            }
            put(workspace, &at, content.as_bytes(), Commit::CreateNew)?;
        }
        _ => return Err(args.invalid("mode", "overwrite, append or create_new")),
    }
    Ok(format!("Successfully wrote {} bytes to {given}", content.len()))
}

/// Adds to a file, which is made if there is none. Where that fails, the file is as long as before.
fn append(at: &Located, bytes: &[u8]) -> Result<(), ToolError> {
    let is_new = at.dir.symlink_metadata(&at.path).is_err();
    let (mut file, meta) = open(at, OpenOptions::new().append(true).create(true))?;
    let written = file.write_all(bytes);
    written.map_err(|error| {
        // The first error is the one to report; a disk that is full does not keep a file from becoming shorter.
        let _ = if is_new { at.dir.remove_file(&at.path) } else { file.set_len(meta.len()) };
        ToolError::system("writing", &at.inside, &error)
    })
}

pub(super) fn edit_file(workspace: &Workspace, args: &Args, memory: &mut Charge) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let at = workspace.folder().reach(given, LastLink::Followed)?.writable()?;
    let limit = workspace.config().limits.max_tool_output as u64;
    let before = read_whole(&at, limit, memory)?;
    memory.grow(before.len())?;
    let mut after = before.clone();
    for (index, (old, new)) in edits(args)?.iter().enumerate() {
        if !after.contains(old.as_str()) {
            return Err(ToolError::NoMatch { path: given.to_owned(), number: index + 1 });
        }
        // Each replacement could be longer than what it replaces: a small call must not make a huge text.
        let count = after.matches(old.as_str()).count();
        let longest = after.len().saturating_add(count.saturating_mul(new.len()));
        if longest as u64 > limit {
            let (what, limit) = ("the edited text".to_owned(), format!("{limit} bytes"));
            return Err(ToolError::TooMuch { what, limit, hint: "edit it with a program" });
        }
        // Until the text before it is let go of, there are both; and a string grows by doubling.
        memory.resize(before.len() + after.len() + 2 * longest)?;
        after = after.replace(old.as_str(), new);
    }
    // Before it is done: who is refused may call it again.
    memory.resize(before.len() + after.capacity() + differing(&before, &after))?;
    if !args.flag("dryRun")? && after != before {
        put(workspace, &at, after.as_bytes(), Commit::Overwrite)?;
    }
    Ok(difference(given, &before, &after))
}

pub(super) fn move_file(workspace: &Workspace, args: &Args) -> Result<String, ToolError> {
    let (source, destination) = (args.text("source")?, args.text("destination")?);
    let from = workspace.folder().reach(source, LastLink::Kept)?.writable()?;
    let to = workspace.folder().reach(destination, LastLink::Kept)?.writable()?;
    if from.is_place() {
        return Err(goes_with_session(source));
    }
    if to.dir.symlink_metadata(&to.path).is_ok() {
        return Err(exists(destination, DELETE));
    }
    let (old, new) = (parent(&from), parent(&to));
    let old = old.map_err(|error| ToolError::system("moving", &from.inside, &error))?;
    let new = new.map_err(|error| ToolError::system("moving something to", &to.inside, &error))?;
    match rename_to_new(&from, old, &to, new) {
        // A program was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(destination, DELETE)),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(ToolError::WrongKind {
            path: destination.to_owned(),
            is: "within what is to be moved there",
            hint: "choose a destination outside of it",
        }),
        Err(error) => Err(ToolError::system("moving", &from.inside, &error)),
        Ok(()) => Ok(format!("Successfully moved {source} to {destination}")),
    }
}

/// A name, and the directory that it is in.
type Named<'a> = (File, &'a OsStr);

/// Renames something, and replaces nothing, whoever makes something there meanwhile.
fn rename_to_new(from: &Located, old: Named<'_>, to: &Located, new: Named<'_>) -> io::Result<()> {
    match renameat_with(&old.0, old.1, &new.0, new.1, RenameFlags::NOREPLACE) {
        // Some file systems cannot do that.
        Err(Errno::INVAL | Errno::NOSYS) => from.dir.rename(&from.path, &to.dir, &to.path),
        renamed => renamed.map_err(io::Error::from),
    }
}

/// The directory that something is in, which need not be readable for that, and its name there.
fn parent(at: &Located) -> io::Result<Named<'_>> {
    let name = at.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let above = at.path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY);
    Ok((at.dir.open_with(above, &options)?, name))
}

/// Deletes a file or a link; a directory is an error, as documented.
pub(super) fn delete_file(workspace: &Workspace, args: &Args) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let at = workspace.folder().reach(given, LastLink::Kept)?.writable()?;
    if at.is_place() {
        return Err(goes_with_session(given));
    }
    let failed = |error: io::Error| ToolError::system("deleting", &at.inside, &error);
    let meta = at.dir.symlink_metadata(&at.path).map_err(failed)?;
    if meta.is_dir() {
        let hint = "only files are deleted; remove a directory with a command, such as rm -r";
        return Err(ToolError::WrongKind { path: given.to_owned(), is: "a directory", hint });
    }
    at.dir.remove_file(&at.path).map_err(failed)?;
    Ok(format!("Successfully deleted {given}"))
}

/// Puts a whole new file in its place. What is there stays as it is if anything fails.
fn put(workspace: &Workspace, at: &Located, content: &[u8], commit: Commit) -> Result<(), ToolError> {
    take_disk(workspace, content.len(), 1)?;
    let mut new = NewFile::begin(at).map_err(|error| refused(at, &error))?;
    match new.write(content).and_then(|()| new.commit_as(commit)) {
        // A program was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(exists(&at.inside.to_string_lossy(), OVERWRITE))
        }
        written => written.map(drop).map_err(|error| ToolError::system("writing", &at.inside, &error)),
    }
}

fn take_disk(workspace: &Workspace, bytes: usize, files: usize) -> Result<(), ToolError> {
    workspace.take_disk(bytes as u64, files as u64).map_err(|full| ToolError::Report(full.to_string()))
}

fn exists(path: &str, hint: &'static str) -> ToolError {
    ToolError::Exists { path: path.to_owned(), hint }
}

fn goes_with_session(path: &str) -> ToolError {
    let is = "the working directory, or one like it";
    ToolError::WrongKind { path: path.to_owned(), is, hint: "it goes with its session" }
}

fn edits(args: &Args) -> Result<Vec<(String, String)>, ToolError> {
    let expected = format!("a list of objects with the texts oldText (not empty) and newText, {MAX_EDITS} at most");
    let invalid = || args.invalid("edits", expected.clone());
    let edits = args.get("edits").and_then(|field| field.items(MAX_EDITS)).ok_or_else(invalid)?;
    if edits.is_empty() {
        return Err(invalid());
    }
    edits
        .iter()
        .map(|edit| {
            let edit = edit.fields().ok_or_else(invalid)?;
            let old = edit.text("oldText").filter(|old| !old.is_empty());
            let new = edit.text("newText");
            old.zip(new).map(|(old, new)| (old.to_owned(), new.to_owned())).ok_or_else(invalid)
        })
        .collect()
}
