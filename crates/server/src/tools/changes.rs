//! `get_file_change`: what has changed below a directory since the last call for it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::args::Args;
use super::error::ToolError;
use super::search_files::walk;
use crate::workspace::Workspace;
use crate::workspace::file_changes::{Entry, Snapshot};

/// Directories that one session watches; each keeps a list of its files.
const MAX_WATCHED: usize = 16;
/// Files below one watched directory. Their list stays in memory.
const MAX_FILES: usize = 20_000;

/// The first call for a directory finds no changes: it is where the comparison begins.
pub(super) fn get_file_change(room: &Workspace, args: &Args) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let path = room.folder().path(given)?;
    let mut now = Snapshot::new();
    walk(&room.folder().files(), &path, |relative, met| {
        if now.len() == MAX_FILES {
            let (what, limit) = ("the number of files watched".to_owned(), MAX_FILES.to_string());
            return Err(ToolError::TooMuch { what, limit, hint: "watch a directory with less below it" });
        }
        let meta = met.meta.as_ref();
        let modified = meta.and_then(|meta| meta.modified().ok()).map(cap_std::time::SystemTime::into_std);
        let entry = match met.is_dir {
            // A directory's own size and time change with its files, which are told of by themselves.
            true => Entry { is_dir: true, size: 0, modified: None },
            false => Entry { is_dir: false, size: meta.map_or(0, cap_std::fs::Metadata::len), modified },
        };
        now.insert(relative.to_path_buf(), entry);
        Ok(true)
    })?;
    let mut changes = room.changes();
    let Some(before) = changes.seen.get(&path) else {
        if changes.seen.len() == MAX_WATCHED {
            let (what, limit) = ("the number of directories watched".to_owned(), MAX_WATCHED.to_string());
            return Err(ToolError::TooMuch { what, limit, hint: "watch one above them" });
        }
        changes.seen.insert(path, now);
        return Ok("[]".to_owned());
    };
    let told = |kind: &str, relative: &PathBuf, entry: &Entry| {
        json!({
            "eventType": kind,
            "path": PathBuf::from(given).join(relative).to_string_lossy(),
            "pathType": if entry.is_dir { "directory" } else { "file" },
        })
    };
    let mut events: Vec<Value> = Vec::new();
    for (relative, entry) in &now {
        match before.get(relative) {
            None => events.push(told("create", relative, entry)),
            Some(old) if old != entry => events.push(told("modify", relative, entry)),
            Some(_) => {}
        }
    }
    events.extend(
        before.iter().filter(|(path, _)| !now.contains_key(*path)).map(|(path, entry)| told("delete", path, entry)),
    );
    changes.seen.insert(path, now);
    Ok(Value::Array(events).to_string())
}
