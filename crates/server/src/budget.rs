//! Bytes that are held for clients: of a session, and of the server as a whole.
//!
//! Requests that are being read, messages that are not finished and answers that are not taken draw from the budget of
//! their session, and each session's from the server's. Who would take more is refused, and nobody else notices. What runs
//! have said and nobody has taken is counted, too: it is there already, so it is never refused, and a run whose budget is
//! short keeps as little as it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_tungstenite::tungstenite::Utf8Bytes;

mod shared;

pub(crate) use self::shared::{HeldText, Receipt};

/// How many bytes may be held at once.
#[derive(Debug)]
pub(crate) struct Budget {
    most: usize,
    used: AtomicUsize,
    /// Of whose bytes these are a part.
    whole: Option<Arc<Budget>>,
    texts: shared::SharedTexts,
    /// Who finds no room, and goes on all the same.
    without_room: Arc<Semaphore>,
    /// Whose long text is worked on.
    long_texts: Arc<Semaphore>,
}

/// An answer or a message of so many bytes is a few of the system's pages, or is gone at once. 16 KiB.
pub(crate) const SMALL: usize = 16 * 1024;

/// Bytes of a budget, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

/// More bytes would be held than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the requests and answers under way would take more than {most} bytes: take the answers, wait for a call to end, and \
     try again (--session-buffers, --buffers)"
)]
pub(crate) struct OverBudget {
    most: usize,
}

impl OverBudget {
    /// How many there may be.
    pub(crate) fn most(self) -> usize {
        self.most
    }
}

impl Budget {
    /// That of a server.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Self::part(None, most)
    }

    /// A part of another one.
    pub(crate) fn within(whole: &Arc<Self>, most: usize) -> Arc<Self> {
        Self::part(Some(Arc::clone(whole)), most)
    }

    fn part(whole: Option<Arc<Self>>, most: usize) -> Arc<Self> {
        let (texts, used) = (shared::SharedTexts::default(), AtomicUsize::new(0));
        let [without_room, long_texts] = [(); 2].map(|()| Arc::new(Semaphore::new(1)));
        Arc::new(Self { most, used, whole, texts, without_room, long_texts })
    }

    /// A charge of nothing yet.
    pub(crate) fn nothing(self: &Arc<Self>) -> Charge {
        Charge { budget: Arc::clone(self), bytes: 0 }
    }

    /// Takes bytes.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Result<Charge, OverBudget> {
        self.take(bytes)?;
        Ok(Charge { budget: Arc::clone(self), bytes })
    }

    /// The turn of a long text of those whose budget this is, one at a time, to be held by the work itself.
    pub(crate) async fn long_text(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.long_texts).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// How many bytes are held.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> Result<(), OverBudget> {
        if bytes == 0 {
            return Ok(());
        }
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.most);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map_err(|_| OverBudget { most: self.most })?;
        let whole = self.whole.as_ref().map_or(Ok(()), |whole| whole.take(bytes));
        whole.inspect_err(|_| {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        })
    }

    fn has_room(&self, bytes: usize) -> bool {
        let used = self.used.load(Ordering::Relaxed);
        used.checked_add(bytes).is_some_and(|sum| sum <= self.most)
            && self.whole.as_ref().is_none_or(|whole| whole.has_room(bytes))
    }

    fn take_anyway(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.take_anyway(bytes);
        }
    }

    fn is_short(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.most || self.whole.as_ref().is_some_and(|whole| whole.is_short())
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
    }
}

impl Charge {
    /// How many bytes it is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Of what it is a part.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// A charge of nothing yet, of the same budget.
    pub(crate) fn another(&self) -> Self {
        self.budget.nothing()
    }

    /// Takes more, or gives some back. When it is refused, everything stays as it was.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), OverBudget> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.budget.take(more)?,
            None => self.budget.give_back(self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Counts what is there already, whether there is room or not. Who asks next is refused where there was none.
    pub(crate) fn hold(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(0) => return,
            Some(more) => self.budget.take_anyway(more),
            None => self.budget.give_back(self.bytes - bytes),
        }
        self.bytes = bytes;
    }

    /// Counts a text that is there already, whether there is room or not.
    pub(crate) fn hold_text(&self, text: &Utf8Bytes) -> HeldText {
        self.budget.hold_text(text)
    }

    /// Counts it if there is room. One text is always held.
    pub(crate) fn try_hold_text(&self, text: &Utf8Bytes) -> Result<HeldText, OverBudget> {
        self.budget.try_hold_text(text)
    }

