//! What became of the uploads that were completed last: an answer that was lost is given again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// How an upload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completed {
    pub(crate) size: u64,
    pub(crate) etag: String,
}

/// The uploads of a session that were completed last.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    /// By the path as programs see it, however it was written, and the id; the oldest first.
    completed: VecDeque<(PathBuf, String, Completed)>,
}

/// So many are kept. A client asks within seconds after the answer was lost: 256 are the uploads of a tenth of a second at
/// the fastest, of those that one client makes at once by far enough.
const KEPT: usize = 256;

impl Uploads {
    /// An upload has ended.
    pub(crate) fn complete(&mut self, path: PathBuf, id: String, done: Completed) {
        if self.completed.len() == KEPT {
            self.completed.pop_front();
        }
        self.completed.push_back((path, id, done));
    }

    /// How an upload ended, if it has.
    pub(crate) fn find(&self, path: &Path, id: &str) -> Option<Completed> {
        let mut newest = self.completed.iter().rev();
        newest.find(|(of, known, _)| known == id && of == path).map(|(.., done)| done.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_known() {
        let mut uploads = Uploads::default();
        let done = |size| Completed { size, etag: String::new() };
        for at in 0..=KEPT as u64 {
            uploads.complete("a".into(), at.to_string(), done(at));
        }
        assert_eq!((uploads.find(Path::new("a"), "0"), uploads.find(Path::new("a"), "1")), (None, Some(done(1))));
        assert_eq!(uploads.find(Path::new("b"), "1"), None);
        uploads.complete("a".into(), "1".to_owned(), done(7));
        assert_eq!(uploads.find(Path::new("a"), "1"), Some(done(7)));
    }
}
