//! What a run has printed, kept for its result.

use std::sync::Arc;

use agb_core::result::{LogBudget, Logs};
use agb_core::{Batch, Mark, Piece, Stream};

/// A run's output in order, up to a limit per stream.
///
/// Large batches are kept as they came and shared with whoever reads them; small ones are put together, so that a
/// program that prints a character at a time costs no allocation per character.
#[derive(Clone, Debug)]
pub struct Log {
    segments: Vec<Segment>,
    budget: LogBudget,
    /// Kept chunks, by stream.
    chunks: [usize; 2],
}

#[derive(Clone, Debug)]
enum Segment {
    Shared(Arc<Batch>),
    Own(Own),
}

#[derive(Clone, Debug, Default)]
struct Own {
    text: String,
    marks: Vec<(Stream, u32)>,
}

impl Log {
    /// Bytes per stream that are kept unless the caller says otherwise: what a person will ever read and a small
    /// machine can hold, for many runs at once.
    pub const DEFAULT_LIMIT: usize = LogBudget::DEFAULT;

    /// Smaller batches are copied together: below this an allocation costs more than the copy.
    const SHARED_FROM: usize = 4 * 1024;
    /// Own segments end here, so that growing one never copies much.
    const OWN_BYTES: usize = 64 * 1024;

    /// An empty log that keeps `limit` bytes per stream.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { segments: Vec::new(), budget: LogBudget::new(limit), chunks: [0; 2] }
    }

    /// Whether something was left out.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.budget.is_truncated()
    }

    /// The chunks, in order. Empty ones are not kept.
    pub fn chunks(&self) -> impl Iterator<Item = (Stream, &str)> {
        self.segments.iter().flat_map(|segment| -> Box<dyn Iterator<Item = (Stream, &str)>> {
            match segment {
                Segment::Shared(batch) => Box::new(batch.pieces().filter_map(|piece| match piece {
                    Piece::Chunk(stream, text) if !text.is_empty() => Some((stream, text)),
                    _ => None,
                })),
                Segment::Own(own) => Box::new(own.chunks()),
            }
        })
    }

    /// The chunks of each stream by themselves.
    #[must_use]
    pub fn to_logs(&self) -> Logs {
        let mut logs = Logs::default();
        for (stream, chunk) in self.chunks() {
            match stream {
                Stream::Stdout => logs.stdout.push(chunk.to_owned()),
                Stream::Stderr => logs.stderr.push(chunk.to_owned()),
            }
        }
        logs
    }

    /// Keeps a batch, as far as the limit allows.
    pub(crate) fn keep(&mut self, batch: &Arc<Batch>) {
        if batch.text().is_empty() {
            return;
        }
        let (mut stdout, mut stderr) = (0, 0);
        for mark in batch.marks() {
            match mark {
                Mark::Chunk(Stream::Stdout, length) => stdout += *length as usize,
                Mark::Chunk(Stream::Stderr, length) => stderr += *length as usize,
                Mark::External(..) | Mark::Event => {}
            }
        }
        if batch.text().len() >= Self::SHARED_FROM && self.budget.take_all(stdout, stderr) {
            self.segments.push(Segment::Shared(Arc::clone(batch)));
            return;
        }
        for piece in batch.pieces() {
            if let Piece::Chunk(stream, text) = piece {
                self.keep_chunk(stream, text);
            }
        }
    }

    fn keep_chunk(&mut self, stream: Stream, text: &str) {
        let room = self.budget.take(stream, text.len(), |room| text.floor_char_boundary(room));
        if room == 0 {
            return;
        }
        let chunks = &mut self.chunks[usize::from(stream == Stream::Stderr)];
        *chunks += 1;
        let join = *chunks > LogBudget::CHUNKS;
        if !matches!(self.segments.last(), Some(Segment::Own(own)) if own.text.len() < Self::OWN_BYTES) {
            self.segments.push(Segment::Own(Own::default()));
        }
        if let Some(Segment::Own(own)) = self.segments.last_mut() {
            own.push(stream, &text[..room], join);
        }
    }
}

impl Own {
    fn push(&mut self, stream: Stream, text: &str, join: bool) {
        self.text.push_str(text);
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX); // no message is that large
        match self.marks.last_mut() {
            Some((last, joined)) if join && *last == stream => *joined = joined.saturating_add(length),
            _ => self.marks.push((stream, length)),
        }
    }

    fn chunks(&self) -> impl Iterator<Item = (Stream, &str)> {
        let mut rest = self.text.as_str();
        self.marks.iter().map(move |&(stream, length)| {
            let (chunk, after) = rest.split_at(length as usize);
            rest = after;
            (stream, chunk)
        })
    }
}
