//! One run's output, encoded.

use std::time::Duration;

use agb_protocol::DEFAULT_TARGET;
use agb_protocol::service::{Reply, StartRun};
use agb_protocol::{Finish, Stream};
use tokio::time::Instant;

use super::websocket;
use super::workload::Workload;

/// A run that prints.
#[derive(Debug)]
pub(super) struct Printing {
    pub(super) invocation: String,
    workload: Workload,
    stdout: Frame,
    stderr: Frame,
    started: Instant,
    /// Chunks that were written.
    written: u64,
    /// The number of the last event, where events have numbers.
    seq: Option<u64>,
    /// The number of the last event that the client has taken.
    acked: u64,
    /// Bytes of chunks that may be on their way.
    window: Option<u64>,
    begun: bool,
    cancelled: bool,
}

/// What a run has to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// It can go on at once.
    More,
    /// Its next chunk is due then.
    At(Instant),
    /// It has to hear from the client first.
    Blocked,
    /// Its end has been written.
    Ended,
}

/// The frame of a chunk, cut where something varies.
#[derive(Debug)]
struct Frame {
    before_label: Vec<u8>,
    label: usize,
    before_seq: Vec<u8>,
    after_seq: Vec<u8>,
    /// All of it, header included, where nothing varies.
    ready: Option<Vec<u8>>,
}

impl Printing {
    pub(super) fn new(invocation: String, start: &StartRun, workload: Workload, now: Instant) -> Self {
        let numbered = start.is_extended();
        Self {
            stdout: Frame::new(&invocation, &workload, Stream::Stdout, numbered),
            stderr: Frame::new(&invocation, &workload, Stream::Stderr, numbered),
            invocation,
            workload,
            started: now,
            written: 0,
            seq: numbered.then_some(0),
            acked: 0,
            window: start.window,
            begun: false,
            cancelled: false,
        }
    }

    pub(super) fn ack(&mut self, seq: u64) {
        self.acked = self.acked.max(seq);
    }

    pub(super) fn cancel(&mut self) {
        self.cancelled = true;
    }

    /// Writes one event behind `block`, if one is due.
    pub(super) fn print(&mut self, block: &mut Vec<u8>, now: Instant) -> Next {
        if !std::mem::replace(&mut self.begun, true) && self.seq.is_some() {
            let frame = self.reply(|reply| reply.accepted(&["resume", "flow", "cancel"]));
            websocket::push_text(block, frame.as_bytes());
            return Next::More;
        }
        if self.cancelled || self.written == self.workload.chunks {
            self.end(block, now);
            return Next::Ended;
        }
        if let (Some(window), Some(seq)) = (self.window, self.seq) {
            let on_its_way = (seq - self.acked) * self.workload.bytes as u64;
            // One chunk may always be on its way, however large.
            if seq > self.acked && on_its_way + self.workload.bytes as u64 > window {
                return Next::Blocked;
            }
        }
        if let Some(due) = self.workload.due(self.written)
            && self.started + due > now
        {
            return Next::At(self.started + due);
        }
        let place = self.written;
        self.written += 1;
        if let Some(seq) = &mut self.seq {
            *seq += 1;
        }
        let to_stderr = self.workload.every_stderr.is_some_and(|every| self.written.is_multiple_of(every));
        let frame = if to_stderr { &self.stderr } else { &self.stdout };
        frame.push(block, || if self.workload.stamped { monotonic_nanos() } else { place }, self.seq);
        Next::More
    }

    /// Whether each event is to be written by a system call of its own.
    pub(super) const fn flushes(&self) -> bool {
        self.workload.flush || self.workload.stamped
    }

    fn end(&mut self, block: &mut Vec<u8>, now: Instant) {
        let finish = Finish {
            failed: self.cancelled,
            execution_count: Some(1),
            execution_time: Some(now.saturating_duration_since(self.started).as_secs_f64()),
            execution_error: self.cancelled.then(|| "Cancelled: the run was cancelled".to_owned()),
            ..Finish::default()
        };
        let frame = self.reply(|reply| reply.end(&finish));
        websocket::push_text(block, frame.as_bytes());
    }

    fn reply(&mut self, words: impl FnOnce(Reply<'_>) -> String) -> String {
        if let Some(seq) = &mut self.seq {
            *seq += 1;
        }
        words(Reply { invocation: &self.invocation, source: DEFAULT_TARGET, seq: self.seq, time: None })
    }
}

impl Frame {
    fn new(invocation: &str, workload: &Workload, stream: Stream, numbered: bool) -> Self {
        let text = workload.text();
        let seq = numbered.then_some(0);
        let whole = Reply { invocation, source: DEFAULT_TARGET, seq, time: None }.chunk(stream, &text).into_bytes();
        let label = if workload.has_label() { Workload::LABEL } else { 0 };
        let chunk = br#""chunk":""#;
        let at_label = find(&whole, chunk) + chunk.len();
        let at_seq = if numbered { whole.len() - b"0}}".len() } else { whole.len() };
        let ready = (!numbered && label == 0).then(|| {
            let mut frame = Vec::new();
            websocket::push_text(&mut frame, &whole);
            frame
        });
        Self {
            before_label: whole[..at_label].to_vec(),
            label,
            before_seq: whole[at_label + label..at_seq].to_vec(),
            after_seq: whole[(at_seq + usize::from(numbered)).min(whole.len())..].to_vec(),
            ready,
        }
    }

