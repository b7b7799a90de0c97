//! Input for programs, on its way: in order, and kept until nothing can happen to it any more.
//!
//! Where the service has the extension `stdinSeq`, each piece has a number, from 1, and is kept until the service says
//! that it has it. What is not confirmed when a connection is lost is said again over the next one, and the service
//! leaves out what it has: so each piece arrives once. Elsewhere a piece is kept until it is said, and where a connection
//! is lost after that the application is told ([`StreamEvent::InputUncertain`]).

use super::Session;
use super::outbox::Frame;
use super::runs::Phase;
use crate::run::{RunId, StreamEvent};
use crate::time::Instant;
use crate::wire::outgoing::Address;
use agb_protocol::command::TerminalSize;

use super::unconfirmed::Piece;

impl Session {
    /// Gives the program a piece of input, or with `None` its end (extension `stdin`). Without effect after the end
    /// and on a service without the extension. Above [`input_limit`](crate::SessionConfig::input_limit) it is refused as
    /// a whole ([`StreamEvent::InputRefused`]); the end never is.
    pub fn write(&mut self, now: Instant, id: RunId, data: Option<&str>) {
        let piece = data.map_or(Piece::End, |text| Piece::Text(text.to_owned()));
        self.put(now, id, piece);
    }

    /// Sends a signal to a command's process group, in its place among the command's input. Without effect after the end.
    pub fn signal(&mut self, now: Instant, id: RunId, signal: &str) {
        self.put(now, id, Piece::Signal(signal.to_owned()));
    }

    /// Changes the size of a command's terminal, likewise.
    pub fn resize(&mut self, now: Instant, id: RunId, size: TerminalSize) {
        self.put(now, id, Piece::Resize(size));
    }

    fn put(&mut self, now: Instant, id: RunId, piece: Piece) {
        self.advance(now);
        let limit = self.config.input_limit;
        if !self.config.extensions.stdin {
            return;
        }
        let Some(run) = self.runs.get_mut(id).filter(|run| run.is_live()) else { return };
        let input = &mut run.input;
        if matches!(piece, Piece::Text(_) | Piece::End) && input.has_ended() {
            return;
        }
        if !matches!(piece, Piece::End) && input.bytes_with(&piece) > limit {
            let message = format!(
                "more than {limit} bytes of input wait to be taken: this piece was left out; write less at once, or raise \
                 the limit"
            );
            self.notice(id, StreamEvent::InputRefused { message });
            return;
        }
        let last = input.push(piece);
        self.enqueue_input(id, last);
    }

    /// Says a run's input from this piece on, where it can be said: behind what began the run on this connection, which
    /// is when all of it is said anew.
    pub(super) fn enqueue_input(&mut self, id: RunId, from: usize) {
        let numbered = self.config.extensions.stdin_seq;
        let bare = self.has_fallen_back();
        let speaks = !bare || self.streams.link_of(id).is_some();
        let Some(run) = self.runs.get(id) else { return };
        let input = &run.input;
        if !speaks || run.phase != Phase::Sent || numbered && !input.is_numbered() {
            return;
        }
        let address = Address { invocation: &run.invocation, target: &self.config.target, bare };
        for (seq, piece) in input.pieces(from) {
            let text = piece.say(address, numbered.then_some(seq));
            self.outbox.push(Frame { run: id, begins: false, text });
        }
        if !numbered && let Some(run) = self.runs.get_mut(id) {
            run.input.forget_sent();
        }
    }

    /// The service has taken the input up to this number.
    pub(super) fn confirm_input(&mut self, id: RunId, taken: Option<u64>) {
        let (Some(taken), Some(run)) = (taken, self.runs.get_mut(id)) else { return };
        if run.input.is_numbered() {
            run.input.confirm(taken);
        } else {
            run.input.number_after(taken);
            self.enqueue_input(id, 0);
        }
    }

    /// A run's connection is lost, and input without a number was under way.
    pub(super) fn lose_input(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(id)
            && run.input.take_uncertain()
        {
            self.notice(id, StreamEvent::InputUncertain);
        }
    }
}
