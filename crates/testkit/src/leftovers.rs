//! Finds what test runs have left in a folder because they were killed.

use std::fs;
use std::path::{Path, PathBuf};

/// Entries of a folder that are called `PREFIX-PID` or `PREFIX-PID-MORE`, of processes that have ended.
///
/// A test names its folders after itself in this way and removes them when it ends; one that was killed could not. The
/// next run of it removes what it finds here.
#[must_use]
pub fn of_the_dead(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let is_left = |name: &str| {
        let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
        let pid = rest.and_then(|rest| rest.split(['-', '.']).next()?.parse::<u32>().ok());
        pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_left))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_dead_have_left_is_found() {
        let own = std::process::id();
        let folder = std::env::temp_dir().join(format!("agb-leftovers-{own}"));
        fs::create_dir(&folder).expect("the temporary folder can be written");
        // Greater than any process's number.
        let left = ["it-4194305", "it-4194305-2", "it-4194305-2.contexts"];
        let others = [&format!("it-{own}-1"), "it-4194305x", "it", "it-", "its-4194305"];
        for name in left.iter().chain(&others) {
            fs::create_dir(folder.join(name)).expect("it is ours");
        }
        let mut found = of_the_dead(&folder, "it");
        found.sort();
        fs::remove_dir_all(&folder).expect("it is ours");
        assert_eq!(found, left.map(|name| folder.join(name)));
    }
}
