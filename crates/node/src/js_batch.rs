//! A run's output on its way to JavaScript: text that is ready to become a string, and marks in UTF-16 units.
//!
//! ASCII is handed over as it is, for its bytes are its units. Anything else is made UTF-16 here, on the I/O thread:
//! Node's own conversion costs the JavaScript thread six times as much.

use std::sync::Arc;

use agb_client::{Batch, Piece, Stamp, Stream, StreamEvent};

/// Text that a JavaScript string can be made of without looking at it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Text {
    /// Part of a batch that is ASCII: from the first byte to the second.
    Ascii(Arc<Batch>, usize, usize),
    /// UTF-16.
    Wide(Vec<u16>),
    /// ASCII of our own.
    Own(String),
}

/// One delivery to JavaScript.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JsBatch {
    pub(crate) text: Text,
    /// See `Batch` in `binding.ts`.
    pub(crate) marks: Vec<u32>,
    /// Three numbers a piece: its number, its time or 0, 1 for background. Empty where nobody asked for them.
    pub(crate) stamps: Vec<f64>,
    /// What the marks of kind 2 stand for.
    pub(crate) events: Vec<StreamEvent>,
    /// It is the last of a batch: that one's length, and its number.
    pub(crate) closes: Option<(usize, u64)>,
    /// No more will come.
    pub(crate) ended: bool,
}

/// The kinds of marks, in their two low bits.
pub(crate) const STDOUT: u32 = 0;
const STDERR: u32 = 1;
const EVENT: u32 = 2;

/// A larger delivery would hold the JavaScript thread too long. The core closes its batches at this size, so only a
/// batch that ends in a large chunk is taken apart.
const LARGEST: usize = 32 * 1024;

impl JsBatch {
    /// The last delivery of a run when nothing came with the end.
    pub(crate) const fn end() -> Self {
        Self {
            text: Text::Own(String::new()),
            marks: Vec::new(),
            stamps: Vec::new(),
            events: Vec::new(),
            closes: None,
            ended: true,
        }
    }

    /// How much memory it holds, about.
    pub(crate) fn memory_size(&self) -> usize {
        let text = match &self.text {
            Text::Ascii(_, from, to) => to - from,
            Text::Wide(units) => 2 * units.capacity(),
            Text::Own(text) => text.len(),
        };
        text + 4 * self.marks.len() + 8 * self.stamps.len() + 256 * self.events.len()
    }
}

/// Takes a batch apart into deliveries of at most [`LARGEST`] bytes, or of one chunk where that is larger.
pub(crate) fn js_batches(batch: &Arc<Batch>) -> Vec<JsBatch> {
    let is_ascii = batch.text().is_ascii();
    let mut js_batches = Vec::with_capacity(1);
    let (mut from, mut to, mut pieces) = (0, 0, Vec::with_capacity(batch.marks().len()));
    let mut stamps = batch.stamps().iter().copied();
    for piece in batch.pieces() {
        let length = if let Piece::Chunk(_, text) = piece { text.len() } else { 0 };
        if to > from && to - from + length > LARGEST {
            js_batches.push(js_batch(batch, is_ascii, from, to, &pieces));
            from = to;
            pieces.clear();
        }
        to += length;
        pieces.push((piece, stamps.next()));
    }
    if !pieces.is_empty() {
        js_batches.push(js_batch(batch, is_ascii, from, to, &pieces));
    }
    if let Some(last) = js_batches.last_mut() {
        last.closes = Some((batch.memory_size(), batch.seq()));
    }
    js_batches
}

/// A piece with its stamp.
type Stamped<'a> = (Piece<'a>, Option<Stamp>);

