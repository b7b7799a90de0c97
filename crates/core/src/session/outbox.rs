//! What waits to be sent, in order and within a limit.

use crate::run::RunId;

/// Frames on their way out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// In order. Those before `next` are gone. (A `VecDeque` is 1 KB of WebAssembly.)
    frames: Vec<Frame>,
    next: usize,
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
        self.frames.push(frame);
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        self.pop_of(|_| true)
    }

    /// The next frame of those runs that can speak.
    pub(super) fn pop_of(&mut self, speaks: impl Fn(RunId) -> bool) -> Option<Frame> {
        let at = self.waiting().iter().position(|frame| speaks(frame.run))? + self.next;
        let frame = if at == self.next {
            self.next += 1;
            let Frame { run, begins, text } = &mut self.frames[at];
            Frame { run: *run, begins: *begins, text: std::mem::take(text) }
        } else {
            self.frames.remove(at)
        };
        self.bytes -= frame.text.len();
        if self.next * 2 > self.frames.len() {
            self.forget_gone();
        }
        Some(frame)
    }

    /// Whether a run has something to say.
    pub(super) fn has(&self, run: RunId) -> bool {
        self.waiting().iter().any(|frame| frame.run == run)
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
        self.forget_gone();
        self.frames.retain(wanted);
        self.bytes = self.sum();
    }

    fn forget_gone(&mut self) {
        self.frames.drain(..self.next);
        self.next = 0;
    }

    fn waiting(&self) -> &[Frame] {
        &self.frames[self.next..]
    }

    fn sum(&self) -> usize {
        self.waiting().iter().map(|frame| frame.text.len()).sum()
    }

    /// Checks that the sum is what it sums up. For tests.
    #[cfg(test)]
    pub(super) fn assert_sums(&self) {
        assert_eq!(self.bytes, self.sum(), "unsent bytes drift");
    }
}
