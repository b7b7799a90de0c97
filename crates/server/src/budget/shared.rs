//! Bytes that several clients are sent, counted once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{Budget, Charge};
use crate::lock::lock;

/// The charges of texts that several may hold, by where a text lies.
#[derive(Debug, Default)]
pub(super) struct SharedTexts(Mutex<HashMap<(usize, usize), Weak<Charge>>>);

/// A text that counts, once, until the last of those who hold it lets go of it.
#[derive(Debug)]
pub(crate) struct HeldText {
    // Dropped before the text: while a charge is there, nothing else lies where its text does.
    _charge: Arc<Charge>,
    _text: Utf8Bytes,
}

impl Budget {
    /// Counts a text that is there already, whether there is room or not.
    pub(crate) fn hold_text(self: &Arc<Self>, text: &Utf8Bytes) -> HeldText {
        let place = (text.as_str().as_ptr().addr(), text.len());
        let mut texts = lock(&self.texts.0);
        let charge = texts.get(&place).and_then(Weak::upgrade).unwrap_or_else(|| {
            // As many as there are clients at most: what nobody holds any more goes when something new comes.
            texts.retain(|_, charge| charge.strong_count() > 0);
            let mut charge = self.nothing();
            charge.hold(text.len());
            let charge = Arc::new(charge);
            texts.insert(place, Arc::downgrade(&charge));
            charge
        });
        HeldText { _charge: charge, _text: text.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_counts_once_until_nobody_holds_it() {
        let budget = Budget::new(100);
        let text = Utf8Bytes::from("x".repeat(1000));
        let same = Utf8Bytes::from("x".repeat(1000));
        let mut holders: Vec<_> = (0..5).map(|_| budget.hold_text(&text.clone())).collect();
        assert_eq!(budget.used(), 1000, "there is no room, and it is there");
        let other = budget.hold_text(&same);
        assert_eq!(budget.used(), 2000, "equal, and not the same");
        drop(text);
        holders.truncate(1);
        assert_eq!(budget.used(), 2000);
        drop((holders, other));
        assert_eq!(budget.used(), 0);
        drop(budget.hold_text(&same));
        drop(budget.hold_text(&Utf8Bytes::from("y".repeat(1000))));
        assert_eq!((budget.used(), lock(&budget.texts.0).len()), (0, 1), "no more is remembered");
    }
}
