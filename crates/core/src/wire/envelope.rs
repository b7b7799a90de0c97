//! The envelopes of the chunks that came last: the next chunk's is mostly the same, byte for byte.
//!
//! A frame that begins as a known one did, and ends in one of two ways, is a chunk with what is between them. So all
//! that is left to read is the run's id and the chunk itself, once and not twice, for it is unescaped on the way.
//! Whatever differs goes the long way round, through [`incoming`](super::incoming), and no judgement is made here:
//! frames of any other service are read as well, only slower.

use memchr::memchr2;

use super::origin::Origin;
use super::text::{BadEscape, Raw, append_escaped};
use crate::batch::Stream;

/// Envelopes that were seen.
#[derive(Debug, Default)]
pub(crate) struct Envelopes {
    stdout: Envelope,
    stderr: Envelope,
}

/// What was between the run's id and the chunk, both quotes included. Empty: none was seen.
#[derive(Debug, Default)]
struct Envelope(String);

/// A chunk in a known envelope. Whether it is one at all is known when it has been appended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Known<'a> {
    pub(crate) invocation: &'a str,
    pub(crate) stream: Stream,
    pub(crate) seq: Option<u64>,
    pub(crate) time: Option<u64>,
    escaped: &'a str,
}

impl Envelopes {
    const HEAD: &'static str = r#"{"invocationId":""#;
    const SEQ: &'static str = r#","seq":"#;
    const TIME: &'static str = r#","time":"#;
    const TAIL: &'static str = "}}";
    /// Longer ones are not worth their memory.
    const LONGEST: usize = 512;

    /// Reads a frame whose envelope is known.
    pub(crate) fn read<'a>(&self, frame: &'a str) -> Option<Known<'a>> {
        let rest = frame.strip_prefix(Self::HEAD)?;
        let end = memchr2(b'"', b'\\', rest.as_bytes())?;
        let (invocation, rest) = rest.split_at(end);
        let (stream, rest) = match self.stdout.strip(rest) {
            Some(rest) => (Stream::Stdout, rest),
            None => (Stream::Stderr, self.stderr.strip(rest)?),
        };
        let rest = rest.strip_suffix(Self::TAIL)?;
        let (rest, time) = number(rest, Self::TIME).map_or((rest, None), |(rest, time)| (rest, Some(time)));
        let (rest, seq) = number(rest, Self::SEQ).map_or((rest, None), |(rest, seq)| (rest, Some(seq)));
        Some(Known { invocation, stream, seq, time, escaped: rest.strip_suffix('"')? })
    }

    /// Remembers the envelope of a frame that was read as this chunk.
    pub(crate) fn learn(&mut self, frame: &str, invocation: &str, stream: Stream, origin: Origin, chunk: Raw<'_>) {
        let offset = |part: &str| (part.as_ptr() as usize).wrapping_sub(frame.as_ptr() as usize);
        let id = Self::HEAD.len();
        if !frame.starts_with(Self::HEAD) || invocation.is_empty() || offset(invocation) != id {
            return;
        }
        let chunk = chunk.escaped();
        let Some(between) = frame.get(id + invocation.len()..offset(chunk)) else { return };
        let envelope = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        if between.len() > Self::LONGEST || envelope.0 == between {
            return;
        }
        envelope.0.clear();
        envelope.0.push_str(between);
        // Learnt for good only if it leads to the very same: the chunk may not be what comes last.
        let wanted = Known { invocation, stream, seq: origin.seq, time: origin.time, escaped: chunk };
        if self.read(frame) != Some(wanted) {
            match stream {
                Stream::Stdout => self.stdout.0.clear(),
                Stream::Stderr => self.stderr.0.clear(),
            }
        }
    }
}

impl Envelope {
    fn strip<'a>(&self, frame: &'a str) -> Option<&'a str> {
        if self.0.is_empty() { None } else { frame.strip_prefix(self.0.as_str()) }
    }
}

impl Known<'_> {
    /// Appends the chunk's text.
    ///
    /// # Errors
    /// When this is not a chunk after all, or not one string: the frame then has to be read as any other.
    pub(crate) fn append_to(&self, out: &mut String) -> Result<(), BadEscape> {
        append_escaped(self.escaped, out)
    }
}

