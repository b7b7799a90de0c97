//! Output on its way to the application: many chunks in one string.

use std::collections::VecDeque;

pub use agb_protocol::Stream;

use crate::run::{PIECE, RunEnd, RunError, StreamEvent};

/// Pieces of one run in the order in which the service sent them.
///
/// The text of all chunks is one string and a mark per piece says where it ends: an allocation per 32 KiB instead of
/// one per chunk, and one string to hand to JavaScript.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    text: String,
    marks: Vec<Mark>,
    events: Vec<StreamEvent>,
    stamps: Vec<Stamp>,
    end: Option<RunEnd>,
    end_stamp: Stamp,
    interruptions: u32,
    execution_time: Option<f64>,
    seq: u64,
    external: usize,
}

/// Which of a run's events a piece is, when it happened, and where it comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stamp {
    /// The service's number of the event. A service without the extensions gives none: then events are counted here,
    /// from 1. What the client itself has to say bears the number of the event before it.
    pub seq: u64,
    /// When it happened, by the service's clock, in milliseconds since the Unix epoch; `None` where the service does not
    /// say, and for what the client itself has to say.
    pub time: Option<u64>,
    /// It was written before this run, by what earlier ones have left behind.
    pub background: bool,
}

/// One piece of a [`Batch`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mark {
    /// A chunk: so many bytes of the batch's text.
    Chunk(Stream, u32),
    /// A chunk whose text the driver holds, of this length in the driver's own units
    /// ([`Session::handle_chunk`](crate::Session::handle_chunk)).
    External(Stream, u32),
    /// The next entry of the batch's events.
    Event,
}

/// One piece of a [`Batch`], with what it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece<'a> {
    /// Text, whole characters.
    Chunk(Stream, &'a str),
    /// Anything else.
    Event(&'a StreamEvent),
}

impl Batch {
    /// A word of the driver's own, before anything else of a run. `stamps` as for
    /// [`Session::keep_stamps`](crate::Session::keep_stamps).
    #[must_use]
    pub fn of_event(event: StreamEvent, stamps: bool) -> Self {
        let stamps = if stamps { vec![Stamp::default()] } else { vec![] };
        Self { marks: vec![Mark::Event], events: vec![event], stamps, ..Self::default() }
    }

    /// The end of a run of which nothing came.
    #[must_use]
    pub fn of_end(end: RunEnd) -> Self {
        let interruptions = u32::from(is_interruption(&end));
        Self { end: Some(end), interruptions, ..Self::default() }
    }

    /// The text of all chunks.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The pieces' marks, in order.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// What came between chunks, in order.
    #[must_use]
    pub fn events(&self) -> &[StreamEvent] {
        &self.events
    }

    /// The pieces' stamps, one for each mark. None at all unless [`Session::keep_stamps`](crate::Session::keep_stamps)
    /// asked for them.
    #[must_use]
    pub fn stamps(&self) -> &[Stamp] {
        &self.stamps
    }

    /// The stamp of the end.
    #[must_use]
    pub const fn end_stamp(&self) -> Stamp {
        self.end_stamp
    }

    /// With the end: how often the run was found again after its connection was lost. At least 1 for a run that ended as
    /// [interrupted](crate::RunError::Interrupted).
    #[must_use]
    pub const fn interruptions(&self) -> u32 {
        self.interruptions
    }

    /// With an end that is the client's own word: how long the program ran, seconds, where the service said it.
    #[must_use]
    pub const fn execution_time(&self) -> Option<f64> {
        self.execution_time
    }

    /// Set on the last batch of a run, and on no other.
    #[must_use]
    pub fn end(&self) -> Option<&RunEnd> {
        self.end.as_ref()
    }

    /// Takes the end out.
    pub fn take_end(&mut self) -> Option<RunEnd> {
        self.end.take()
    }

    /// The number of the last event in it, where the run has numbers.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// How much it is in the memory of both sides, about: all its texts, wherever they are, and 64 bytes a piece.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        let events: usize = self.events.iter().map(StreamEvent::memory_size).sum();
        self.bytes() + events + PIECE * self.marks.len()
    }

    /// The length of all chunks, wherever their text is.
    const fn bytes(&self) -> usize {
        self.text.len() + self.external
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.end.is_none()
    }

    /// The pieces, in order, without the chunks that the driver holds.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let (mut text, mut events) = (self.text.as_str(), self.events.iter());
        self.marks.iter().filter_map(move |mark| match *mark {
            Mark::Chunk(stream, length) => {
                let (chunk, rest) = text.split_at(length as usize);
                text = rest;
                Some(Piece::Chunk(stream, chunk))
            }
            Mark::External(..) => None,
            Mark::Event => Some(Piece::Event(events.next().expect("one event per event mark"))),
        })
    }

    /// The pieces, in order, and neighbouring chunks of one stream as one piece: their texts lie side by side. Without those
    /// that the driver holds.
    pub fn joined_pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let (mut text, mut events) = (self.text.as_str(), self.events.iter());
        let mut marks = self.marks.iter().filter(|mark| !matches!(mark, Mark::External(..))).peekable();
        std::iter::from_fn(move || match *marks.next()? {
            Mark::Chunk(stream, length) => {
                let mut length = length as usize;
                while let Some(Mark::Chunk(_, more)) =
                    marks.next_if(|mark| matches!(mark, Mark::Chunk(other, _) if *other == stream))
                {
                    length += *more as usize;
                }
                let (chunk, rest) = text.split_at(length);
                text = rest;
                Some(Piece::Chunk(stream, chunk))
            }
            Mark::External(..) => None, // there is none among them
            Mark::Event => Some(Piece::Event(events.next().expect("one event per event mark"))),
        })
    }
}

