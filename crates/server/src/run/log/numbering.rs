//! How what waits in a log gets its numbers: cut to fit, and, while nobody looks, kept in pieces that the next subscriber can
//! be shown.

use super::{Log, Waiting};
use crate::run::MAX_CHUNK;
use crate::run::event::Event;
use crate::run::replay::{Record, Replay};

/// So many pieces get their numbers at once.
///
/// 1024: about a millisecond of the thread that serves all. Of what waits there are hardly ever so many, but for who asked for
/// a window of a few bytes: each byte is a frame of its own then. The run task goes on with the rest.
const AT_ONCE: usize = 1024;

impl Log {
    /// Without a subscriber, what waits goes into the replay: at once when somebody watches, else once it is enough. What is
    /// much larger in pieces than as it waits goes as far as the replay has room.
    pub(super) fn store(&mut self) {
        if !self.stores_more() {
            return;
        }
        for _ in 0..AT_ONCE {
            if !self.fits_in_pieces() || self.number(self.largest, true).is_none() {
                break;
            }
        }
        self.storing = !self.waiting.is_empty();
    }

    /// The same, and whether that was something.
    pub(in crate::run) fn store_more(&mut self) -> bool {
        let last = self.last;
        self.store();
        self.account();
        last != self.last
    }

    /// Whether [`Log::store`] has something to do.
    pub(in crate::run) fn stores_more(&self) -> bool {
        if self.watched && !self.detached || self.abandoned || self.replay.is_none() || self.waiting.is_empty() {
            return false;
        }
        let most = if self.detached { self.room() } else { self.limit };
        let enough = self.storing || self.tail.is_some() || self.waiting_size() >= most || self.is_short();
        enough && self.fits_in_pieces()
    }

    /// Whether what waits, or the next of it, may go into the replay as the pieces that it makes.
    fn fits_in_pieces(&self) -> bool {
        let pieces = self.waiting_bytes / self.largest + self.waiting.len();
        pieces <= AT_ONCE || self.replay.as_ref().is_some_and(Replay::has_room)
    }

    /// Gives the next event that waits its number, a chunk as far as there is room for it.
    pub(super) fn number(&mut self, room: usize, one_at_least: bool) -> Option<Record> {
        let (event, time) = self.take_waiting(room, one_at_least)?;
        self.waiting_bytes -= event.memory_size();
        self.last += 1;
        let chunk = if let Event::Chunk(_, text) = &event { text.len() as u32 } else { 0 };
        let record = Record { chunk, text: self.label.frame(self.last, time, event).into() };
        if let Some(replay) = &mut self.replay {
            replay.push(record.clone());
        }
        if let Some(tail) = &mut self.tail {
            tail.push(record.clone());
        }
        Some(record)
    }

    /// Takes the first event, of a chunk the largest part that may be shown now. The rest of it stays where it is.
    fn take_waiting(&mut self, room: usize, one_at_least: bool) -> Option<(Event, u64)> {
        let Waiting { event, time, taken } = self.waiting.front_mut()?;
        if let Event::Chunk(origin, text) = event {
            let rest = &text[*taken..];
            let mut cut = rest.floor_char_boundary(room.min(MAX_CHUNK));
            if cut == 0 && one_at_least {
                cut = rest.chars().next().map_or(0, char::len_utf8);
            }
            if cut < rest.len() {
                let part = (Event::Chunk(*origin, rest[..cut].to_owned()), *time);
                *taken += cut;
                if *taken > text.len() / 2 {
                    // Each byte moves once for one that goes: a million pieces are cut in the time of as many bytes.
                    text.drain(..std::mem::take(taken));
                }
                return Some(part);
            }
            text.drain(..*taken);
        }
        let Waiting { event, time, .. } = self.waiting.pop_front()?;
        Some((event, time))
    }
}
