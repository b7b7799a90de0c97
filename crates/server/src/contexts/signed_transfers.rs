//! Uploads and downloads over signed URLs: how many of one context go on at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::ContextError;
use crate::lock::lock;

/// What goes on over signed URLs.
#[derive(Debug)]
pub(super) struct SignedTransfers {
    most: usize,
    /// By the context's id; only those that have some.
    going: Mutex<HashMap<String, usize>>,
}

/// An upload or download that goes on. It counts until it is dropped.
#[derive(Debug)]
pub(crate) struct SignedTransfer {
    all: Arc<SignedTransfers>,
    context: String,
}

impl SignedTransfers {
    /// With so many of one context at once.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, going: Mutex::default() })
    }

    pub(super) fn begin(self: &Arc<Self>, context: &str) -> Result<SignedTransfer, ContextError> {
        // Each change under the lock is a single step.
        let mut going = lock(&self.going);
        let count = going.get(context).copied().unwrap_or(0);
        if count >= self.most {
            return Err(ContextError::TooManyTransfers { limit: self.most });
        }
        going.insert(context.to_owned(), count + 1);
        Ok(SignedTransfer { all: Arc::clone(self), context: context.to_owned() })
    }
}

impl Drop for SignedTransfer {
    fn drop(&mut self) {
        let mut going = lock(&self.all.going);
        match going.get_mut(&self.context) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(going.remove(&self.context)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_context_has_its_own() {
        let transfers = SignedTransfers::new(2);
        let first = transfers.begin("a").expect("the first");
        let second = transfers.begin("a").expect("the second");
        assert_eq!(transfers.begin("a").err(), Some(ContextError::TooManyTransfers { limit: 2 }));
        let other = transfers.begin("b").expect("another context");
        drop(first);
        let third = transfers.begin("a").expect("one has gone");
        assert!(transfers.begin("a").is_err());
        drop((second, third, other));
        assert!(lock(&transfers.going).is_empty(), "nothing is kept of what has gone");
    }
}
