//! An answer of the upstream's that is counted while it comes, and while it is read.

use std::sync::{Arc, Mutex, OnceLock};

use agb_client::{Error, SharedRoom};

use super::UpstreamError;
use crate::budget::{Budget, Charge, OverBudget};
use crate::lock::lock;

/// Counts an answer while it comes, and refuses the part that there is no room for.
#[derive(Debug)]
pub(super) struct Counted {
    charge: Mutex<Charge>,
    refused: OnceLock<OverBudget>,
}

impl Counted {
    pub(super) fn new(budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { charge: Mutex::new(budget.nothing()), refused: OnceLock::new() })
    }

    /// For whoever asks from elsewhere.
    pub(super) fn shared(self: &Arc<Self>) -> SharedRoom {
        let counted = Arc::clone(self);
        Arc::new(move |bytes| counted.room(bytes))
    }

    /// There will be so many bytes of it.
    pub(super) fn room(&self, bytes: usize) -> Result<(), String> {
        lock(&self.charge).resize(bytes).map_err(|over| {
            let _ = self.refused.set(over);
            over.to_string()
        })
    }

    /// What is counted of an answer that has come.
    pub(super) fn charge(&self) -> Charge {
        let mut charge = lock(&self.charge);
        let nothing = charge.another();
        std::mem::replace(&mut charge, nothing)
    }

    /// Why it has not come.
    pub(super) fn problem(&self, error: Error) -> UpstreamError {
        self.refused.get().map_or(UpstreamError::Client(error), |over| UpstreamError::OverBudget(*over))
    }
}
