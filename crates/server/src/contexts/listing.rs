//! A page of a folder's entries. Only the names up to it are held, and they are counted.

use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::io::ErrorKind;

use super::context::{Context, Entry, entry, on_disk};
use super::{ContextError, ContextPath};
use crate::budget::{Charge, OverBudget};

/// A part of a folder's entries.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    /// How many the folder has in all.
    pub(crate) total: usize,
}

impl Context {
    /// The entries of a folder, by name; pages are counted from 1. A folder that does not exist is empty, since folders
    /// come and go with their files. The names that are held meanwhile are counted by `held`.
    pub(crate) fn list(
        &self,
        path: &ContextPath,
        page: usize,
        page_size: usize,
        held: &mut Charge,
    ) -> Result<Listing, ContextError> {
        let files = self.files()?;
        let found = match files.read_dir(on_disk(path)) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Listing::default()),
            Err(error) => return Err(ContextError::of_file("listing", &path.shown(), &error)),
        };
        let first = page.saturating_sub(1).saturating_mul(page_size);
        let mut names = FirstNames::new(first.saturating_add(page_size));
        for entry in found.flatten() {
            names.add(entry.file_name(), held)?;
        }
        let total = names.total;
        let paths = names.sorted().into_iter().skip(first).take(page_size).map(|name| path.as_path().join(name));
        // One that is gone meanwhile is left out.
        let entries = paths.filter_map(|path| Some(entry(&path, &files.symlink_metadata(&path).ok()?))).collect();
        Ok(Listing { entries, total })
    }
}

/// The first of many names, in order.
struct FirstNames {
    most: usize,
    /// The last of them is on top.
    names: BinaryHeap<OsString>,
    /// How many there were in all.
    total: usize,
    /// What the names take.
    bytes: usize,
}

impl FirstNames {
    /// What a name takes beside its bytes: a string, and an allocation of its own.
    const NAME: usize = 48;
    /// Memory is counted in steps of this, so that a name does not cost a look at what all others hold.
    const STEP: usize = 64 * 1024;

    fn new(most: usize) -> Self {
        Self { most, names: BinaryHeap::new(), total: 0, bytes: 0 }
    }

    fn add(&mut self, name: OsString, held: &mut Charge) -> Result<(), OverBudget> {
        self.total += 1;
        if self.names.len() >= self.most {
            if self.names.peek().is_none_or(|last| *last <= name) {
                return Ok(());
            }
            self.bytes -= self.names.pop().map_or(0, |last| last.len() + Self::NAME);
        }
        self.bytes += name.len() + Self::NAME;
        self.names.push(name);
        if self.bytes > held.bytes() {
            held.resize(self.bytes.next_multiple_of(Self::STEP))?;
        }
        Ok(())
    }

    fn sorted(self) -> Vec<OsString> {
        self.names.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    /// Names of 208 bytes, which come in no order.
    fn names() -> impl Iterator<Item = OsString> {
        (0..10_000_u64).map(|at| format!("{:08}{}", at * 7919 % 10_000, "x".repeat(200)).into())
    }

    fn first(most: usize, held: &mut Charge) -> Result<FirstNames, OverBudget> {
        let mut first = FirstNames::new(most);
        names().try_for_each(|name| first.add(name, held))?;
        Ok(first)
    }

    #[test]
    fn the_first_names_are_found_and_no_others_are_held() {
        let mut held = Budget::new(64 * 1024).nothing();
        let mut sorted: Vec<_> = names().collect();
        sorted.sort();
        for most in [0, 1, 50, 200] {
            let first = first(most, &mut held).expect("there is room for these");
            assert_eq!(first.total, 10_000);
            assert_eq!(first.bytes, most * (208 + FirstNames::NAME));
            assert_eq!(first.sorted(), sorted[..most]);
        }
    }

    #[test]
    fn the_names_before_a_late_page_are_counted() {
        let budget = Budget::new(1 << 20);
        let mut held = budget.nothing();
        assert!(first(10_000, &mut held).is_err(), "2.5 MB are more than there is room for");
        drop(held);
        let mut held = budget.nothing();
        first(4000, &mut held).map(drop).expect("there is room for these");
        assert!(budget.charge(64 * 1024).is_err(), "they hold nearly all of it");
    }
}
