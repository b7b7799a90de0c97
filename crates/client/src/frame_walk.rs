//! How many frames are in what a service sends.

/// Two bytes, eight of a length, and a mask (RFC 6455, section 5.2).
const LONGEST_HEADER: usize = 14;

/// Where a service's bytes are among its WebSocket frames.
#[derive(Debug, Default)]
pub(crate) struct FrameWalk {
    /// What has not come of the frame that is under way.
    left: u64,
    /// The beginning of the header that follows, and how much of it has come.
    header: [u8; LONGEST_HEADER],
    known: usize,
    /// Frames that have begun since others had their turn.
    frames: u32,
}

impl FrameWalk {
    /// So many frames begin before others have their turn, so that they do also while no message becomes whole. As many as
    /// messages are delivered before the readers have theirs: empty frames take a fifth of a millisecond then.
    pub(crate) const FRAMES: u32 = 1024;

    /// Whether it is the turn of others, which begins a new one.
    pub(crate) const fn is_others_turn(&mut self) -> bool {
        let is_theirs = self.frames >= Self::FRAMES;
        if is_theirs {
            self.frames = 0;
        }
        is_theirs
    }

    /// Goes through what came, as far as it is not the turn of others. Returns how far that is.
    pub(crate) fn pass(&mut self, came: &[u8]) -> usize {
        let mut at = 0;
        while at < came.len() && self.frames < Self::FRAMES {
            if self.left > 0 {
                let payload = usize::try_from(self.left).unwrap_or(usize::MAX).min(came.len() - at);
                self.left -= payload as u64;
                at += payload;
                continue;
            }
            self.header[self.known] = came[at];
            self.known += 1;
            at += 1;
            if self.known == header_length(&self.header[..self.known]) {
                self.left = payload_length(&self.header);
                self.known = 0;
                self.frames += 1;
            }
        }
        at
    }
}

/// How long a header is, as far as its first bytes say.
fn header_length(known: &[u8]) -> usize {
    let Some(second) = known.get(1) else { return 2 };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    2 + length_bytes(*second) + mask
}

/// How many bytes of a length follow the second byte of a header.
const fn length_bytes(second: u8) -> usize {
    match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

fn payload_length(header: &[u8; LONGEST_HEADER]) -> u64 {
    let second = header[1];
    match length_bytes(second) {
        0 => u64::from(second & 0x7f),
        bytes => header[2..2 + bytes].iter().fold(0, |length, byte| (length << 8) | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_any_length_are_counted_in_any_pieces() {
        let mut bytes = Vec::new();
        for length in [0_u16, 1, 125, 126, 300, 65_535] {
            for mask in [0_u8, 0x80] {
                bytes.push(0x82);
                match length {
                    0..126 => bytes.push(u8::try_from(length).expect("it is short") | mask),
                    _ => {
                        bytes.push(126 | mask);
                        bytes.extend(length.to_be_bytes());
                    }
                }
                bytes.extend(vec![0xff; usize::from(length) + if mask == 0 { 0 } else { 4 }]);
            }
        }
        bytes.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        bytes.extend(vec![0xff; 1 << 16]);
        for piece in [1, 3, 1000, bytes.len()] {
            let mut walk = FrameWalk::default();
            for came in bytes.chunks(piece) {
                assert_eq!(walk.pass(came), came.len());
            }
            assert_eq!((walk.frames, walk.left, walk.known), (13, 0, 0), "in pieces of {piece}");
        }
    }

    #[test]
    fn it_stops_where_it_is_the_turn_of_others() {
        let mut walk = FrameWalk::default();
        let empty = vec![0; 10_000];
        assert!(!walk.is_others_turn());
        assert_eq!(walk.pass(&empty), 2048);
        assert_eq!(walk.pass(&empty), 0);
        assert!(walk.is_others_turn() && !walk.is_others_turn());
        assert_eq!(walk.pass(&empty), 2048);
    }
}
