//! `get_file_change`: what has changed below a directory since the last call for it.
//!
//! The wire names no watcher, so two that watch one directory with the same arguments take each other's events. A client
//! that gives a `watcher`, any text, has a comparison of its own.

use std::path::PathBuf;

use serde_json::json;

use super::args::Args;
use super::error::ToolError;
use super::search_files::walk;
use crate::budget::Charge;
use crate::workspace::file_changes::{Entry, Snapshot};
use crate::workspace::{LastLink, Workspace};

/// Directories that one session watches; each keeps a list of its files.
const MAX_WATCHED: usize = 16;
/// Files below one watched directory.
const MAX_FILES: usize = 20_000;
/// What the lists of one session take in memory, in bytes. 16 MiB: 20,000 files of usual names, several times.
const MAX_MEMORY: usize = 16 << 20;
/// The longest name of a watcher, in bytes: a UUID and more.
const MAX_WATCHER: usize = 100;

/// What an entry takes beside its path: a tree's leaves are half full at worst, and each path is an allocation.
const ENTRY: usize = 2 * size_of::<(PathBuf, Entry)>() + 16;

/// The first call for a directory finds no changes: it is where the comparison begins.
pub(super) fn get_file_change(workspace: &Workspace, args: &Args, memory: &mut Charge) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let watcher = args.optional_text("watcher")?.unwrap_or_default();
    if watcher.len() > MAX_WATCHER {
        return Err(args.invalid("watcher", format!("a text of at most {MAX_WATCHER} bytes")));
    }
    let at = workspace.folder().reach(given, LastLink::Followed)?;
    let mut now = Snapshot { charge: Some(memory.another()), ..Snapshot::default() };
    walk(&at, memory.another(), |relative, met| {
        if now.entries.len() == MAX_FILES {
            return Err(too_much("the number of files watched", MAX_FILES, "watch a directory with less below it"));
        }
        let meta = met.meta.as_ref();
        let modified = meta.and_then(|meta| meta.modified().ok()).map(cap_std::time::SystemTime::into_std);
        let entry = match met.is_dir {
            // A directory's own size and time change with its files, which are told of by themselves.
            true => Entry { is_dir: true, size: 0, modified: None },
            false => Entry { is_dir: false, size: meta.map_or(0, cap_std::fs::Metadata::len), modified },
        };
        let size = relative.as_os_str().len() + ENTRY;
        now.memory += size;
        now.charge.as_mut().map_or(Ok(()), |charge| charge.grow(size))?;
        if now.memory > MAX_MEMORY {
            return Err(too_much("the names of files watched", MAX_MEMORY, "watch a directory with less below it"));
        }
        now.entries.insert(relative.to_path_buf(), entry);
        Ok(true)
    })?;
    // One directory has one name, however it is spelled.
    let real = at.dir.canonicalize(&at.path).map_err(|error| ToolError::system("watching", &at.inside, &error))?;
    let key = (watcher.to_owned(), at.place.join(real));
    let mut changes = workspace.changes();
    let others: usize = changes.seen.iter().filter(|(other, _)| **other != key).map(|(_, seen)| seen.memory).sum();
    if others + now.memory > MAX_MEMORY {
        return Err(too_much("the names of files watched", MAX_MEMORY, "watch directories with less below them"));
    }
    let Some(before) = changes.seen.get(&key) else {
        if changes.seen.len() == MAX_WATCHED {
            return Err(too_much("the number of directories watched", MAX_WATCHED, "watch one above them"));
        }
        changes.seen.insert(key, now);
        return Ok("[]".to_owned());
    };
    // The path that was given comes with each event, and a letter of it may take six in JSON.
    let limit = workspace.config().limits.max_tool_output;
    let mut events = String::from("[");
    let mut tell = |kind: &str, relative: &PathBuf, entry: &Entry| {
        let event = json!({
            "eventType": kind,
            "path": PathBuf::from(given).join(relative).to_string_lossy(),
            "pathType": if entry.is_dir { "directory" } else { "file" },
        });
        if events.len() > 1 {
            events.push(',');
        }
        events.push_str(&event.to_string());
        if events.len() > limit {
            return Err(too_much("the answer", limit, "watch a directory with less below it"));
        }
        Ok(memory.resize(2 * events.len())?) // a text grows by doubling
    };
    let (before, entries) = (&before.entries, &now.entries);
    for (relative, entry) in entries {
        match before.get(relative) {
            None => tell("create", relative, entry)?,
            Some(old) if old != entry => tell("modify", relative, entry)?,
            Some(_) => {}
        }
    }
    let mut gone = before.iter().filter(|(path, _)| !entries.contains_key(*path));
    gone.try_for_each(|(path, entry)| tell("delete", path, entry))?;
    changes.seen.insert(key, now);
    events.push(']');
    Ok(events)
}

fn too_much(what: &str, limit: usize, hint: &'static str) -> ToolError {
    ToolError::TooMuch { what: what.to_owned(), limit: limit.to_string(), hint }
}
