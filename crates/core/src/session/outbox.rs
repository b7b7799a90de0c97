//! What waits to be sent, in order and within a limit.

use std::collections::VecDeque;

use crate::run::RunId;

/// Frames on their way out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
}

/// One frame on its way out.
#[derive(Debug)]
pub(super) struct Frame {
    /// The run it belongs to.
    pub(super) run: RunId,
    /// Whether it starts or resumes the run.
    pub(super) begins: bool,
    pub(super) text: String,
}

impl Outbox {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.text.len();
        self.frames.push_back(frame);
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        self.pop_of(|_| true)
    }

    /// The next frame of those runs that can speak.
    pub(super) fn pop_of(&mut self, speaks: impl Fn(RunId) -> bool) -> Option<Frame> {
        let at = self.frames.iter().position(|frame| speaks(frame.run))?;
        let frame = self.frames.remove(at)?;
        self.bytes -= frame.text.len();
        Some(frame)
    }

    /// Whether a run has something to say.
    pub(super) fn has(&self, run: RunId) -> bool {
        self.frames.iter().any(|frame| frame.run == run)
    }

    /// Forgets what a run still had to say.
    pub(super) fn remove(&mut self, run: RunId) {
        self.keep(|frame| frame.run != run);
    }

    /// Forgets everything but the first words of runs: the rest was for a connection that is gone.
    pub(super) fn keep_beginnings(&mut self) {
        self.keep(|frame| frame.begins);
    }

    fn keep(&mut self, wanted: impl Fn(&Frame) -> bool) {
        self.frames.retain(wanted);
        self.bytes = self.sum();
    }

    fn sum(&self) -> usize {
        self.frames.iter().map(|frame| frame.text.len()).sum()
    }

    /// Checks that the sum is what it sums up. For tests.
    #[cfg(test)]
    pub(super) fn assert_sums(&self) {
        assert_eq!(self.bytes, self.sum(), "unsent bytes drift");
    }
}
