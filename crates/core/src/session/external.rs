//! Chunks whose text stays with the driver.

use super::Session;
use crate::io::{ExternalChunk, LinkId};
use crate::run::RunId;
use crate::time::Instant;
use crate::wire::incoming::Origin;

impl Session {
    /// A chunk of output came, and the driver holds its text. The run named in the answer has it as its newest unread
    /// piece, as a [`Mark::External`](crate::Mark): the driver puts the text behind those that it already holds for that
    /// run, and takes them from the front as it reads the marks. `None`: nobody wants it (it has been here before, its
    /// run is over or unknown, its link is dead).
    ///
    /// A driver either hands in all chunks of a run like this or all as [`Input::Text`](crate::Input); what is not a chunk
    /// is always text. The numbers, the limits and the acknowledgements are the same either way: units of at most three
    /// bytes keep an acknowledgement at a quarter of the window within the window.
    pub fn handle_chunk(&mut self, now: Instant, link: LinkId, chunk: ExternalChunk<'_>) -> Option<RunId> {
        self.advance(now);
        if !self.is_link(link) {
            return None;
        }
        self.note_received(link);
        let id = self.runs.find(chunk.invocation)?;
        match self.number(id, &Origin { seq: chunk.seq, time: chunk.time, background: chunk.background }) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(violation) => {
                self.violation(id, violation);
                return None;
            }
        }
        if self.drop_unwanted(id) {
            return None;
        }
        let (seq, stamp) = self.stamp(id);
        self.runs.append(id, |unread| {
            unread.push_external(chunk.stream, chunk.length);
            unread.stamp(seq, stamp);
        });
        self.check_unread(id);
        Some(id)
    }
}
