//! What a watch has to tell: coalesced, bounded, and kept until it has arrived.

use std::collections::HashMap;
use std::sync::Arc;

use super::WatchError;

/// Changes that wait to be told. A client reads thousands at once; more means that it looks at the files itself sooner than
/// it reads them all.
const MAX_CHANGES: usize = 4096;
/// And what their paths may take, in bytes: 256 a change.
const MAX_BYTES: usize = 1 << 20;

/// What happened to one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: &'static str,
    pub(crate) path: String,
    pub(crate) is_dir: bool,
}

/// What is told at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The number of these news.
    pub(crate) after: u64,
    pub(crate) changes: Vec<Change>,
    /// Why nothing comes any more.
    pub(crate) ended: Option<String>,
}

impl Told {
    /// What JSON makes of it at most, bytes: it writes some as six, and some words around each change.
    pub(crate) fn most_json(&self) -> usize {
        self.changes.iter().map(|change| 6 * change.path.len() + 80).sum()
    }
}

/// What a watch has told last, and what it has to tell.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What is watched: an overflow is told of it, whichever path was too much.
    root: String,
    last: Arc<Told>,
    waiting: Vec<Change>,
    /// Where a path's last change is in `waiting`.
    by_path: HashMap<String, usize>,
    bytes: usize,
    has_overflown: bool,
    ended: Option<String>,
}

impl News {
    pub(super) fn of(root: String) -> Self {
        Self { root, ..Self::default() }
    }

    /// Something has happened.
    pub(super) fn push(&mut self, kind: &'static str, path: String, is_dir: bool) {
        if self.has_overflown {
            return;
        }
        let last = self.by_path.get(&path).map(|at| self.waiting[*at].kind);
        let is_told = match last {
            // Whoever hears of a new file looks into it.
            Some("create") => matches!(kind, "create" | "modify"),
            Some(last) => last == kind,
            None => false,
        };
        if is_told {
            return;
        }
        self.bytes += path.len();
        if self.waiting.len() == MAX_CHANGES || self.bytes > MAX_BYTES {
            return self.overflow();
        }
        self.by_path.insert(path.clone(), self.waiting.len());
        self.waiting.push(Change { kind, path, is_dir });
    }

    /// Changes were lost, or are too many to be told; everything before and after them goes with them.
    pub(super) fn overflow(&mut self) {
        self.waiting = vec![Change { kind: "overflow", path: self.root.clone(), is_dir: true }];
        self.by_path = HashMap::new();
        self.has_overflown = true;
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self, why: String) {
        self.ended.get_or_insert(why);
    }

    /// What comes behind the news `after`, and whether it is told for the first time. `None`: there is nothing.
    pub(super) fn take(&mut self, after: u64) -> Result<(Option<Arc<Told>>, bool), WatchError> {
        if after.checked_add(1) == Some(self.last.after) {
            return Ok((Some(Arc::clone(&self.last)), false)); // its answer was lost
        }
        if after != self.last.after {
            return Err(WatchError::Position { told: self.last.after, asked: after });
        }
        if self.waiting.is_empty() && self.ended.is_none() {
            return Ok((None, false));
        }
        let changes = std::mem::take(&mut self.waiting);
        self.last = Arc::new(Told { after: after + 1, changes, ended: self.ended.clone() });
        (self.by_path, self.bytes, self.has_overflown) = (HashMap::new(), 0, false);
        Ok((Some(Arc::clone(&self.last)), true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(told: &Told) -> Vec<(&'static str, &str)> {
        told.changes.iter().map(|change| (change.kind, change.path.as_str())).collect()
    }

    #[test]
    fn changes_are_coalesced_and_told_until_they_have_arrived() {
        let mut news = News::default();
        assert_eq!(news.take(0), Ok((None, false)));
        for kind in ["create", "modify", "modify", "delete", "create", "modify"] {
            news.push(kind, "a".to_owned(), false);
        }
        news.push("modify", "b".to_owned(), false);
        news.push("modify", "b".to_owned(), false);
        let (told, is_new) = news.take(0).expect("it is where it should be");
        let told = told.expect("news");
        assert_eq!(kinds(&told), [("create", "a"), ("delete", "a"), ("create", "a"), ("modify", "b")]);
        assert!(is_new && told.after == 1);
        assert_eq!(news.take(0), Ok((Some(told), false)), "its answer was lost");
        assert_eq!(news.take(1), Ok((None, false)));
        assert_eq!(news.take(2), Err(WatchError::Position { told: 1, asked: 2 }));
        news.end("gone".to_owned());
        let (told, _) = news.take(1).expect("it is where it should be");
        assert_eq!(told.expect("news").ended.as_deref(), Some("gone"));
    }

    #[test]
    fn too_many_changes_are_one_overflow() {
        let mut news = News::of("root".to_owned());
        for at in 0..100_000 {
            news.push("create", format!("file-{at}"), false);
        }
        let (told, _) = news.take(0).expect("it is where it should be");
        assert_eq!(kinds(&told.expect("news")), [("overflow", "root")]);
        news.push("create", "later".to_owned(), false);
        let (told, _) = news.take(1).expect("it is where it should be");
        assert_eq!(kinds(&told.expect("news")), [("create", "later")]);
        for at in 0..20 {
            news.push("create", format!("{at}{}", "x".repeat(100_000)), false);
        }
        let (told, _) = news.take(2).expect("it is where it should be");
        assert_eq!(kinds(&told.expect("news")), [("overflow", "root")]);
    }
}