/// What a run has that nobody has read yet.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    batches: VecDeque<Batch>,
    bytes: usize,
    stamps: bool,
    /// Interruptions and words that they are over among what waits.
    notices: usize,
    /// The last of these was an interruption.
    interrupted: bool,
}

impl Unread {
    /// A batch is closed at this size. Larger pieces hold a JavaScript thread too long (measured: 2,000 callbacks are
    /// 10 ms), smaller ones cost more crossings.
    const BATCH_BYTES: usize = 32 * 1024;
    /// And at this many pieces, for the same reason.
    const BATCH_PIECES: usize = 512;
    /// Interruptions and their ends that wait: more tell nothing to a reader that is so far behind.
    const NOTICES: usize = 8;

    /// Bytes of text and of events that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Appends a chunk by letting `append` write it behind the batch's text.
    /// On an error nothing is kept.
    pub(crate) fn push_chunk<E>(
        &mut self,
        stream: Stream,
        append: impl FnOnce(&mut String) -> Result<(), E>,
    ) -> Result<usize, E> {
        let batch = self.open_batch();
        let before = batch.text.len();
        if let Err(error) = append(&mut batch.text) {
            batch.text.truncate(before);
            if batch.is_empty() {
                self.batches.pop_back();
            }
            return Err(error);
        }
        let length = batch.text.len() - before;
        batch.marks.push(Mark::Chunk(stream, u32::try_from(length).unwrap_or(u32::MAX)));
        self.bytes += length;
        Ok(length)
    }

    /// Appends a chunk whose text is elsewhere.
    pub(crate) fn push_external(&mut self, stream: Stream, length: u32) {
        let batch = self.open_batch();
        batch.marks.push(Mark::External(stream, length));
        batch.external += length as usize;
        self.bytes += length as usize;
    }

    pub(crate) fn push_event(&mut self, event: StreamEvent) {
        self.bytes += event.memory_size();
        if is_notice(&event) {
            self.notices += 1;
            self.interrupted = matches!(event, StreamEvent::Interrupted(_));
        }
        let batch = self.open_batch();
        batch.marks.push(Mark::Event);
        batch.events.push(event);
    }

    /// Whether so many interruptions wait that this one, or the word that it is over, is left out.
    pub(crate) fn is_full_of_notices(&self, next: &StreamEvent) -> bool {
        // An interruption that was told of is told to be over.
        let ends = self.interrupted && matches!(next, StreamEvent::Reconnected);
        self.notices >= Self::NOTICES && !ends
    }

    /// Keeps stamps of what is pushed from now on, 24 bytes a piece.
    pub(crate) fn keep_stamps(&mut self) {
        self.stamps = true;
    }

    /// Stamps what was pushed last. `seq` is the service's own number, for the acknowledgement.
    pub(crate) fn stamp(&mut self, seq: u64, stamp: Stamp) {
        let keep = self.stamps;
        if let Some(batch) = self.batches.back_mut() {
            batch.seq = seq;
            if keep {
                batch.stamps.push(stamp);
            }
        }
    }

    pub(crate) fn push_end(&mut self, end: RunEnd, stamp: Stamp, interruptions: u32, execution_time: Option<f64>) {
        let batch = self.open_batch();
        batch.execution_time = execution_time;
        batch.interruptions = interruptions.max(u32::from(is_interruption(&end)));
        batch.end = Some(end);
        batch.end_stamp = stamp;
    }

