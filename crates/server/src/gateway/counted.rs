//! An answer of the upstream's that is counted while it comes.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use agb_client::Error;

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
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self { charge: Mutex::new(budget.nothing()), refused: OnceLock::new() }
    }

    /// There will be so many bytes of it.
    pub(super) fn room(&self, bytes: usize) -> Result<(), String> {
        lock(&self.charge).resize(bytes).map_err(|over| {
            let _ = self.refused.set(over);
            over.to_string()
        })
    }

    /// What is counted of an answer that has come.
    pub(super) fn into_charge(self) -> Charge {
        self.charge.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it has not come.
    pub(super) fn problem(&self, error: Error) -> UpstreamError {
        self.refused.get().map_or(UpstreamError::Client(error), |over| UpstreamError::OverBudget(*over))
    }
}