/// Takes a number behind this name from the end. A chunk that ends like this has its quote behind it, so it is none.
fn number<'a>(rest: &'a str, name: &str) -> Option<(&'a str, u64)> {
    let digits = rest.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (rest, digits) = rest.split_at(rest.len() - digits);
    if digits.len() > 1 && digits.starts_with('0') {
        return None; // not JSON
    }
    Some((rest.strip_suffix(name)?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::incoming::{Incoming, Message, Text, parse};
    use crate::wire::service::Reply;

    fn frame(invocation: &str, stream: Stream, seq: Option<u64>, chunk: &str) -> String {
        Reply { invocation, source: "s", seq, time: None }.chunk(stream, chunk)
    }

    fn learn(envelopes: &mut Envelopes, frame: &str) {
        let Incoming::Run { invocation, origin, message } = parse(frame) else { panic!("{frame}") };
        let Message::Chunk(stream, Text::Raw(chunk)) = message else { panic!("{frame}") };
        let std::borrow::Cow::Borrowed(invocation) = invocation else { panic!("{frame}") };
        envelopes.learn(frame, invocation, stream, origin, chunk);
    }

    #[test]
    fn a_second_chunk_is_read_as_the_first_one_was() {
        let mut envelopes = Envelopes::default();
        let first = frame("a", Stream::Stdout, None, "1\n");
        assert_eq!(envelopes.read(&first), None);
        learn(&mut envelopes, &first);
        for (invocation, seq, chunk) in [("a", None, "2\n"), ("bc", Some(7), "grün \"\\\u{1}"), ("a", Some(0), "")] {
            let frame = frame(invocation, Stream::Stdout, seq, chunk);
            let known = envelopes.read(&frame).expect("its envelope is known");
            assert_eq!((known.invocation, known.stream, known.seq), (invocation, Stream::Stdout, seq));
            let mut text = String::new();
            assert_eq!(known.append_to(&mut text), Ok(()));
            assert_eq!(text, chunk);
        }
        assert_eq!(envelopes.read(&frame("a", Stream::Stderr, None, "")), None);
        learn(&mut envelopes, &frame("a", Stream::Stderr, Some(3), "x"));
        assert!(
            envelopes.read(&frame("a", Stream::Stderr, None, "")).is_some_and(|known| known.stream == Stream::Stderr)
        );
        assert!(envelopes.read(&first).is_some(), "there is one for each stream");
    }

    #[test]
    fn numbers_and_times_are_read_alike() {
        let mut envelopes = Envelopes::default();
        let frame = |more: &str| frame("a", Stream::Stdout, None, "x").replace("}}", &format!("{more}}}}}"));
        learn(&mut envelopes, &frame(r#","seq":7,"time":1732579200123"#));
        for (more, seq, time) in [
            (r#","seq":8,"time":1732579200124"#, Some(8), Some(1_732_579_200_124)),
            (r#","seq":8"#, Some(8), None),
            (r#","time":5"#, None, Some(5)),
        ] {
            let frame = frame(more);
            let known = envelopes.read(&frame).expect("its envelope is known");
            assert_eq!((known.seq, known.time), (seq, time));
            let Incoming::Run { origin, .. } = parse(&frame) else { panic!("{frame}") };
            assert_eq!(origin, Origin { seq, time, background: false });
        }
        let background = frame(r#","background":true,"seq":8,"time":5"#);
        let taken = envelopes.read(&background).map(|known| known.append_to(&mut String::new()));
        assert!(!matches!(taken, Some(Ok(()))), "what says more goes the long way round");
        let Incoming::Run { origin, .. } = parse(&background) else { panic!("{background}") };
        assert_eq!(origin, Origin { seq: Some(8), time: Some(5), background: true });
    }

    #[test]
    fn what_only_looks_like_it_is_not_taken() {
        let mut envelopes = Envelopes::default();
        let first = frame("a", Stream::Stdout, None, "1");
        learn(&mut envelopes, &first);
        let begin = first.strip_suffix(r#"1"}}"#).expect("its end");
        let is_taken = |end: &str| {
            let frame = format!("{begin}{end}");
            envelopes.read(&frame).is_some_and(|known| known.append_to(&mut String::new()).is_ok())
        };
        assert!(is_taken(r#"2"}}"#) && is_taken(r#"2","seq":10}}"#) && is_taken(r#"\",\"seq\":1"}}"#));
        for end in [
            r#"2"}"#,
            r#"2"}} "#,
            r#"2\"}}"#,
            r#"2","error":"no"}}"#,
            r#"2","seq":}}"#,
            r#"2","seq":01}}"#,
            r#"2","seq":-1}}"#,
            r#"2","seq":99999999999999999999}}"#,
            r#"2","seq":1,"seq":2}}"#,
            r#"\x"}}"#,
            r#"}}"#,
        ] {
            assert!(!is_taken(end), "{end}");
        }
    }

    #[test]
    fn envelopes_that_end_in_more_are_not_learnt() {
        for frame in [
            r#"{"invocationId":"a","data":{"phase":"event","eventType":"stdout","chunk":"1","more":"2"}}"#,
            r#"{"invocationId":"a","data":{"phase":"event","eventType":"stdout","chunk":"1"},"target":"SDK"}"#,
            r#"{ "invocationId":"a","data":{"phase":"event","eventType":"stdout","chunk":"1"}}"#,
            r#"{"requestId":"a","data":{"phase":"event","eventType":"stdout","chunk":"1"}}"#,
            r#"{"invocationId":"a","invocationId":"b","data":{"phase":"event","eventType":"stdout","chunk":"1"}}"#,
            r#"{"invocationId":"a","data":{"seq":1,"phase":"event","eventType":"stdout","chunk":"1"}}"#,
        ] {
            let mut envelopes = Envelopes::default();
            learn(&mut envelopes, frame);
            assert_eq!(envelopes.read(frame), None);
        }
    }
}
