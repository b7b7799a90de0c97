//! `search_files`: by name or glob pattern.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use globset::GlobBuilder;
use regex_automata::meta::{BuildError, Regex};
use regex_automata::util::syntax;

use super::args::Args;
use super::error::ToolError;
use super::read_files::{LINES, one_line};
use crate::budget::Charge;
use crate::folder_stack::FolderStack;
use crate::workspace::{LastLink, Located, Workspace};

/// More are not looked at by anybody.
const MAX_MATCHES: usize = 10_000;
/// Each is compiled, and compared with each file.
const MAX_EXCLUDED: usize = 200;
/// What comparing names with patterns may take in all.
///
/// 30 s: a hundred patterns of usual length take two for as many names as are looked at.
const MAX_COMPARING: Duration = Duration::from_secs(30);
/// What a glob that is compiled takes at most. 256 KiB: one of 1,000 bytes takes a third of that.
const MAX_COMPILED: usize = 256 << 10;
/// What is remembered of a glob while names are compared with it. What needs more is compared more slowly.
const MAX_REMEMBERED: usize = 256 << 10;
/// Entries to walk through: some seconds.
pub(super) const MAX_WALKED: usize = 200_000;

pub(super) fn search_files(workspace: &Workspace, args: &Args, memory: &mut Charge) -> Result<String, ToolError> {
    let given = args.text("path")?;
    let at = workspace.folder().reach(given, LastLink::Followed)?;
    let pattern = Pattern::new(args, "pattern", args.text("pattern")?, memory)?;
    let excluded = args.texts("excludePatterns")?;
    if excluded.len() > MAX_EXCLUDED {
        let (what, limit) = ("the number of excludePatterns".to_owned(), MAX_EXCLUDED.to_string());
        return Err(ToolError::TooMuch { what, limit, hint: "join some of them, as in *.{log,tmp}" });
    }
    let excluded = excluded
        .iter()
        .map(|text| Pattern::new(args, "excludePatterns", text, memory))
        .collect::<Result<Vec<_>, _>>()?;
    let mut found = Vec::new();
    let mut comparing = Duration::ZERO;
    walk(&at, memory.another(), |relative, _| {
        let begin = Instant::now();
        let is_excluded = excluded.iter().any(|excluded| excluded.matches(relative));
        let is_match = !is_excluded && pattern.matches(relative);
        comparing += begin.elapsed();
        if comparing > MAX_COMPARING {
            let (what, limit) = ("comparing names".to_owned(), format!("{} s", MAX_COMPARING.as_secs()));
            return Err(ToolError::TooMuch { what, limit, hint: "choose shorter patterns or a narrower path" });
        }
        if is_excluded {
            return Ok(false);
        }
        if is_match {
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
/// go on below. `memory`: for the folders that are not visited yet.
pub(super) fn walk(
    at: &Located,
    mut memory: Charge,
    mut visit: impl FnMut(&Path, &Met) -> Result<bool, ToolError>,
) -> Result<(), ToolError> {
    let mut waiting = FolderStack::new(PathBuf::new());
    let mut walked = 0;
    while let Some(below) = waiting.pop() {
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
            let name = entry.file_name();
            let relative = below.join(&name);
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let met = Met { is_dir, meta: entry.metadata().ok() };
            if visit(&relative, &met)? && is_dir {
                waiting.push(&below, name);
                memory.resize(waiting.memory())?;
            }
        }
    }
    Ok(())
}

/// A glob, matched against the name and the path; or a part of a name, in any case.
enum Pattern {
    Glob(Regex),
    Part(String),
}

impl Pattern {
    /// `memory`: what it takes is counted there.
    fn new(args: &Args, name: &'static str, text: &str, memory: &mut Charge) -> Result<Self, ToolError> {
        if text.is_empty() || text.len() > 1000 {
            return Err(args.invalid(name, "a pattern of 1 to 1000 bytes"));
        }
        if !text.contains(['*', '?', '[', '{']) {
            return Ok(Self::Part(text.to_lowercase()));
        }
        memory.grow(MAX_COMPILED + MAX_REMEMBERED)?;
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        let glob = glob.map_err(|error| args.invalid(name, format!("a glob pattern: {}", error.kind())))?;
        let too_large = |_| args.invalid(name, "a glob pattern that takes less memory");
        compile(glob.regex()).map(Self::Glob).map_err(too_large)
    }

    fn matches(&self, relative: &Path) -> bool {
        let name = relative.file_name().unwrap_or_default();
        match self {
            Self::Glob(glob) => glob.is_match(relative.as_os_str().as_bytes()) || glob.is_match(name.as_bytes()),
            Self::Part(part) => name.to_string_lossy().to_lowercase().contains(part),
        }
    }
}

/// Compiles what a glob means. `globset` itself would let each take twenty megabytes.
fn compile(glob: &str) -> Result<Regex, Box<BuildError>> {
    let names = syntax::Config::new().utf8(false).dot_matches_new_line(true);
    // What remembers nothing takes the place of these two.
    let limits = Regex::config()
        .utf8_empty(false)
        .nfa_size_limit(Some(MAX_COMPILED))
        .hybrid_cache_capacity(MAX_REMEMBERED)
        .onepass(false)
        .backtrack(false);
    Regex::builder().syntax(names).configure(limits).build(glob).map_err(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a glob's meaning.
    fn meaning(glob: &str) -> String {
        GlobBuilder::new(glob).literal_separator(true).build().expect("a glob").regex().to_owned()
    }

    #[test]
    fn globs_mean_what_they_mean_elsewhere() {
        let names =
            ["a", "a.txt", "A.txt", "b/a.txt", "b/c/a.txt", "ab", "a\u{e9}b", "a\nb", "[x]", "{a", "a/b/c", "", "."];
        for glob in
            ["*", "*.txt", "**/*.txt", "a?b", "[!a]*", "{a,b}*", "b/**", "**", "a/*/c", "[[]x]", "*a*b*", "\\{a"]
        {
            let glob = GlobBuilder::new(glob).literal_separator(true).build().expect("a glob");
            let (theirs, ours) = (glob.compile_matcher(), compile(glob.regex()).expect("it is small"));
            for name in names {
                assert_eq!(ours.is_match(name), theirs.is_match(name), "{} {name:?}", glob.glob());
            }
        }
    }

    #[test]
    fn the_longest_globs_stay_small() {
        for part in ["?", "*", "[!a]", "[a-z0-9_]", "{a,b}", "**/", "\u{1F600}", "a"] {
            let glob = part.repeat(1000 / part.len());
            let compiled = compile(&meaning(&glob)).unwrap_or_else(|error| panic!("{part}: {error}"));
            assert!(compiled.memory_usage() <= MAX_COMPILED, "{part}: {}", compiled.memory_usage());
        }
        // Each name is another state of the automaton: what it remembers of them stays within its limit.
        let glob = compile(&meaning(&format!("*a{}", "?".repeat(900)))).expect("it is small");
        let mut cache = glob.create_cache();
        for seed in 0..2_000_u64 {
            let name: Vec<u8> =
                (0..250).map(|at| b'a' + (seed.wrapping_mul(at * at + 7) >> (at % 13) & 1) as u8).collect();
            glob.is_match_with(&mut cache, &regex_automata::Input::new(&name));
        }
        assert!(cache.memory_usage() < 2 * MAX_REMEMBERED, "{}", cache.memory_usage());
    }
}
