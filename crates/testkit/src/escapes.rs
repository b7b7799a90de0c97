//! The list of what stops a program: tests of the sandbox keep what became of each attempt, and compare the whole with
//! the list that is checked in.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::leftovers;
use crate::profile::PrivilegeProfile;

/// Where the results of this process and those that it starts go, a line each.
const RESULTS: &str = "AGB_ESCAPES_RESULTS";

/// Set to write the list anew.
const UPDATE: &str = "AGB_UPDATE_ESCAPES";

/// The levels that isolate, strongest first.
const LEVELS: [&str; 3] = ["namespaces", "namespaces-root", "landlock"];

/// What is tried, and where it is listed.
#[derive(Debug)]
pub struct Escapes {
    /// The list's file.
    pub list: PathBuf,
    /// What stands above it.
    pub preface: &'static str,
    /// The attempts, in the list's order.
    pub attempts: Vec<String>,
}

/// The file of results that a process has made, until it is dropped.
#[derive(Debug)]
pub struct Results(Option<PathBuf>);

/// Has this process and those that it starts keep what became of the attempts. Call it before there are threads.
///
/// # Panics
/// When the temporary folder cannot be written.
#[must_use = "what is kept goes with it"]
pub fn begin() -> Results {
    let is_first = env::var_os(RESULTS).is_none();
    Results(is_first.then(|| {
        leftovers::of_the_dead(&env::temp_dir(), "agb-escapes").iter().for_each(|file| drop(fs::remove_file(file)));
        let path = env::temp_dir().join(format!("agb-escapes-{}", std::process::id()));
        File::create(&path).expect("the temporary folder can be written");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).expect("it is ours");
        // SAFETY: the caller has no threads that could read or change the environment.
        unsafe { env::set_var(RESULTS, &path) };
        path
    }))
}

impl Drop for Results {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // There is nothing to be done about it: the next run tries again.
            let _ = fs::remove_file(path);
        }
    }
}

/// Keeps what became of an attempt.
///
/// # Panics
/// Without [`begin`].
pub fn keep(level: &str, attempt: &str, answer: &str) {
    let profile = PrivilegeProfile::active().unwrap_or_else(PrivilegeProfile::of_this_process);
    let mut file = File::options().append(true).open(results()).expect("it was made by `begin`");
    let line = format!("{profile}\t{level}\t{attempt}\t{answer}\n");
    file.write_all(line.as_bytes()).expect("the temporary folder can be written");
}

fn results() -> PathBuf {
    env::var_os(RESULTS).expect("`begin` was called").into()
}

impl Escapes {
    /// Compares the list with what was kept, or writes it anew if `AGB_UPDATE_ESCAPES` is set. Errors' names may differ
    /// from one kernel to the next, the attempts may not: the list is read as what was tried. Unless `is_whole`, does
    /// nothing.
    ///
    /// # Panics
    /// When it is out of date.
    pub fn compare(&self, is_whole: bool) {
        if !is_whole {
            return;
        }
        let text = fs::read_to_string(results()).expect("it was made by `begin`");
        if env::var_os(UPDATE).is_some() {
            fs::write(&self.list, self.document(&text)).expect("the checkout can be written");
        }
        let listed = fs::read_to_string(&self.list).unwrap_or_default();
        let listed: Vec<&str> = rows(&listed).collect();
        let missing: Vec<_> = self.attempts.iter().filter(|attempt| !listed.contains(&attempt.as_str())).collect();
        let stale: Vec<_> = listed.iter().filter(|row| !self.attempts.iter().any(|attempt| attempt == *row)).collect();
        assert!(
            missing.is_empty() && stale.is_empty(),
            "{} is out of date: {missing:?} are not in it, and {stale:?} should not be; run this as root with {UPDATE}=1",
            self.list.display()
        );
    }

    fn document(&self, results: &str) -> String {
        let kept: Vec<[&str; 4]> =
            results.lines().filter_map(|line| line.split('\t').collect::<Vec<_>>().try_into().ok()).collect();
        let mut text =
            format!("# What stops a program\n\n{}\n\nThe server was, at these levels of isolation:\n\n", self.preface);
        for profile in PrivilegeProfile::ALL {
            let has = |level: &&str| kept.iter().any(|row| row[0] == profile.name() && row[1] == *level);
            let levels: Vec<&str> = LEVELS.into_iter().filter(has).collect();
            if !levels.is_empty() {
                text.push_str(&format!("* {profile}: {}\n", levels.join(", ")));
            }
        }
        text.push_str(
            "\nThe answer is the system's error, or what the program was told. Where there are several, servers \
             that are something else have them, in the order above.\n\n\
             | attempt to | namespaces | namespaces-root | landlock |\n| --- | --- | --- | --- |\n",
        );
        for attempt in &self.attempts {
            text.push_str(&format!("| {attempt}"));
            for level in LEVELS {
                let mut answers: Vec<&str> = Vec::new();
                for row in kept.iter().filter(|row| row[1] == level && row[2] == attempt) {
                    if !answers.contains(&row[3]) {
                        answers.push(row[3]);
                    }
                }
                text.push_str(&format!(" | {}", answers.join(", ")));
            }
            text.push_str(" |\n");
        }
        text
    }
}

/// The first column of the table.
fn rows(text: &str) -> impl Iterator<Item = &str> {
    let first = |line: &'_ str| -> Option<usize> { line.strip_prefix("| ")?.find(" | ") };
    text.lines()
        .filter_map(move |line| first(line).map(|end| &line[2..2 + end]))
        .filter(|row| !["attempt to", "---"].contains(row))
}

/// Where a crate keeps its list.
#[must_use]
pub fn list_in(crate_folder: &str) -> PathBuf {
    Path::new(crate_folder).join("ESCAPES.md")
}
