//! Bytes that several clients are sent, counted once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, Weak};

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{Budget, Charge, OverBudget};
use crate::lock::lock;

/// The charges of texts that several may hold, by where a text lies.
#[derive(Debug, Default)]
pub(super) struct SharedTexts(Mutex<Charges>);

type Charges = HashMap<(usize, usize), Weak<Charge>>;

/// A text that counts, once, until the last of those who hold it lets go of it.
#[derive(Debug)]
pub(crate) struct HeldText {
    // Dropped before the text: while a charge is there, nothing else lies where its text does.
    _charge: Arc<Charge>,
    text: Utf8Bytes,
    _receipt: Option<Receipt>,
}

/// Tells whether somebody holds texts that were given with it. Clones are of the same texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipt(Arc<()>);

impl Receipt {
    /// Whether a text that was given with this one is still held.
    pub(crate) fn is_out(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl HeldText {
    /// The same, given with this receipt.
    pub(crate) fn with(self, receipt: &Receipt) -> Self {
        Self { _receipt: Some(receipt.clone()), ..self }
    }
}

impl AsRef<[u8]> for HeldText {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Budget {
    /// Counts a text that is there already, whether there is room or not.
    pub(crate) fn hold_text(self: &Arc<Self>, text: &Utf8Bytes) -> HeldText {
        let Ok(held) = self.share_text(text, |_| Ok::<_, Infallible>(self.held(text)));
        held
    }

    /// Counts a text if there is room for it, or no other one is held.
    pub(crate) fn try_hold_text(self: &Arc<Self>, text: &Utf8Bytes) -> Result<HeldText, OverBudget> {
        self.share_text(text, |texts| if texts.is_empty() { Ok(self.held(text)) } else { self.charge(text.len()) })
    }

    /// Whether that would be so for one of so many bytes.
    pub(crate) fn has_room_for_text(&self, bytes: usize) -> bool {
        let mut texts = lock(&self.texts.0);
        forget_others(&mut texts);
        texts.is_empty() || self.has_room(bytes)
    }

    fn held(self: &Arc<Self>, text: &Utf8Bytes) -> Charge {
        let mut charge = self.nothing();
        charge.hold(text.len());
        charge
    }

    fn share_text<E>(
        &self,
        text: &Utf8Bytes,
        count: impl FnOnce(&Charges) -> Result<Charge, E>,
    ) -> Result<HeldText, E> {
        let place = (text.as_str().as_ptr().addr(), text.len());
        let mut texts = lock(&self.texts.0);
        let known = texts.get(&place).and_then(Weak::upgrade);
        let charge = match known {
            Some(charge) => charge,
            None => {
                forget_others(&mut texts);
                let charge = Arc::new(count(&texts)?);
                texts.insert(place, Arc::downgrade(&charge));
                charge
            }
        };
        Ok(HeldText { _charge: charge, text: text.clone(), _receipt: None })
    }
}

/// As many are held as there are clients at most: what nobody holds any more goes when something new comes.
fn forget_others(texts: &mut Charges) {
    texts.retain(|_, charge| charge.strong_count() > 0);
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

    #[test]
    fn one_text_is_always_held_and_others_where_there_is_room() {
        let session = Budget::new(100);
        let budget = Budget::within(&session, 30);
        let [large, small, other] = [50, 20, 20].map(|length| Utf8Bytes::from("x".repeat(length)));
        let first = budget.try_hold_text(&large).expect("there is no other");
        assert!(budget.try_hold_text(&large).is_ok(), "it is the same");
        assert!(budget.try_hold_text(&small).is_err() && !budget.has_room_for_text(1));
        drop(first);
        assert!(budget.has_room_for_text(1000), "there is none");
        let second = budget.try_hold_text(&small).expect("there is no other");
        assert!(budget.has_room_for_text(10) && !budget.has_room_for_text(11));
        assert!(budget.try_hold_text(&other).is_err());
        let theirs = session.charge(75).expect("there is room");
        assert!(!budget.has_room_for_text(10), "the session has none");
        drop((second, theirs));
        assert!(budget.try_hold_text(&other).is_ok());
        assert_eq!((budget.used(), session.used()), (0, 0));
    }
}
