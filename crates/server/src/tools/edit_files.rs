//! The file tools that change something.

use std::io::{self, Write};
use std::path::Path;

use cap_std::fs::OpenOptions;
use serde_json::Value;
use similar::TextDiff;

use super::args::Args;
use super::error::ToolError;
use super::read_files::{open, read_whole};
use crate::workspace::Workspace;

/// Edits in one call; more are a loop's mistake.
const MAX_EDITS: usize = 1000;
/// Finding the smallest difference of two large texts takes long; after this a larger one will do.
const DIFF_TIME: std::time::Duration = std::time::Duration::from_millis(500);

pub(super) fn create_directory(room: &Workspace, args: &Args) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let path = room.folder().path(given)?;
    room.folder().files().create_dir_all(&path).map_err(|error| ToolError::system("making", &path, &error))?;
    Ok(format!("Successfully created directory {given}"))
}

pub(super) fn write_file(room: &Workspace, args: &Args) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let path = room.folder().path(given)?;
    let content = args.text("content")?;
    let mut options = OpenOptions::new();
    match args.optional_text("mode")?.unwrap_or("overwrite") {
        // Emptied only once it is known to be a regular file.
        "" | "overwrite" => options.write(true).create(true),
        "append" => options.append(true).create(true),
        "create_new" => options.write(true).create_new(true),
        _ => return Err(args.invalid("mode", "overwrite, append or create_new")),
    };
    let overwrite = !matches!(args.optional_text("mode")?, Some("append" | "create_new"));
    if matches!(args.optional_text("mode")?, Some("create_new"))
        && room.folder().files().symlink_metadata(&path).is_ok()
    {
        return Err(ToolError::Exists { path: given.to_owned(), hint: "overwrite it, or choose another name" });
    }
    let (mut file, _) = open(&room.folder().files(), &path, &mut options)?;
    let written = if overwrite { file.set_len(0) } else { Ok(()) }.and_then(|()| file.write_all(content.as_bytes()));
    written.map_err(|error| ToolError::system("writing", &path, &error))?;
    Ok(format!("Successfully wrote {} bytes to {given}", content.len()))
}

pub(super) fn edit_file(room: &Workspace, args: &Args) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let path = room.folder().path(given)?;
    let limit = room.config().limits.max_tool_output as u64;
    let before = read_whole(&room.folder().files(), &path, limit)?;
    let mut after = before.clone();
    for (index, (old, new)) in edits(args)?.iter().enumerate() {
        if !after.contains(old.as_str()) {
            return Err(ToolError::NoMatch { path: given.to_owned(), number: index + 1 });
        }
        // Each replacement could be longer than what it replaces: a small call must not make a huge text.
        let count = after.matches(old.as_str()).count();
        if after.len().saturating_add(count.saturating_mul(new.len())) as u64 > limit {
            let (what, limit) = ("the edited text".to_owned(), format!("{limit} bytes"));
            return Err(ToolError::TooMuch { what, limit, hint: "edit it with a program" });
        }
        after = after.replace(old.as_str(), new);
    }
    if !args.flag("dryRun")? && after != before {
        let failed = |error: io::Error| ToolError::system("writing", &path, &error);
        let (mut file, _) = open(&room.folder().files(), &path, OpenOptions::new().write(true))?;
        file.set_len(0).and_then(|()| file.write_all(after.as_bytes())).map_err(failed)?;
    }
    Ok(difference(given, &before, &after))
}

pub(super) fn move_file(room: &Workspace, args: &Args) -> Result<String, ToolError> {
    let (source, destination) = (args.text("source")?, args.text("destination")?);
    let (from, to) = (room.folder().path(source)?, room.folder().path(destination)?);
    let files = room.folder().files();
    if files.symlink_metadata(&to).is_ok() {
        return Err(ToolError::Exists {
            path: destination.to_owned(),
            hint: "delete it first, or choose another name",
        });
    }
    files.rename(&from, &files, &to).map_err(|error| ToolError::system("moving", &from, &error))?;
    Ok(format!("Successfully moved {source} to {destination}"))
}

pub(super) fn delete_file(room: &Workspace, args: &Args) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let path = room.folder().path(given)?;
    if path == Path::new(".") {
        let is = "the working directory";
        return Err(ToolError::WrongKind { path: given.to_owned(), is, hint: "it goes with its session" });
    }
    let files = room.folder().files();
    let failed = |error: io::Error| ToolError::system("deleting", &path, &error);
    let meta = files.symlink_metadata(&path).map_err(failed)?;
    let deleted = if meta.is_dir() { files.remove_dir(&path) } else { files.remove_file(&path) };
    deleted.map_err(failed)?;
    Ok(format!("Successfully deleted {given}"))
}

fn edits(args: &Args) -> Result<Vec<(String, String)>, ToolError> {
    let invalid = || args.invalid("edits", "a list of objects with the texts oldText (not empty) and newText");
    let edits = args.get("edits").and_then(Value::as_array).ok_or_else(invalid)?;
    if edits.is_empty() || edits.len() > MAX_EDITS {
        return Err(invalid());
    }
    edits
        .iter()
        .map(|edit| {
            let old = edit.get("oldText").and_then(Value::as_str).filter(|old| !old.is_empty());
            let new = edit.get("newText").and_then(Value::as_str);
            old.zip(new).map(|(old, new)| (old.to_owned(), new.to_owned())).ok_or_else(invalid)
        })
        .collect()
}

fn difference(path: &str, before: &str, after: &str) -> String {
    if before == after {
        return format!("{path} stays as it is");
    }
    let diff = TextDiff::configure().timeout(DIFF_TIME).diff_lines(before, after);
    diff.unified_diff().header(path, path).to_string()
}
