//! The frames of a WebSocket's client, and the pieces of the large ones.

use tokio::io::ReadBuf;

use super::LARGE;

/// Two bytes, eight of a length, and the mask.
const LONGEST_HEADER: usize = 14;
/// The bit of a header's first byte that says that the message ends with this frame.
pub(super) const LAST: u8 = 0x80;
/// The bits of a header's first byte that say what the frame is. From 8 on it is one of the protocol's own, which has no
/// pieces; 0 to 2 are a message's.
const KIND: u8 = 0x0f;
/// The kind of a text, or of its first piece.
pub(super) const TEXT: u8 = 1;
/// The bit of a header's second byte that says that there is a mask.
pub(super) const MASKED: u8 = 0x80;

/// Where a client's bytes are among its frames.
pub(super) struct Pieces {
    /// A frame of more than this stays as it is: the library refuses it.
    largest: u64,
    /// What has not come of the frame, or piece, that is under way.
    left: u64,
    /// What is behind it, of the same frame.
    behind: u64,
    /// That frame's own header.
    header: Header,
    /// Frames that have begun since others had their turn.
    frames: u32,
}

/// A frame's header, or some of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Header {
    pub(super) bytes: [u8; LONGEST_HEADER],
    pub(super) length: usize,
    /// What of it the library has.
    given: usize,
}

impl Pieces {
    /// So many frames begin before others have their turn, and those of one read at most: with 8 KiB, 1365 empty ones, which
    /// take a third of a millisecond. 64: as many messages have had four turns by then, so this is for parts that make none.
    const FRAMES: u32 = 64;

    /// Of a client whose frames may have so many bytes.
    pub(super) fn new(largest: usize) -> Self {
        Self { largest: largest as u64, left: 0, behind: 0, header: Header::default(), frames: 0 }
    }

    /// Whether it is the turn of others, which begins a new one.
    pub(super) fn is_others_turn(&mut self) -> bool {
        let is_theirs = self.frames >= Self::FRAMES;
        if is_theirs {
            self.frames = 0;
        }
        is_theirs
    }

    /// How much may be read at once: no more than the piece has, so that the next header goes before what follows.
    pub(super) fn most(&self) -> usize {
        if self.behind == 0 {
            return LARGE;
        }
        usize::try_from(self.left).unwrap_or(LARGE)
    }

    /// Goes through what came, at most [`Pieces::most`], and makes pieces of a large frame that begins there. Returns how much
    /// of it is whole: the rest is the beginning of a header.
    pub(super) fn pass(&mut self, came: &mut [u8]) -> usize {
        let mut at = 0;
        loop {
            let payload = usize::try_from(self.left).unwrap_or(usize::MAX).min(came.len() - at);
            self.left -= payload as u64;
            at += payload;
            let rest = &mut came[at..];
            let header = header_length(rest);
            if rest.len() < header {
                return at;
            }
            self.begin(&mut rest[..header]);
            at += header;
        }
    }

    /// A frame begins. Its header becomes that of its first piece, if it is large.
    pub(super) fn begin(&mut self, header: &mut [u8]) {
        self.frames = self.frames.saturating_add(1);
        (self.left, self.behind) = (payload_length(header), 0);
        if header[0] & KIND <= 2 && self.left > LARGE as u64 && self.left <= self.largest {
            self.header = Header::of(header);
            (self.left, self.behind) = (LARGE as u64, self.left - LARGE as u64);
            header[0] &= !LAST;
            set_payload_length(header, self.left);
        }
    }

    /// The header of the piece that follows, when the one before has passed.
    pub(super) fn next_header(&mut self) -> Option<Header> {
        if self.left > 0 || self.behind == 0 {
            return None;
        }
        self.left = self.behind.min(LARGE as u64);
        self.behind -= self.left;
        let mut header = self.header; // with the mask, which fits: each piece begins where the mask does
        header.bytes[0] = if self.behind == 0 { header.bytes[0] & LAST } else { 0 };
        set_payload_length(&mut header.bytes, self.left);
        Some(header)
    }
}

impl Header {
    /// At most [`LONGEST_HEADER`] bytes.
    pub(super) fn of(known: &[u8]) -> Self {
        let mut header = Self { length: known.len(), ..Self::default() };
        header.bytes[..known.len()].copy_from_slice(known);
        header
    }

    pub(super) fn known(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn is_left(&self) -> bool {
        self.given < self.length
    }

    pub(super) fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let bytes = (self.length - self.given).min(buffer.remaining());
        buffer.put_slice(&self.bytes[self.given..self.given + bytes]);
        self.given += bytes;
    }
}

/// How long a header is, as far as its first bytes say.
pub(super) fn header_length(first: &[u8]) -> usize {
    let Some(second) = first.get(1) else { return 2 };
    let mask = if second & MASKED == 0 { 0 } else { 4 };
    2 + length_bytes(*second) + mask
}

/// How many bytes of a length follow the second byte of a header.
pub(super) fn length_bytes(second: u8) -> usize {
    match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

/// What a whole header says of its payload.
pub(super) fn payload_length(header: &[u8]) -> u64 {
    let bytes = &header[2..2 + length_bytes(header[1])];
    if bytes.is_empty() {
        return u64::from(header[1] & !MASKED);
    }
    bytes.iter().fold(0, |length, byte| (length << 8) | u64::from(*byte))
}

/// Says another length in the form that the header has, which is one for large payloads.
pub(super) fn set_payload_length(header: &mut [u8], length: u64) {
    let bytes = length_bytes(header[1]);
    header[2..2 + bytes].copy_from_slice(&length.to_be_bytes()[8 - bytes..]);
}
