//! What goes over the control channel: a length of four bytes, big-endian, and JSON.
//!
//! To the interpreter: `warm`, `run`, `stdin`, `interrupt`. From it: `ready` (also after `warm`), `result`, `error`, `input`, `done`. What comes
//! from there is untrusted: the user's program lives in the same process and can write whatever it likes. So the
//! parser is total, a frame has a largest size and takes a small multiple of its bytes, and a message counts only with
//! the nonce of the cell that runs.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use agb_protocol::MimeBundle;
use serde::de::{Deserialize, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::{Cell, CellError, KernelSpec, ProtocolError, RichResult};

/// What a harness sends.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    Ready,
    Cell { nonce: String, message: CellMessage },
}

/// What a harness sends about a cell.
#[derive(Debug, PartialEq)]
pub(crate) enum CellMessage {
    Result(RichResult),
    Error(CellError),
    Input {
        prompt: String,
        password: bool,
    },
    /// The cell has ended; `exits` says that its interpreter ends by itself now.
    Done {
        failed: bool,
        time: Duration,
        exits: bool,
    },
}

impl Message {
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, ProtocolError> {
        let mut deserializer = serde_json::Deserializer::from_slice(frame);
        let fields = deserializer.deserialize_map(Fields::default());
        let fields =
            fields.and_then(|fields| deserializer.end().map(|()| fields)).map_err(|_| ProtocolError::Malformed)?;
        fields.message().ok_or(ProtocolError::Malformed)
    }
}

/// The members of a message, found but not read: the values of a program's own stay text.
#[derive(Default)]
struct Fields<'a> {
    found: [Option<&'a RawValue>; NAMES.len()],
}

const NAMES: [&str; 12] =
    ["type", "nonce", "main", "data", "name", "value", "traceback", "prompt", "password", "failed", "seconds", "exits"];

impl<'a> Fields<'a> {
    fn message(&self) -> Option<Message> {
        let message = match self.read::<Cow<'_, str>>("type")?.as_ref() {
            "ready" => return Some(Message::Ready),
            "result" => CellMessage::Result(RichResult {
                is_main: self.read("main")?,
                data: MimeBundle::parse(self.get("data")?.get())?,
            }),
            "error" => CellMessage::Error(CellError {
                name: self.read("name")?,
                value: self.read("value")?,
                traceback: self.read("traceback")?,
            }),
            "input" => CellMessage::Input {
                prompt: self.read("prompt")?,
                password: self.get("password").is_some() && self.read("password")?,
            },
            "done" => CellMessage::Done {
                failed: self.read("failed")?,
                time: Duration::try_from_secs_f64(self.read("seconds")?).ok()?,
                exits: self.get("exits").is_some() && self.read("exits")?,
            },
            _ => return None,
        };
        Some(Message::Cell { nonce: self.read("nonce")?, message })
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let at = NAMES.iter().position(|known| *known == name)?;
        self.found[at]
    }

    fn read<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }
}

impl<'de> Visitor<'de> for Fields<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            match NAMES.iter().position(|known| *known == name) {
                Some(at) => self.found[at] = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(self)
    }
}

/// The frame that starts a cell; its spec says whether it is a whole program, and how that is called.
pub(crate) fn run(cell: &Cell, nonce: &str, count: u32, spec: &KernelSpec) -> Vec<u8> {
    let mut message = json!({
        "type": "run", "nonce": nonce, "count": count, "code": cell.code, "stdin": cell.stdin,
        "maxFrame": spec.limits.max_control_frame, "ends": spec.ends_programs,
    });
    if let Some(name) = &spec.program_name {
        message["program"] = name.as_str().into();
        message["arguments"] = spec.arguments.len().into();
        for (at, argument) in spec.arguments.iter().enumerate() {
            message[format!("argument{at}")] = argument.as_str().into(); // harnesses read flat objects
        }
    }
    frame(&message)
}

/// The frame that asks for what a first cell would wait for: it is answered by `ready`.
pub(crate) fn warm() -> Vec<u8> {
    frame(&json!({ "type": "warm" }))
}

/// The frame that answers an `input`.
pub(crate) fn stdin(nonce: &str, data: &str, eof: bool) -> Vec<u8> {
    frame(&json!({ "type": "stdin", "nonce": nonce, "data": data, "eof": eof }))
}

/// The frame that goes with a SIGINT, for interpreters that a signal does not reach; `again` with the second one.
pub(crate) fn interrupt(nonce: &str, count: u32, again: bool) -> Vec<u8> {
    frame(&json!({ "type": "interrupt", "nonce": nonce, "count": count, "again": again }))
}

fn frame(value: &Value) -> Vec<u8> {
    raw(value.to_string().as_bytes())
}

/// A frame around bytes: the first ones carry the harness itself.
pub(crate) fn raw(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a cell of 4 GiB does not fit the server's own limits");
    let mut frame = Vec::with_capacity(4 + bytes.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

/// What there is of messages that are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) bytes: usize,
    pub(crate) memory: usize,
}

/// Cuts a byte stream into frames. Holds at most one frame and one read.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    /// Where the next frame begins: what is before it has been taken.
    at: usize,
    limit: usize,
    /// How large the last message was.
    last_size: usize,
    /// How many bytes are still to come of a message that is left out.
    unwanted: usize,
}

