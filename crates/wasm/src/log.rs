//! What a run has printed, kept for its result on the browser's side.

use agb_core::Stream;
use agb_core::result::LogBudget;
use js_sys::{Array, JsString};

use crate::host;

/// The kinds of a mark's two low bits; see `binding.ts`.
pub(crate) const STDOUT: u32 = 0;
pub(crate) const STDERR: u32 = 1;
pub(crate) const EVENT: u32 = 2;

/// A run's chunks in order, up to a limit per stream, in UTF-16 units: that is what a browser's strings are counted in.
#[derive(Debug)]
pub(crate) struct Log {
    /// Whole batches where they fit, else pieces of them.
    texts: Array,
    marks: Vec<u32>,
    budget: LogBudget,
}

impl Log {
    pub(crate) fn new(limit: usize) -> Self {
        Self { texts: Array::new(), marks: Vec::new(), budget: LogBudget::new(limit) }
    }

    /// Keeps a batch as far as the limit allows.
    pub(crate) fn keep(&mut self, text: &JsString, marks: &[u32]) {
        let mut coming = [0; 2];
        for mark in marks {
            if let Some(sum) = coming.get_mut((mark & 3) as usize) {
                *sum += (mark >> 2) as usize;
            }
        }
        if coming == [0; 2] {
            return;
        }
        if self.budget.take_all(coming[0], coming[1]) {
            self.texts.push(text);
            marks.iter().for_each(|mark| self.mark(*mark));
            return;
        }
        let mut start = 0;
        for mark in marks.iter().filter(|mark| **mark & 3 != EVENT) {
            let (kind, length) = (mark & 3, mark >> 2);
            let stream = if kind == STDOUT { Stream::Stdout } else { Stream::Stderr };
            // Not more than `length`, which is a u32.
            let kept = self.budget.take(stream, length as usize, |room| room) as u32;
            if kept > 0 {
                self.texts.push(&host::cut(text, start, start + kept));
                self.mark(kept << 2 | kind);
            }
            start += length;
        }
    }

    fn mark(&mut self, mark: u32) {
        let (kind, length) = (mark & 3, mark >> 2);
        if kind == EVENT || length == 0 {
            return;
        }
        let joins = self.marks.len() >= LogBudget::CHUNKS;
        match self.marks.last_mut().filter(|last| joins && **last & 3 == kind) {
            Some(last) => *last = last.saturating_add(length << 2),
            None => self.marks.push(mark),
        }
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.budget.is_truncated()
    }

    /// The texts and the marks within them.
    pub(crate) fn into_parts(self) -> (Array, Vec<u32>) {
        (self.texts, self.marks)
    }
}