fn js_batch(batch: &Arc<Batch>, is_ascii: bool, from: usize, to: usize, pieces: &[Stamped<'_>]) -> JsBatch {
    let events = pieces
        .iter()
        .filter_map(|(piece, _)| if let Piece::Event(event) = piece { Some((*event).clone()) } else { None });
    let numbers = |stamp: Stamp| {
        [stamp.seq as f64, stamp.time.unwrap_or(0) as f64, f64::from(u8::from(stamp.background))] // below 2^53
    };
    let stamps = pieces.iter().filter_map(|(_, stamp)| stamp.map(numbers)).flatten().collect();
    let mut marks = Vec::with_capacity(pieces.len());
    let text = if is_ascii {
        marks.extend(pieces.iter().map(|(piece, _)| match piece {
            Piece::Chunk(stream, text) => mark(*stream, text.len()),
            Piece::Event(_) => EVENT,
        }));
        Text::Ascii(Arc::clone(batch), from, to)
    } else {
        let mut units = Wide::with_capacity(to - from);
        marks.extend(pieces.iter().map(|(piece, _)| match piece {
            Piece::Chunk(stream, text) => mark(*stream, units.push(text)),
            Piece::Event(_) => EVENT,
        }));
        Text::Wide(units.finish())
    };
    JsBatch { text, marks, stamps, events: events.collect(), closes: None, ended: false }
}

/// Chunks, as often as they are asked for.
pub(crate) type Chunks<'a> = dyn Fn() -> Box<dyn Iterator<Item = (Stream, &'a str)> + 'a> + 'a;

/// Chunks as one text and marks, for a log that JavaScript asks for.
pub(crate) fn joined(chunks: &Chunks<'_>) -> (Text, Vec<u32>) {
    let (mut length, mut count, mut is_ascii) = (0, 0, true);
    for (_, chunk) in chunks() {
        length += chunk.len();
        count += 1;
        is_ascii &= chunk.is_ascii();
    }
    let mut marks = Vec::with_capacity(count);
    if is_ascii {
        let mut text = String::with_capacity(length);
        for (stream, chunk) in chunks() {
            text.push_str(chunk);
            marks.push(mark(stream, chunk.len()));
        }
        (Text::Own(text), marks)
    } else {
        let mut units = Wide::with_capacity(length);
        for (stream, chunk) in chunks() {
            marks.push(mark(stream, units.push(chunk)));
        }
        (Text::Wide(units.finish()), marks)
    }
}

fn mark(stream: Stream, units: usize) -> u32 {
    let kind = match stream {
        Stream::Stdout => STDOUT,
        Stream::Stderr => STDERR,
    };
    // A message is at most 64 MiB, and a joined chunk of a log at most as long as the log, far below 2^30.
    u32::try_from(units).unwrap_or(u32::MAX >> 2) << 2 | kind
}

/// UTF-16 that grows. It never needs more units than the UTF-8 has bytes.
struct Wide {
    units: Vec<u16>,
    used: usize,
}

impl Wide {
    fn with_capacity(bytes: usize) -> Self {
        Self { units: vec![0; bytes], used: 0 }
    }

    /// Appends a text of at most the remaining capacity; says how many units it has.
    fn push(&mut self, text: &str) -> usize {
        let units = encoding_rs::mem::convert_str_to_utf16(text, &mut self.units[self.used..]);
        self.used += units;
        units
    }

    fn finish(mut self) -> Vec<u16> {
        self.units.truncate(self.used);
        self.units
    }
}

#[cfg(test)]
mod tests {
    use agb_client::agb_core::run::RunRequest;
    use agb_client::agb_core::wire::service::Reply;
    use agb_client::agb_core::{Capabilities, Input, Instant, Output, Session};
    use agb_client::{Language, SessionConfig};

    use super::*;

