//! A run's events between the program and its viewer: bounded, joined while waiting, numbered when shown.

use std::collections::VecDeque;

use super::event::{Event, Origin};
use super::window::Window;

/// One chunk carries at most this much, so that an event fits into a frame however its text is escaped (six bytes for
/// one at worst), and runs take turns in reasonable steps.
pub(crate) const MAX_CHUNK: usize = 64 * 1024;

/// A run's events between the program and its viewer.
///
/// Invariants:
/// * an event is numbered when it is shown, from 1, without gaps; from then on it never changes. Only what nobody has
///   seen is joined with its neighbour or split;
/// * nothing is dropped, except by [`Log::abandon`];
/// * [`Event::End`] is the last event; what is pushed after it is ignored;
/// * while [`Log::has_room`] is false nothing should be pushed; one event more than the limit is kept then.
#[derive(Debug)]
pub(crate) struct Log {
    waiting: VecDeque<Event>,
    waiting_bytes: usize,
    limit: usize,
    window: Option<Window>,
    shown: u64,
    ended: bool,
    abandoned: bool,
}

/// An event with its number.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) seq: u64,
    pub(crate) event: Event,
}

impl Log {
    /// An empty log that holds about `limit` bytes, and has at most `window` of chunks un-acknowledged.
    pub(crate) fn new(limit: usize, window: Option<u64>) -> Self {
        let limit = window.map_or(limit, |window| limit.min(usize::try_from(window).unwrap_or(limit))).max(1);
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            limit,
            window: window.map(Window::new),
            shown: 0,
            ended: false,
            abandoned: false,
        }
    }

    /// Whether the program may go on.
    pub(crate) fn has_room(&self) -> bool {
        self.abandoned || self.waiting_bytes < self.limit
    }

    /// Whether [`Log::show`] has something.
    pub(crate) fn is_readable(&self) -> bool {
        match (self.waiting.front(), &self.window) {
            (None, _) => false,
            (Some(Event::Chunk(_, text)), Some(window)) => {
                let first = text.chars().next().map_or(0, char::len_utf8);
                window.is_empty() || window.room() >= first as u64
            }
            (Some(_), _) => true,
        }
    }

    /// Puts an event in, joining it with the last one where both are chunks of one stream.
    pub(crate) fn push(&mut self, event: Event) {
        if self.ended {
            return;
        }
        self.ended = matches!(event, Event::End(_));
        if self.abandoned {
            return;
        }
        self.waiting_bytes += event.weight();
        if let Event::Chunk(origin, text) = &event
            && let Some(Event::Chunk(last_origin, last)) = self.waiting.back_mut()
            && origin == last_origin
            && last.len() + text.len() <= MAX_CHUNK
        {
            last.push_str(text);
            return;
        }
        self.waiting.push_back(event);
    }

    /// The next event for the viewer, with its number.
    pub(crate) fn show(&mut self) -> Option<Shown> {
        if !self.is_readable() {
            return None;
        }
        let event = match self.waiting.pop_front()? {
            Event::Chunk(origin, text) => self.cut_to_fit(origin, text),
            other => other,
        };
        self.shown += 1;
        self.waiting_bytes -= event.weight();
        if let (Some(window), Event::Chunk(_, text)) = (&mut self.window, &event) {
            window.sent(self.shown, text.len() as u64);
        }
        Some(Shown { seq: self.shown, event })
    }

    /// The viewer has taken every event up to `seq`.
    pub(crate) fn acknowledge(&mut self, seq: u64) {
        if let Some(window) = &mut self.window {
            window.acknowledged(seq.min(self.shown));
        }
    }

    /// Nobody will look any more: forgets what waits, and what still comes.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// Cuts a chunk to the largest that may be shown now, and puts the rest back in front.
    fn cut_to_fit(&mut self, origin: Origin, mut text: String) -> Event {
        let (room, one_at_least) = match &self.window {
            Some(window) => (usize::try_from(window.room()).unwrap_or(usize::MAX), window.is_empty()),
            None => (usize::MAX, false),
        };
        let mut cut = text.floor_char_boundary(room.min(MAX_CHUNK));
        if cut == 0 && one_at_least {
            cut = text.chars().next().map_or(0, char::len_utf8);
        }
        if cut < text.len() {
            let rest = text.split_off(cut);
            self.waiting.push_front(Event::Chunk(origin, rest));
        }
        Event::Chunk(origin, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::event::{Finish, Stream};

    fn out(text: &str) -> Event {
        Event::Chunk(Stream::Stdout.into(), text.to_owned())
    }

    fn err(text: &str) -> Event {
        Event::Chunk(Stream::Stderr.into(), text.to_owned())
    }

    fn text_of(shown: Option<Shown>) -> Option<(u64, String)> {
        shown.map(|shown| match shown.event {
            Event::Chunk(_, text) => (shown.seq, text),
            other => (shown.seq, format!("{other:?}")),
        })
    }

    #[test]
    fn joins_neighbours_of_one_stream_only_while_they_wait() {
        let mut log = Log::new(1000, None);
        log.push(out("a"));
        assert_eq!(text_of(log.show()), Some((1, "a".into())));
        for event in [out("b"), out("c"), err("d"), out("e")] {
            log.push(event);
        }
        assert_eq!(text_of(log.show()), Some((2, "bc".into())));
        assert_eq!(text_of(log.show()), Some((3, "d".into())));
        assert_eq!(text_of(log.show()), Some((4, "e".into())));
        assert_eq!(text_of(log.show()), None);
    }

    #[test]
    fn no_chunk_is_larger_than_the_limit_and_no_character_is_cut() {
        let mut log = Log::new(1 << 20, None);
        let text = "€".repeat(MAX_CHUNK);
        log.push(out(&text));
        let mut all = String::new();
        while let Some((_, chunk)) = text_of(log.show()) {
            assert!(chunk.len() <= MAX_CHUNK);
            all.push_str(&chunk);
        }
        assert_eq!(all, text);
    }

    #[test]
    fn holds_back_when_full_and_goes_on_when_shown() {
        let mut log = Log::new(10, None);
        log.push(out("0123456789"));
        assert!(!log.has_room());
        log.show();
        assert!(log.has_room());
    }

    #[test]
    fn never_sends_more_than_the_window() {
        let mut log = Log::new(1 << 20, Some(10));
        log.push(out("0123456789abcde"));
        assert!(!log.has_room(), "the window limits what is kept, too");
        assert_eq!(text_of(log.show()), Some((1, "0123456789".into())));
        assert!(!log.is_readable());
        assert_eq!(text_of(log.show()), None);
        log.acknowledge(1);
        assert_eq!(text_of(log.show()), Some((2, "abcde".into())));
    }

    #[test]
    fn a_window_smaller_than_a_character_still_moves() {
        let mut log = Log::new(1 << 20, Some(1));
        log.push(out("€a"));
        assert_eq!(text_of(log.show()), Some((1, "€".into())));
        assert_eq!(text_of(log.show()), None);
        log.acknowledge(1);
        assert_eq!(text_of(log.show()), Some((2, "a".into())));
    }

    #[test]
    fn a_character_that_does_not_fit_waits_for_an_empty_window() {
        let mut log = Log::new(1 << 20, Some(4));
        log.push(out("ab€"));
        assert_eq!(text_of(log.show()), Some((1, "ab".into())));
        assert_eq!(text_of(log.show()), None);
        assert_eq!(log.shown, 1, "no empty event was made of it");
        log.acknowledge(1);
        assert_eq!(text_of(log.show()), Some((2, "€".into())));
    }

    #[test]
    fn the_end_needs_no_window_and_is_last() {
        let mut log = Log::new(1 << 20, Some(2));
        log.push(out("ab"));
        log.show();
        log.push(Event::End(Finish::default()));
        log.push(out("late"));
        assert!(log.is_readable());
        assert!(matches!(log.show(), Some(Shown { seq: 2, event: Event::End(_) })));
        assert!(log.show().is_none());
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_shown_frees_nothing_more() {
        let mut log = Log::new(1 << 20, Some(4));
        log.push(out("abcdefgh"));
        log.show();
        log.acknowledge(u64::MAX);
        assert_eq!(text_of(log.show()), Some((2, "efgh".into())));
        assert!(!log.is_readable());
    }

    #[test]
    fn an_abandoned_log_swallows_everything() {
        let mut log = Log::new(2, None);
        log.push(out("abc"));
        log.abandon();
        assert!(log.has_room() && !log.is_readable());
        log.push(out("abc"));
        log.push(Event::End(Finish::default()));
        assert!(log.has_room() && !log.is_readable());
    }
}
