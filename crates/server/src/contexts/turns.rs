//! Turns of calls that work on files, fair by who calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;

/// Turns that several share. Each has half of them at most, and no more calls than that stand in the line of all: who makes
/// many waits behind himself.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    of_one: usize,
    own: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// Held as long as somebody works.
#[derive(Debug)]
pub(crate) struct Turn {
    _held: [OwnedSemaphorePermit; 2],
}

impl Turns {
    pub(super) fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(most)), of_one: (most / 2).max(1), own: Mutex::default() }
    }

    /// The next turn of `whose`.
    pub(super) async fn of(&self, whose: &str) -> Turn {
        const OPEN: &str = "the semaphore is never closed";
        let own = self.own(whose).acquire_owned().await.expect(OPEN);
        Turn { _held: [own, Arc::clone(&self.all).acquire_owned().await.expect(OPEN)] }
    }

    fn own(&self, whose: &str) -> Arc<Semaphore> {
        let mut all = lock(&self.own);
        if let Some(own) = all.get(whose).and_then(Weak::upgrade) {
            return own;
        }
        all.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.of_one));
        all.insert(whose.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_calls_often_leaves_turns_to_others() {
        let turns = Turns::new(4);
        let mut held: Vec<_> = std::iter::from_fn(|| turns.of("one").now_or_never()).take(100).collect();
        assert_eq!(held.len(), 2);
        held.extend(std::iter::from_fn(|| turns.of("other").now_or_never()).take(100));
        assert_eq!(held.len(), 4, "half is left");
        assert!(turns.of("third").now_or_never().is_none(), "there is none now");
        drop(held.split_off(3));
        held.push(turns.of("third").now_or_never().expect("others do not stand before it"));
        drop(held);
        drop(turns.of("one").now_or_never().expect("all are free"));
        turns.own("a new one");
        assert_eq!(lock(&turns.own).len(), 1, "nobody else is remembered");
        assert!(Turns::new(0).of("one").now_or_never().is_some(), "one at least");
    }
}
