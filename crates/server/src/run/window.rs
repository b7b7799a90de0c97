//! The `flow` extension's account: how much output a subscriber has been sent and not yet acknowledged.

use std::collections::VecDeque;

/// How much output a subscriber has been sent and not yet acknowledged.
///
/// Invariants: `in_flight` is the sum over `checkpoints`, and at most `size` unless a single character is larger;
/// there are at most about 128 checkpoints whatever the sizes of the chunks, so an account of a million one-byte
/// events is as small as any other.
#[derive(Debug)]
pub(crate) struct Window {
    size: u64,
    in_flight: u64,
    checkpoints: VecDeque<Checkpoint>,
}

/// Some neighbouring events, freed together once the last of them is acknowledged.
#[derive(Debug)]
struct Checkpoint {
    last_seq: u64,
    bytes: u64,
}

/// Where somebody goes on who comes to a run, and how much may be on the way to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    /// It has every event up to this one.
    pub(crate) after: u64,
    /// And has taken those up to this one; the rest fills its window. `None`: all that it has.
    pub(crate) taken: Option<u64>,
    /// Bytes; `None` for one that acknowledges nothing.
    pub(crate) window: Option<u64>,
}

/// Of so many events, the newest before a place, is looked at what is on the way to somebody who comes there: each is looked
/// up, on the thread that serves all.
const MOST_COUNTED: u64 = 4096;

/// Events are freed in groups of up to this part of the window. Small enough for a client that acknowledges each half.
const GROUPS: u64 = 64;

impl Window {
    /// An empty account of `size` bytes; at least one byte, or nothing would ever move.
    pub(crate) fn new(size: u64) -> Self {
        Self { size: size.max(1), in_flight: 0, checkpoints: VecDeque::new() }
    }

    /// The account of somebody who comes to this place; `chunk` is how much an event takes, from `oldest` on. One that
    /// lies in a file has no size at hand and is not counted: too much room loses nothing.
    pub(crate) fn at(place: Cursor, oldest: u64, chunk: impl Fn(u64) -> Option<u32>) -> Option<Self> {
        let mut window = Self::new(place.window?);
        // So many bytes are at most as many events, whatever a stranger says; what is kept no longer is not asked for, of
        // millions of events; and of more than are ever on their way the oldest count as taken.
        let taken = place.taken.unwrap_or(place.after);
        let taken = taken.max(place.after.saturating_sub(window.size.min(MOST_COUNTED)));
        for seq in taken.saturating_add(1).max(oldest)..=place.after {
            if let Some(chunk) = chunk(seq).filter(|chunk| *chunk > 0) {
                window.sent(seq, u64::from(chunk));
            }
        }
        Some(window)
    }

    /// What it was made with.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes may be sent now. One character is always allowed into an empty window.
    pub(crate) fn room(&self) -> u64 {
        self.size.saturating_sub(self.in_flight)
    }

    /// Whether everything was acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight == 0
    }

    /// Books `bytes` as sent in event `seq`.
    pub(crate) fn sent(&mut self, seq: u64, bytes: u64) {
        self.in_flight += bytes;
        match self.checkpoints.back_mut() {
            Some(last) if last.bytes + bytes <= self.size / GROUPS => {
                last.bytes += bytes;
                last.last_seq = seq;
            }
            _ => self.checkpoints.push_back(Checkpoint { last_seq: seq, bytes }),
        }
    }

    /// The subscriber has taken every event up to `seq`. Old and invented numbers do no harm.
    pub(crate) fn acknowledged(&mut self, seq: u64) {
        while let Some(first) = self.checkpoints.front()
            && first.last_seq <= seq
        {
            self.in_flight -= first.bytes;
            self.checkpoints.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_down_and_up() {
        let mut window = Window::new(100);
        window.sent(1, 60);
        window.sent(2, 40);
        assert_eq!(window.room(), 0);
        window.acknowledged(1);
        assert_eq!(window.room(), 60);
        window.acknowledged(1);
        window.acknowledged(0);
        assert_eq!(window.room(), 60);
        window.acknowledged(u64::MAX);
        assert!(window.is_empty());
    }

    #[test]
    fn begins_with_what_is_kept() {
        let asked = std::cell::Cell::new(0);
        let chunk = |_| {
            asked.set(asked.get() + 1);
            Some(10)
        };
        let place = Cursor { after: 10_000_000, taken: Some(0), window: Some(1 << 24) };
        let window = Window::at(place, 9_999_998, chunk).expect("it is asked for");
        assert_eq!((window.in_flight, asked.get()), (30, 3));
        let place = Cursor { taken: Some(9_999_999), ..place };
        assert_eq!(Window::at(place, 1, chunk).map(|window| window.in_flight), Some(10));
        assert!(Window::at(Cursor { window: None, ..place }, 1, chunk).is_none());
    }

    #[test]
    fn stays_small_for_a_million_tiny_events() {
        let mut window = Window::new(1 << 20);
        for seq in 1..=1 << 20 {
            window.sent(seq, 1);
        }
        assert_eq!(window.room(), 0);
        assert!(window.checkpoints.len() <= 128, "{}", window.checkpoints.len());
    }

    #[test]
    fn a_client_that_acknowledges_each_half_never_stalls() {
        let mut window = Window::new(1 << 16);
        let (mut seq, mut taken) = (0, 0);
        for _ in 0..1_000_000 {
            if window.room() < 3 {
                panic!("stalled at {seq}");
            }
            seq += 1;
            window.sent(seq, 3);
            taken += 3;
            if taken >= 1 << 15 {
                window.acknowledged(seq);
                taken = 0;
            }
        }
    }
}
