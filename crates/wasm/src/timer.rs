//! The one deadline of a driver.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use agb_core::Instant;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};

use crate::host;

/// The page's monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::since_origin(Duration::from_micros((host::performance_now() * 1e3) as u64))
}

/// One `setTimeout` at most. It is armed anew only for an earlier deadline: each frame puts the deadline of silence
/// off a little, and a timer that fires too early only has to look.
pub(crate) struct Timer {
    task: Closure<dyn Fn()>,
    armed: RefCell<JsValue>,
    at: Cell<Option<Instant>>,
}

impl Timer {
    /// The longest delay that `setTimeout` takes; a larger one would fire at once.
    const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

    /// `task` is called when a deadline has come, or is about to.
    pub(crate) fn new(task: impl Fn() + 'static) -> Self {
        Self { task: Closure::new(task), armed: RefCell::new(JsValue::UNDEFINED), at: Cell::new(None) }
    }

    /// Fires at the latest at `deadline`.
    pub(crate) fn set(&self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if self.at.get().is_some_and(|at| at <= deadline) {
            return;
        }
        host::clear_timeout(&self.armed.borrow());
        let delay = (deadline - now()).min(Self::LONGEST);
        // Browsers round a delay down; one millisecond more, and it has really come.
        let milliseconds = delay.as_secs_f64() * 1e3 + 1.0;
        self.at.set(Some(deadline));
        *self.armed.borrow_mut() = host::set_timeout(self.task.as_ref().unchecked_ref(), milliseconds);
    }

    /// To be called first thing by the task.
    pub(crate) fn fired(&self) {
        self.at.set(None);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        host::clear_timeout(&self.armed.borrow());
    }
}