    fn push(&self, block: &mut Vec<u8>, label: impl FnOnce() -> u64, seq: Option<u64>) {
        if let Some(ready) = &self.ready {
            block.extend_from_slice(ready);
            return;
        }
        let mut digits = [0; Workload::LABEL];
        let seq = seq.map_or(&[][..], |seq| trim_zeros(write_digits(&mut digits, seq)));
        let length = self.before_label.len() + self.label + self.before_seq.len() + seq.len() + self.after_seq.len();
        websocket::push_header(block, length);
        block.extend_from_slice(&self.before_label);
        if self.label > 0 {
            let mut digits = [0; Workload::LABEL];
            block.extend_from_slice(write_digits(&mut digits, label()));
        }
        block.extend_from_slice(&self.before_seq);
        block.extend_from_slice(seq);
        block.extend_from_slice(&self.after_seq);
    }
}

fn find(text: &[u8], wanted: &[u8]) -> usize {
    text.windows(wanted.len()).position(|window| window == wanted).expect("an encoded chunk has this key")
}

/// All 20 digits, leading zeros included.
fn write_digits(digits: &mut [u8; Workload::LABEL], mut number: u64) -> &[u8] {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}

/// JSON knows no leading zeros.
fn trim_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros.min(digits.len() - 1)..]
}

/// The clock that `process.hrtime` reads.
fn monotonic_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let time = Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0));
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agb_core::wire::incoming::{Incoming, Message, parse};

    /// The texts of frames in a block, without their headers.
    fn texts(mut block: &[u8]) -> Vec<String> {
        let mut texts = Vec::new();
        while !block.is_empty() {
            let (start, length) = match block[1] {
                126 => (4, usize::from(u16::from_be_bytes([block[2], block[3]]))),
                127 => (10, u64::from_be_bytes(block[2..10].try_into().expect("eight bytes")) as usize),
                short => (2, usize::from(short)),
            };
            texts.push(String::from_utf8(block[start..start + length].to_vec()).expect("text frames are UTF-8"));
            block = &block[start + length..];
        }
        texts
    }

    fn print(code: &str, start: &StartRun) -> Vec<String> {
        let workload = Workload::parse(code).expect("the code is right");
        let now = Instant::now();
        let mut printing = Printing::new("abc".into(), start, workload, now);
        let mut block = Vec::new();
        while printing.print(&mut block, now + Duration::from_secs(3600)) == Next::More {}
        texts(&block)
    }

    #[tokio::test]
    async fn frames_are_what_the_core_reads() {
        let start = StartRun { resume: true, ..StartRun::default() };
        let texts = print("n=12 s=100 number=1 stderr=4", &start);
        assert_eq!(texts.len(), 14, "started, twelve chunks, the end");
        for (place, text) in texts.iter().enumerate() {
            let Incoming::Run { invocation, origin, message } = parse(text) else { panic!("{text}") };
            assert_eq!((invocation.as_ref(), origin.seq), ("abc", Some(place as u64 + 1)));
            if let Message::Chunk(stream, chunk) = message {
                let mut read = String::new();
                chunk.append_to(&mut read).expect("it is well escaped");
                assert!(read.len() == 100 && read.starts_with(&format!("{:020} ", place - 1)), "{read}");
                assert_eq!(stream == Stream::Stderr, place.is_multiple_of(4));
            }
        }
    }

    #[tokio::test]
    async fn without_extensions_there_is_nothing_but_chunks_and_the_end() {
        let texts = print("n=3 s=200000 utf8=1", &StartRun::default());
        assert_eq!(texts.len(), 4);
        assert!(!texts[0].contains("seq") && texts[0] == texts[2]);
        assert!(texts[3].contains(r#""phase":"end""#));
    }

    #[tokio::test]
    async fn a_window_holds_it_back() {
        let start = StartRun { window: Some(250), ..StartRun::default() };
        let now = Instant::now();
        let workload = Workload::parse("n=100 s=100").expect("the code is right");
        let mut printing = Printing::new("abc".into(), &start, workload, now);
        let mut block = Vec::new();
        while printing.print(&mut block, now) == Next::More {}
        assert_eq!(texts(&block).len(), 2, "the started event counts as one: a window of two");
        printing.ack(2);
        while printing.print(&mut block, now) == Next::More {}
        assert_eq!(texts(&block).len(), 4);
    }
}
