//! What a run has printed, kept for its result on the browser's side.

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
    /// By stream.
    kept: [usize; 2],
    /// `None`: somebody else keeps them.
    limit: Option<usize>,
    truncated: bool,
}

impl Log {
    /// Units per stream that are kept unless the caller says otherwise: as in every other client of this core.
    pub(crate) const DEFAULT_LIMIT: usize = 16 << 20;
    /// Behind so many chunks adjacent ones of a stream are joined: each costs its mark, and there is no limit to how
    /// small they are.
    const CHUNKS: usize = 1 << 20;

    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { texts: Array::new(), marks: Vec::new(), kept: [0; 2], limit, truncated: false }
    }

    /// Keeps a batch as far as the limit allows.
    pub(crate) fn keep(&mut self, text: &JsString, marks: &[u32]) {
        let mut coming = [0; 2];
        for mark in marks {
            if let Some(sum) = coming.get_mut((mark & 3) as usize) {
                *sum += (mark >> 2) as usize;
            }
        }
        let Some(limit) = self.limit.filter(|_| coming != [0; 2]) else { return };
        if !self.truncated && (0..2).all(|stream| self.kept[stream] + coming[stream] <= limit) {
            self.texts.push(text);
            (0..2).for_each(|stream| self.kept[stream] += coming[stream]);
            marks.iter().for_each(|mark| self.mark(*mark));
            return;
        }
        let mut start = 0;
        for mark in marks.iter().filter(|mark| **mark & 3 != EVENT) {
            let length = mark >> 2;
            self.keep_chunk(text, start, length, mark & 3, limit);
            start += length;
        }
    }

    /// Keeps no hole: behind the first cut of a stream nothing more of it is kept.
    fn keep_chunk(&mut self, text: &JsString, start: u32, length: u32, kind: u32, limit: usize) {
        let kept = &mut self.kept[kind as usize];
        let room = length.min(u32::try_from(limit.saturating_sub(*kept)).unwrap_or(u32::MAX));
        if room < length {
            self.truncated = true;
            *kept = usize::MAX; // closed
        } else {
            *kept += length as usize;
        }
        if room > 0 {
            self.texts.push(&host::cut(text, start, start + room));
            self.mark(room << 2 | kind);
        }
    }

    fn mark(&mut self, mark: u32) {
        let (kind, length) = (mark & 3, mark >> 2);
        if kind == EVENT || length == 0 {
            return;
        }
        let joins = self.marks.len() >= Self::CHUNKS;
        match self.marks.last_mut().filter(|last| joins && **last & 3 == kind) {
            Some(last) => *last = last.saturating_add(length << 2),
            None => self.marks.push(mark),
        }
    }

    pub(crate) const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The texts and the marks within them.
    pub(crate) fn into_parts(self) -> (Array, Vec<u32>) {
        (self.texts, self.marks)
    }
}