    /// Whether there is room for a text of so many bytes.
    pub(crate) fn has_room_for_text(&self, bytes: usize) -> bool {
        self.budget.has_room_for_text(bytes)
    }

    /// Whether there is no room for anything more.
    pub(crate) fn is_short(&self) -> bool {
        self.budget.is_short()
    }

    /// Waits for the turn of those who find no room and go on all the same: of one budget, one at a time.
    pub(crate) fn turn_without_room(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send + use<> {
        let turns = Arc::clone(&self.budget.without_room);
        async move { turns.acquire_owned().await.ok() }
    }

    /// Adds to a text that may have `most` bytes at most, and takes what it needs for that. When it is refused, the text
    /// stays as it was.
    pub(crate) fn push_str(&mut self, text: &mut String, more: &str, most: usize) -> Result<(), OverBudget> {
        let (needed, has) = (text.len() + more.len(), text.capacity());
        if needed > has {
            // By doubling, as texts grow by themselves, but not beyond what it may ever have.
            let capacity = needed.max(most.min(2 * has));
            self.grow_past_small(capacity - has)?;
            text.reserve_exact(capacity - text.len());
        }
        text.push_str(more);
        Ok(())
    }

    /// Takes so many more for an answer or a message that is coming together. A small one is always to be had, and counts.
    pub(crate) fn grow_past_small(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let all = self.bytes.saturating_add(bytes);
        if all > SMALL {
            return self.resize(all);
        }
        self.hold(all);
        Ok(())
    }

    /// Takes so many more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.resize(self.bytes.saturating_add(bytes))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(budget: &Budget) -> usize {
        budget.used()
    }

    #[test]
    fn a_part_is_bounded_by_itself_and_by_the_whole() {
        let server = Budget::new(100);
        let (one, other) = (Budget::within(&server, 60), Budget::within(&server, 60));
        let mut first = one.charge(50).expect("it fits");
        assert_eq!(one.charge(11).err(), Some(OverBudget { most: 60 }));
        let second = other.charge(50).expect("it fits");
        assert_eq!(other.charge(1).err(), Some(OverBudget { most: 100 }));
        assert_eq!((used(&one), used(&other), used(&server)), (50, 50, 100));
        assert_eq!(first.grow(usize::MAX).err(), Some(OverBudget { most: 60 }));
        first.resize(10).expect("it is less");
        assert_eq!((used(&one), used(&server)), (10, 60));
        drop(second);
        first.grow(50).expect("there is room again");
        drop(first);
        assert_eq!((used(&one), used(&other), used(&server)), (0, 0, 0));
    }

    #[test]
    fn a_text_grows_as_far_as_there_is_room() {
        let budget = Budget::new(100_000);
        let (mut charge, mut text) = (budget.nothing(), String::new());
        for _ in 0..80 {
            charge.push_str(&mut text, &"x".repeat(1000), 90_000).expect("there is room");
            assert!(text.capacity() <= charge.bytes() && charge.bytes() <= 90_000, "{charge:?}");
        }
        assert!(charge.push_str(&mut text, &"y".repeat(20_001), usize::MAX).is_err());
        assert_eq!((text.len(), used(&budget)), (80_000, charge.bytes()));
        charge.push_str(&mut text, &"y".repeat(20_000), 90_000).expect("it fits exactly");
        assert_eq!(used(&budget), 100_000);
        let mut small = budget.nothing();
        small.push_str(&mut String::new(), "a small answer", 90_000).expect("it is always to be had");
        assert!(used(&budget) > 100_000 && budget.charge(1).is_err(), "it counts");
    }

    #[test]
    fn what_is_there_already_counts_whether_there_is_room_or_not() {
        let server = Budget::new(100);
        let (one, other) = (Budget::within(&server, 60), Budget::within(&server, 60));
        let (mut held, mut others) = (one.nothing(), other.nothing());
        held.hold(59);
        assert!(!held.is_short());
        held.hold(100);
        assert!(held.is_short() && others.is_short(), "the server has no room either");
        assert!(one.charge(1).is_err() && other.charge(1).is_err());
        others.resize(0).expect("nothing is always to be had");
        held.hold(60);
        assert!(held.is_short() && !others.is_short());
        other.charge(40).expect("there is room");
        drop(held);
        assert_eq!((used(&one), used(&server)), (0, 0));
    }
}
