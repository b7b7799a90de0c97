//! What of a tree could not be copied, while everything else was.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::contexts::ContextError;

/// How many are named, beside their number.
///
/// 10: enough to see what is wrong with them; the message stays short enough for a log.
const NAMED: usize = 10;
/// Letters of a name that are shown.
const LETTERS: usize = 200;
/// Folders that are remembered because nobody could look into them. Where there are more, anything may be anywhere.
///
/// 100: each is compared with each file that the session had.
const UNSEEN: usize = 100;

/// What of a tree could not be copied, while everything else was.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    count: usize,
    named: Vec<String>,
    /// Nobody knows what is below these.
    unseen: Vec<PathBuf>,
    /// Nor where else.
    has_more_unseen: bool,
}

impl LeftOut {
    /// A file is left out, or a folder with all that is in it.
    pub(super) fn note(&mut self, path: &Path, problem: &dyn Display) {
        self.count += 1;
        if self.named.len() < NAMED {
            let shown: String = path.to_string_lossy().escape_debug().take(LETTERS).collect();
            self.named.push(format!("{shown}: {problem}"));
        }
    }

    /// A folder could not be looked into.
    pub(super) fn note_folder(&mut self, path: &Path, problem: &dyn Display) {
        self.note(path, problem);
        if self.unseen.len() < UNSEEN {
            self.unseen.push(path.to_path_buf());
        } else {
            self.has_more_unseen = true;
        }
    }

    /// Whether a path might be there, although it was not seen.
    pub(super) fn may_have(&self, path: &Path) -> bool {
        self.has_more_unseen || self.unseen.iter().any(|folder| path.starts_with(folder))
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn result(self) -> Result<(), ContextError> {
        let mut named = self.named.join("; ");
        match self.count.checked_sub(self.named.len()) {
            _ if self.count == 0 => return Ok(()),
            Some(more @ 1..) => named.push_str(&format!("; and {more} more")),
            _ => {}
        }
        Err(ContextError::LeftOut { count: self.count, named })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_named_and_all_are_counted() {
        LeftOut::default().result().expect("nothing is left out");
        let mut left = LeftOut::default();
        (0..12).for_each(|at| left.note(Path::new(&format!("a\n{at}")), &"too deep"));
        left.note_folder(Path::new("closed"), &"no rights");
        assert!(left.may_have(Path::new("closed/x")) && !left.may_have(Path::new("closedx")));
        let text = left.result().expect_err("some are left out").to_string();
        assert!(
            text.starts_with("13 files") && text.contains("a\\n0: too deep; a\\n1: ") && text.ends_with("; and 3 more"),
            "{text}"
        );
    }

    #[test]
    fn where_many_folders_were_not_seen_anything_may_be() {
        let mut left = LeftOut::default();
        (0..UNSEEN).for_each(|at| left.note_folder(Path::new(&format!("closed{at}")), &"no rights"));
        assert!(left.may_have(Path::new("closed7/x")) && !left.may_have(Path::new("open/x")));
        left.note_folder(Path::new("one more"), &"no rights");
        assert!(left.may_have(Path::new("open/x")) && left.unseen.len() == UNSEEN);
    }
}
