//! A run's input that the service may not have yet.

use agb_protocol::command::TerminalSize;

use crate::wire::outgoing::Address;

/// A piece of a run's input. What steers a command is one too, so that it keeps its place and arrives once.
#[derive(Debug)]
pub(super) enum Piece {
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

    pub(super) fn say(&self, address: Address<'_>, seq: Option<u64>) -> String {
        match self {
            Self::Text(text) => address.stdin(Some(text), seq),
            Self::End => address.stdin(None, seq),
            Self::Signal(signal) => address.signal(signal, seq),
            Self::Resize(size) => address.resize(*size, seq),
        }
    }
}

/// Pieces of input in order, each with its number, until the service has confirmed them.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    pieces: Vec<Piece>,
    /// The end has been said.
    ended: bool,
    /// The number of the first piece. 0: the run was begun elsewhere, and the service has not yet said how much it has.
    first: u64,
    bytes: usize,
    /// Something without a number was sent over this connection.
    uncertain: bool,
}

impl Unconfirmed {
    /// About what a piece costs beside its text.
    const PIECE: usize = 64;

    /// For a run that is begun here, or elsewhere.
    pub(super) const fn new(here: bool) -> Self {
        Self { pieces: Vec::new(), ended: false, first: here as u64, bytes: 0, uncertain: false }
    }

    /// Whether the end has been said.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// What would wait with this piece, bytes.
    pub(super) fn bytes_with(&self, piece: &Piece) -> usize {
        self.bytes.saturating_add(piece.size() + Self::PIECE)
    }

    /// Keeps a piece, and gives its place.
    pub(super) fn push(&mut self, piece: Piece) -> usize {
        self.ended |= matches!(piece, Piece::End);
        self.bytes = self.bytes_with(&piece);
        self.pieces.push(piece);
        self.pieces.len() - 1
    }

    /// The pieces from this place on, with their numbers.
    pub(super) fn pieces(&self, from: usize) -> impl Iterator<Item = (u64, &Piece)> {
        let pieces = self.pieces.iter().enumerate().skip(from);
        pieces.map(|(at, piece)| (self.first.saturating_add(at as u64), piece))
    }

    /// Whether the numbers of the pieces are known.
    pub(super) const fn is_numbered(&self) -> bool {
        self.first > 0
    }

    /// The service has the input up to this number, all of it from elsewhere: the pieces here follow.
    pub(super) const fn number_after(&mut self, taken: u64) {
        self.first = taken.saturating_add(1);
    }

    /// Drops what the service has: everything up to this number.
    pub(super) fn confirm(&mut self, taken: u64) {
        let known = taken.saturating_add(1).saturating_sub(self.first);
        self.drop_before(usize::try_from(known).unwrap_or(usize::MAX));
    }

    /// Drops all pieces, which were sent without numbers: nobody will confirm them.
    pub(super) fn forget_sent(&mut self) {
        self.uncertain |= !self.pieces.is_empty();
        self.drop_before(self.pieces.len());
    }

    /// The connection is lost: whether something without a number was sent over it.
    pub(super) const fn take_uncertain(&mut self) -> bool {
        std::mem::replace(&mut self.uncertain, false)
    }

    fn drop_before(&mut self, at: usize) {
        let at = at.min(self.pieces.len());
        let size = |piece: Piece| piece.size() + Self::PIECE;
        let gone: usize = self.pieces.drain(..at).map(size).sum();
        self.bytes -= gone;
        self.first = self.first.saturating_add(at as u64);
    }
}