impl FrameBuffer {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), at: 0, limit, last_size: 0, unwanted: 0 }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let (unwanted, bytes) = bytes.split_at(self.unwanted.min(bytes.len()));
        self.unwanted -= unwanted.len();
        self.bytes.drain(..std::mem::take(&mut self.at));
        self.bytes.extend_from_slice(bytes);
    }

    /// How much it has of messages that are not taken, such as one that has not come whole, and what it takes for that.
    pub(crate) fn held(&self) -> Held {
        Held { bytes: self.bytes.len() - self.at, memory: self.bytes.capacity() }
    }

    /// Drops the next message, which has not come whole, and what comes of it. Its size; `None`: there is none, or it is whole
    /// or too large, which [`next`](Self::next) tells.
    pub(crate) fn leave_out(&mut self) -> Option<usize> {
        let (header, rest) = self.bytes[self.at..].split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*header) as usize;
        self.unwanted = length.checked_sub(rest.len()).filter(|left| *left > 0 && length <= self.limit)?;
        (self.bytes, self.at) = (Vec::new(), 0);
        Some(length)
    }

    /// How many bytes the last message took.
    pub(crate) fn last_size(&self) -> usize {
        self.last_size
    }

    /// The next whole message.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, ProtocolError> {
        let Some((header, rest)) = self.bytes[self.at..].split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header) as usize;
        if length > self.limit {
            return Err(ProtocolError::TooLarge(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let message = if length > LARGE { apart(|| Message::parse(frame)) } else { Message::parse(frame) }?;
        self.last_size = 4 + length;
        self.at += self.last_size;
        if self.at == self.bytes.len() {
            self.at = 0;
            self.bytes.clear();
            if self.bytes.capacity() > 1 << 20 {
                self.bytes = Vec::new(); // a figure once in a while must not stay in memory
            }
        }
        Ok(Some(message))
    }
}

/// What takes longer to read than this takes is read while another thread serves everybody else: a few milliseconds.
const LARGE: usize = 256 << 10;

/// Does something that takes long. Where the runtime has but this thread, everybody waits.
fn apart<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) { tokio::task::block_in_place(work) } else { work() }
}

/// Reads what came over a control channel, piece by piece: how many messages, and what was wrong then. For fuzzing.
#[doc(hidden)]
pub fn read_control<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (usize, Option<ProtocolError>) {
    let mut buffer = FrameBuffer::new(limit);
    let mut messages = 0;
    for piece in pieces {
        buffer.feed(piece);
        loop {
            match buffer.next() {
                Ok(Some(_)) => messages += 1,
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(nonce: &str) -> Vec<u8> {
        raw(format!(r#"{{"type":"done","nonce":"{nonce}","failed":false,"seconds":0.5}}"#).as_bytes())
    }

    #[test]
    fn frames_come_in_any_pieces() {
        let mut bytes = done("a");
        bytes.extend(done("b"));
        for size in 1..bytes.len() {
            let mut buffer = FrameBuffer::new(1000);
            let mut nonces = Vec::new();
            for piece in bytes.chunks(size) {
                buffer.feed(piece);
                while let Some(message) = buffer.next().unwrap() {
                    let Message::Cell { nonce, message: CellMessage::Done { failed: false, time, exits: false } } =
                        message
                    else {
                        panic!()
                    };
                    assert_eq!(time, Duration::from_millis(500));
                    nonces.push(nonce);
                }
            }
            assert_eq!(nonces, ["a", "b"]);
        }
    }

    #[test]
    fn the_rest_of_a_message_is_left_out_and_the_next_one_is_not() {
        let (large, next) = (raw(&[b'x'; 500]), done("a"));
        for size in [1, 7, 64, 600] {
            let mut buffer = FrameBuffer::new(1000);
            assert_eq!(buffer.leave_out(), None);
            buffer.feed(&large[..300]);
            assert_eq!((buffer.next(), buffer.leave_out(), buffer.leave_out()), (Ok(None), Some(500), None));
            assert_eq!(buffer.held(), Held { bytes: 0, memory: 0 });
            let rest = [&large[300..], &next[..]].concat();
            for piece in rest.chunks(size) {
                assert_eq!(buffer.next(), Ok(None));
                buffer.feed(piece);
            }
            assert_eq!(buffer.leave_out(), None, "it is whole");
            assert!(buffer.next().is_ok_and(|message| message.is_some()), "pieces of {size}");
        }
        let mut buffer = FrameBuffer::new(10);
        buffer.feed(&large[..300]);
        assert_eq!((buffer.leave_out(), buffer.next()), (None, Err(ProtocolError::TooLarge(500))));
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_by_its_header() {
        let mut buffer = FrameBuffer::new(10);
        buffer.feed(&11_u32.to_be_bytes());
        assert_eq!(buffer.next(), Err(ProtocolError::TooLarge(11)));
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        let deep = "[".repeat(100_000);
        for frame in [
            "",
            "null",
            "[]",
            "{}",
            "\u{0}",
            r#"{"type":5}"#,
            r#"{"type":"nonsense","nonce":"a"}"#,
            r#"{"type":"done","nonce":"a","failed":false}"#,
            r#"{"type":"done","nonce":"a","failed":false,"seconds":-1}"#,
            r#"{"type":"done","nonce":"a","failed":false,"seconds":1e300}"#,
            r#"{"type":"done","failed":false,"seconds":1}"#,
            r#"{"type":"result","nonce":"a","main":1,"data":{}}"#,
            r#"{"type":"result","nonce":"a","main":true,"data":[]}"#,
            r#"{"type":"error","nonce":"a","name":"x","value":null,"traceback":""}"#,
            r#"{"type":"input","nonce":"a"}"#,
            &deep,
        ] {
            assert_eq!(Message::parse(frame.as_bytes()), Err(ProtocolError::Malformed), "{frame:.50}");
        }
        assert_eq!(Message::parse(b"\xff\xfe"), Err(ProtocolError::Malformed));
    }
}
