//! What a client sends over a WebSocket, before the library reads it.

use agb_server::fuzzing;

/// The largest message, and the largest frame that the library is to see.
const LARGEST: usize = 100 << 10;
const LARGE: usize = 32 << 10;

/// The first two bytes say how much comes at a time, the third how many KiB of filling are behind the rest.
pub(crate) fn frames(bytes: &[u8]) {
    let Some((&[high, low, filling], rest)) = bytes.split_first_chunk() else { return };
    let mut stream = rest.to_vec();
    stream.resize(rest.len() + (usize::from(filling & 0x7f) << 10), b'x');
    let at_a_time = usize::from(u16::from_be_bytes([high, low]));
    let passed_on = fuzzing::frames(&stream, at_a_time, LARGEST).expect("what is there is read");
    for frame in read(&passed_on) {
        let is_in_pieces = frame.kind() <= 2 && (LARGE + 1..=LARGEST).contains(&frame.length);
        assert!(!is_in_pieces, "a frame of {} bytes is passed on", frame.length);
    }
    assert!(messages(&read(&stream)) == messages(&read(&passed_on)), "a message is not what it was");
}

/// A frame, the last of which may not have come whole.
struct Frame {
    first: u8,
    /// What its header says.
    length: usize,
    /// Without its mask.
    payload: Vec<u8>,
}

impl Frame {
    fn kind(&self) -> u8 {
        self.first & 0x0f
    }

    fn ends_its_message(&self) -> bool {
        self.first & 0x80 != 0 && self.payload.len() == self.length
    }
}

/// Reads the frames whose headers have come, by RFC 6455, section 5.2.
fn read(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = read_one(bytes) {
        frames.push(frame);
        bytes = rest;
    }
    frames
}

fn read_one(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let (&[first, second], mut rest) = bytes.split_first_chunk()?;
    let length = match second & 0x7f {
        126 => {
            let (length, behind) = rest.split_first_chunk()?;
            rest = behind;
            u64::from(u16::from_be_bytes(*length))
        }
        127 => {
            let (length, behind) = rest.split_first_chunk()?;
            rest = behind;
            u64::from_be_bytes(*length)
        }
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        let (own, behind) = rest.split_first_chunk()?;
        (mask, rest) = (*own, behind);
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (payload, rest) = rest.split_at(length.min(rest.len()));
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((Frame { first, length, payload }, rest))
}

/// A message, or a frame of the protocol's own, and whether it has ended.
#[derive(PartialEq)]
struct Message {
    kind: u8,
    payload: Vec<u8>,
    has_ended: bool,
    /// A frame of the protocol's own came between its pieces, behind so many bytes of them.
    between: Vec<(usize, u8, Vec<u8>)>,
}

/// Joins what belongs together. A piece without a beginning is a message of its own.
fn messages(frames: &[Frame]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for frame in frames {
        let last = messages.last_mut().filter(|last| !last.has_ended);
        match (frame.kind(), last) {
            (8.., Some(last)) => last.between.push((last.payload.len(), frame.first, frame.payload.clone())),
            (0, Some(last)) => {
                last.payload.extend_from_slice(&frame.payload);
                last.has_ended = frame.ends_its_message();
            }
            _ => messages.push(Message {
                kind: frame.first & 0x7f,
                payload: frame.payload.clone(),
                has_ended: frame.ends_its_message(),
                between: Vec::new(),
            }),
        }
    }
    messages
}
