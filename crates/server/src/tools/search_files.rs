//! `search_files`: by name or glob pattern.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::args::Args;
use super::error::ToolError;
use super::read_files::{LINES, one_line};
use crate::budget::Charge;
use crate::workspace::{Located, Workspace};

/// More are not looked at by anybody.
const MAX_MATCHES: usize = 10_000;
/// Each is compiled, and compared with each file.
const MAX_EXCLUDED: usize = 200;
/// Entries to walk through: some seconds.
pub(super) const MAX_WALKED: usize = 200_000;

pub(super) fn search_files(workspace: &Workspace, args: &Args, memory: &mut Charge) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let at = workspace.folder().locate(given)?;
    let pattern = Pattern::new(args, "pattern", args.text("pattern")?)?;
    let excluded = args.texts("excludePatterns")?;
    if excluded.len() > MAX_EXCLUDED {
        let (what, limit) = ("the number of excludePatterns".to_owned(), MAX_EXCLUDED.to_string());
        return Err(ToolError::TooMuch { what, limit, hint: "join some of them, as in *.{log,tmp}" });
    }
    let excluded =
        excluded.iter().map(|text| Pattern::new(args, "excludePatterns", text)).collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    walk(&at, |relative, _| {
        if excluded.iter().any(|excluded| excluded.matches(relative)) {
            return Ok(false);
        }
        if pattern.matches(relative) {
            // A path that can be given to the other tools as it is.
            let shown = if given == "." { relative.to_path_buf() } else { Path::new(given).join(relative) };
            let shown = one_line(&shown.to_string_lossy());
            memory.grow(LINES * (size_of::<String>() + shown.len()))?;
            found.push(shown);
        }
        if found.len() > MAX_MATCHES {
            let (what, limit) = ("the number of matches".to_owned(), MAX_MATCHES.to_string());
            return Err(ToolError::TooMuch { what, limit, hint: "choose a narrower pattern or path" });
        }
        Ok(true)
    })?;
    found.sort_unstable();
    Ok(if found.is_empty() { "No matches found".to_owned() } else { found.join("\n") })
}

/// What a walk meets.
pub(super) struct Met {
    pub(super) is_dir: bool,
    pub(super) meta: Option<cap_std::fs::Metadata>,
}

/// Visits everything below a directory, without following links, by paths relative to it. The visitor says whether to
/// go on below.
pub(super) fn walk(
    at: &Located,
    mut visit: impl FnMut(&Path, &Met) -> Result<bool, ToolError>,
) -> Result<(), ToolError> {
    let mut waiting = VecDeque::from([PathBuf::new()]);
    let mut walked = 0;
    while let Some(below) = waiting.pop_front() {
        let here = at.path.join(&below);
        let entries = match at.dir.read_dir(&here) {
            Ok(entries) => entries,
            Err(error) if below.as_os_str().is_empty() => return Err(ToolError::system("listing", &at.inside, &error)),
            // Gone meanwhile, or closed to us: the rest is still worth having.
            Err(_) => continue,
        };
        for entry in entries {
            let entry = entry.map_err(|error: io::Error| ToolError::system("listing", &here, &error))?;
            walked += 1;
            if walked > MAX_WALKED {
                let (what, limit) = ("the number of files to look at".to_owned(), MAX_WALKED.to_string());
                return Err(ToolError::TooMuch { what, limit, hint: "choose a path with less below it" });
            }
            let relative = below.join(entry.file_name());
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let met = Met { is_dir, meta: entry.metadata().ok() };
            if visit(&relative, &met)? && is_dir {
                waiting.push_back(relative);
            }
        }
    }
    Ok(())
}

/// A glob, matched against the name and the path; or a part of a name, in any case.
enum Pattern {
    Glob(GlobMatcher),
    Part(String),
}

impl Pattern {
    fn new(args: &Args, name: &'static str, text: &str) -> Result<Self, ToolError> {
        if text.is_empty() || text.len() > 1000 {
            return Err(args.invalid(name, "a pattern of 1 to 1000 bytes"));
        }
        if !text.contains(['*', '?', '[', '{']) {
            return Ok(Self::Part(text.to_lowercase()));
        }
        GlobBuilder::new(text)
            .literal_separator(true)
            .build()
            .map(|glob| Self::Glob(glob.compile_matcher()))
            .map_err(|error| args.invalid(name, format!("a glob pattern: {}", error.kind())))
    }

    fn matches(&self, relative: &Path) -> bool {
        let name = relative.file_name().unwrap_or_default();
        match self {
            Self::Glob(glob) => glob.is_match(relative) || glob.is_match(name),
            Self::Part(part) => name.to_string_lossy().to_lowercase().contains(part),
        }
    }
}
