//! Ends a client's connection from elsewhere, also while the client takes nothing of what is under way to it.
//!
//! What is under way is held by the library that writes it, or by HTTP's own queue: it goes with the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;

use futures_util::task::AtomicWaker;

/// Ends one connection. Clones end the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_cut: AtomicBool,
    /// Who waits to write.
    writer: AtomicWaker,
}

impl Cut {
    /// The write that waits, or the next one that has to, fails.
    pub(crate) fn cut(&self) {
        self.0.is_cut.store(true, Ordering::Release);
        self.0.writer.wake();
    }

    /// Whether a write that has to wait is to fail. If not, its task is woken when it is.
    pub(super) fn has_come(&self, context: &mut Context<'_>) -> bool {
        self.0.writer.register(context.waker());
        self.is_cut()
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.0.is_cut.load(Ordering::Acquire)
    }
}