    pub(crate) fn pop(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.bytes();
        for event in &batch.events {
            self.bytes -= event.memory_size();
            self.notices -= usize::from(is_notice(event));
        }
        Some(batch)
    }

    fn open_batch(&mut self) -> &mut Batch {
        let full = |batch: &Batch| batch.bytes() >= Self::BATCH_BYTES || batch.marks.len() >= Self::BATCH_PIECES;
        if self.batches.back().is_none_or(full) {
            self.batches.push_back(Batch::default());
        }
        self.batches.back_mut().expect("one was just made sure of")
    }
}

const fn is_interruption(end: &RunEnd) -> bool {
    matches!(end, Err(RunError::Interrupted(_)))
}

/// It tells of the connection.
const fn is_notice(event: &StreamEvent) -> bool {
    matches!(event, StreamEvent::Interrupted(_) | StreamEvent::Reconnected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DisconnectReason;

    fn push(unread: &mut Unread, stream: Stream, text: &str) {
        unread
            .push_chunk(stream, |buffer| {
                buffer.push_str(text);
                Ok::<_, ()>(())
            })
            .expect("the closure never fails");
    }

    #[test]
    fn pieces_come_back_in_order() {
        let mut unread = Unread::default();
        push(&mut unread, Stream::Stdout, "grün");
        unread.push_event(StreamEvent::InputRequest { prompt: "?".into(), password: false });
        push(&mut unread, Stream::Stderr, "");
        push(&mut unread, Stream::Stdout, "x");
        let batch = unread.pop().expect("four pieces");
        let event = StreamEvent::InputRequest { prompt: "?".into(), password: false };
        let expected = [
            Piece::Chunk(Stream::Stdout, "grün"),
            Piece::Event(&event),
            Piece::Chunk(Stream::Stderr, ""),
            Piece::Chunk(Stream::Stdout, "x"),
        ];
        assert_eq!(batch.pieces().collect::<Vec<_>>(), expected);
        assert_eq!(unread.bytes(), 0);
        assert!(unread.pop().is_none());
    }

    #[test]
    fn neighbouring_chunks_of_a_stream_are_one_piece_if_wanted() {
        let mut unread = Unread::default();
        push(&mut unread, Stream::Stdout, "grün");
        unread.push_external(Stream::Stderr, 7);
        push(&mut unread, Stream::Stdout, "");
        push(&mut unread, Stream::Stdout, "x");
        push(&mut unread, Stream::Stderr, "y");
        unread.push_event(StreamEvent::InputUncertain);
        push(&mut unread, Stream::Stderr, "z");
        let batch = unread.pop().expect("six pieces");
        let expected = [
            Piece::Chunk(Stream::Stdout, "grünx"),
            Piece::Chunk(Stream::Stderr, "y"),
            Piece::Event(&StreamEvent::InputUncertain),
            Piece::Chunk(Stream::Stderr, "z"),
        ];
        assert_eq!(batch.joined_pieces().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn interruptions_that_nobody_reads_are_bounded_and_told_in_pairs() {
        let mut unread = Unread::default();
        for turn in 0..100 {
            push(&mut unread, Stream::Stdout, "x");
            for event in [StreamEvent::Interrupted(DisconnectReason::Broken(String::new())), StreamEvent::Reconnected] {
                let is_full = unread.is_full_of_notices(&event);
                assert_eq!(is_full, turn >= Unread::NOTICES / 2, "turn {turn}: {event:?}");
                if !is_full {
                    unread.push_event(event);
                }
            }
        }
        assert_eq!(unread.bytes(), 100 + 64 * Unread::NOTICES);
        while unread.pop().is_some() {}
        assert!(!unread.is_full_of_notices(&StreamEvent::Reconnected));
    }

    #[test]
    fn batches_are_bounded_and_bytes_are_counted() {
        let mut unread = Unread::default();
        for _ in 0..2_000 {
            push(&mut unread, Stream::Stdout, "0123456789");
        }
        push(&mut unread, Stream::Stdout, &"y".repeat(100_000));
        assert_eq!(unread.bytes(), 120_000);
        let mut total = 0;
        while let Some(batch) = unread.pop() {
            assert!(batch.marks().len() <= Unread::BATCH_PIECES);
            total += batch.text().len();
        }
        assert_eq!((total, unread.bytes()), (120_000, 0));
    }

    #[test]
    fn a_failed_append_leaves_nothing() {
        let mut unread = Unread::default();
        let failed = unread.push_chunk(Stream::Stdout, |buffer| {
            buffer.push_str("half");
            Err(())
        });
        assert_eq!(failed, Err(()));
        assert!(unread.is_empty() && unread.bytes() == 0);
    }
}