    /// Lets the core make batches of what a service says.
    fn batches(frames: impl Fn(Reply<'_>) -> Vec<String>) -> Vec<Arc<Batch>> {
        let now = Instant::ORIGIN;
        let mut session = Session::new(SessionConfig::new("ws://h", "t".into()), Capabilities::NATIVE, 1);
        let request = RunRequest {
            code: "1".into(),
            language: Language::Python,
            timeout: std::time::Duration::MAX,
            stdin: false,
        };
        let run = session.run(now, request).expect("an open session takes a run");
        let invocation = session.invocation(run).expect("it is live").to_owned();
        let link = loop {
            if let Output::Open(link, _) = session.poll_output() {
                break link;
            }
        };
        session.handle_input(now, link, Input::Opened);
        let reply = Reply { invocation: &invocation, source: "s", seq: None, time: None };
        for frame in frames(reply) {
            session.handle_input(now, link, Input::Text(&frame));
        }
        std::iter::from_fn(|| session.read(now, run)).map(Arc::new).collect()
    }

    /// A `JsBatch` as JavaScript sees it.
    fn decode(js_batch: &JsBatch) -> Vec<(u32, String)> {
        let units: Vec<u16> = match &js_batch.text {
            Text::Ascii(batch, from, to) => batch.text()[*from..*to].encode_utf16().collect(),
            Text::Own(text) => text.encode_utf16().collect(),
            Text::Wide(units) => units.clone(),
        };
        let mut from = 0;
        let mut take = |mark: &u32| {
            let to = from + (mark >> 2) as usize;
            let text = String::from_utf16(&units[from..to]).expect("chunks are whole characters");
            from = to;
            (mark & 3, text)
        };
        let pieces = js_batch.marks.iter().map(&mut take).collect();
        assert_eq!(from, units.len());
        pieces
    }

    #[test]
    fn marks_are_in_utf16_units() {
        for chunks in [vec!["a", "", "bc"], vec!["ü", "a", "你好"], vec!["👩‍💻", "", "\u{10ffff}x"]] {
            let batches = batches(|reply| {
                let streams = [Stream::Stdout, Stream::Stderr].into_iter().cycle();
                chunks.iter().zip(streams).map(|(chunk, stream)| reply.chunk(stream, chunk)).collect()
            });
            let [batch] = &*batches else { panic!("one batch") };
            let [js_batch] = &*js_batches(batch) else { panic!("one batch") };
            let expected: Vec<_> = chunks.iter().zip([STDOUT, STDERR].into_iter().cycle()).collect();
            let decoded = decode(js_batch);
            let decoded: Vec<_> = decoded.iter().map(|(kind, text)| (text.as_str(), *kind)).collect();
            assert_eq!(decoded, expected.into_iter().map(|(text, kind)| (*text, kind)).collect::<Vec<_>>());
            assert_eq!(matches!(js_batch.text, Text::Ascii(..)), chunks.iter().all(|chunk| chunk.is_ascii()));
        }
    }

    #[test]
    fn events_keep_their_place() {
        let batches = batches(|reply| {
            vec![
                reply.chunk(Stream::Stdout, "a"),
                reply.error("E", "no", "", None),
                reply.input_request("?", false),
                reply.chunk(Stream::Stdout, "b"),
            ]
        });
        let [js_batch] = &*js_batches(&batches[0]) else { panic!("one batch") };
        assert_eq!(js_batch.marks, [mark(Stream::Stdout, 1), EVENT, EVENT, mark(Stream::Stdout, 1)]);
        let [StreamEvent::Error(error), StreamEvent::InputRequest { prompt, .. }] = &*js_batch.events else {
            panic!("{:?}", js_batch.events)
        };
        assert_eq!((&*error.code, &**prompt), ("E", "?"));
        assert!(js_batch.stamps.is_empty(), "nobody asked for them");
    }

    #[test]
    fn only_a_single_chunk_makes_a_large_segment() {
        for letter in ["x", "的"] {
            let sizes = [20_000, 10_000, 60_000, 5, 40_000, 7];
            let batches = batches(|reply| {
                sizes.iter().map(|size| reply.chunk(Stream::Stdout, &letter.repeat(size / letter.len()))).collect()
            });
            let mut seen = Vec::new();
            for js_batch in batches.iter().flat_map(js_batches) {
                let pieces = decode(&js_batch);
                let length: usize = pieces.iter().map(|(_, text)| text.len()).sum();
                assert!(length <= LARGEST || pieces.len() == 1, "{length} in {}", pieces.len());
                seen.extend(pieces.into_iter().map(|(_, text)| text.len()));
            }
            assert_eq!(seen, sizes.map(|size| size / letter.len() * letter.len()));
        }
    }

    #[test]
    fn a_log_is_joined_as_it_was() {
        for chunks in
            [vec![(Stream::Stdout, "a"), (Stream::Stderr, "bc")], vec![(Stream::Stderr, "你"), (Stream::Stdout, "b")]]
        {
            let (text, marks) = joined(&|| Box::new(chunks.iter().copied()));
            let decoded = decode(&JsBatch { text, marks, ..JsBatch::end() });
            let expected: Vec<_> = chunks.iter().map(|(stream, text)| (mark(*stream, 0), (*text).to_owned())).collect();
            assert_eq!(decoded, expected);
        }
        let (text, marks) = joined(&|| Box::new(std::iter::empty()));
        assert_eq!((text, marks), (Text::Own(String::new()), Vec::new()));
    }
}
