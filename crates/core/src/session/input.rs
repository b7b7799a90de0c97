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
use crate::words::number;
use agb_protocol::command::TerminalSize;

/// A run's input that the service may not have.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    pieces: Vec<Piece>,
    /// The end has been said.
    ended: bool,
    /// The number of the first piece. 0: the run was begun elsewhere, and the service has not yet said how much it has.
    first: u64,
    bytes: usize,
    /// Something without a number was said over this connection.
    pub(super) uncertain: bool,
}

/// A piece of a run's input. What steers a command is one too, so that it keeps its place and arrives once.
#[derive(Debug)]
enum Piece {
    Text(String),
    End,
    Signal(String),
    Resize(TerminalSize),
}

impl Piece {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Signal(text) => text.len(),
            Self::End | Self::Resize(_) => 0,
        }
    }

    fn say(&self, address: Address<'_>, seq: Option<u64>) -> String {
        match self {
            Self::Text(text) => address.stdin(Some(text), seq),
            Self::End => address.stdin(None, seq),
            Self::Signal(signal) => address.signal(signal, seq),
            Self::Resize(size) => address.resize(*size, seq),
        }
    }
}

impl Unconfirmed {
    /// About what a piece costs beside its text.
    const PIECE: usize = 64;

    /// For a run that is begun here, or elsewhere.
    pub(super) const fn new(here: bool) -> Self {
        Self { pieces: Vec::new(), ended: false, first: here as u64, bytes: 0, uncertain: false }
    }

    /// Drops what the service has: the pieces before this one.
    fn drop_before(&mut self, at: usize) {
        let cost = |piece: Piece| piece.size() + Self::PIECE;
        let gone: usize = self.pieces.drain(..at).map(cost).sum();
        self.bytes -= gone;
        self.first = self.first.saturating_add(at as u64);
    }
}

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
        let bytes = input.bytes.saturating_add(piece.size() + Unconfirmed::PIECE);
        let is_input = matches!(piece, Piece::Text(_) | Piece::End);
        if is_input && input.ended {
            return;
        }
        input.ended |= matches!(piece, Piece::End);
        if bytes > limit && !matches!(piece, Piece::End) {
            let rest =
                " bytes of input wait to be taken: this piece was left out; write less at once, or raise the limit";
            let message = ["more than ", &number(limit as u64), rest].concat();
            self.notice(id, StreamEvent::InputRefused { message });
            return;
        }
        input.bytes = bytes;
        input.pieces.push(piece);
        let last = input.pieces.len() - 1;
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
        if !speaks || run.phase != Phase::Sent || numbered && input.first == 0 {
            return;
        }
        let address = Address { invocation: &run.invocation, target: &self.config.target, bare };
        let mut seq = input.first.saturating_add(from as u64);
        for piece in &input.pieces[from..] {
            let text = piece.say(address, numbered.then_some(seq));
            seq = seq.saturating_add(1);
            self.outbox.push(Frame { run: id, begins: false, text });
        }
        if !numbered && let Some(run) = self.runs.get_mut(id) {
            run.input.uncertain |= !run.input.pieces.is_empty();
            run.input.drop_before(run.input.pieces.len());
        }
    }

    /// The service has taken the input up to this number.
    pub(super) fn confirm_input(&mut self, id: RunId, taken: Option<u64>) {
        let (Some(taken), Some(run)) = (taken, self.runs.get_mut(id)) else { return };
        let input = &mut run.input;
        if input.first == 0 {
            input.first = taken.saturating_add(1);
            self.enqueue_input(id, 0);
        } else {
            let known = taken.saturating_add(1).saturating_sub(input.first);
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            input.drop_before(known.min(input.pieces.len()));
        }
    }

    /// A run's connection is lost, and input without a number was under way.
    pub(super) fn lose_input(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(id)
            && std::mem::take(&mut run.input.uncertain)
        {
            self.notice(id, StreamEvent::InputUncertain);
        }
    }
}
