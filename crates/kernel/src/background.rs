//! What a program writes while no cell runs: threads, timers and processes that outlive their cell.
//!
//! It is read all the time, so that a server in the background never blocks on its own log, and the newest of it is
//! kept for the next cell.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::sleep;

use crate::pipe::OutputPipe;
use crate::process::Process;
use crate::{CellEvent, CellSink, Stream};

/// How long the reader rests after it had to drop something.
///
/// 10 ms: a program that floods its output in the background gets 100 reads a second, which costs next to nothing.
const FLOOD_PAUSE: Duration = Duration::from_millis(10);

/// What a piece costs beside its text. Pieces of the two streams in turn are not joined: of those that cost more than their
/// texts may, the oldest go.
const PIECE_COST: usize = 64;

/// Output that waits for a cell to go with.
#[derive(Debug)]
pub(crate) struct Background {
    chunks: VecDeque<(Stream, String)>,
    bytes: usize,
    limit: usize,
    dropped: u64,
    is_flooded: bool,
}

impl Background {
    /// Keeps the newest `limit` bytes, in pieces that cost no more than that.
    pub(crate) fn new(limit: usize) -> Self {
        Self { chunks: VecDeque::new(), bytes: 0, limit, dropped: 0, is_flooded: false }
    }

    /// Waits until something is there, and keeps it. Never resolves when both pipes are closed. Cancel-safe.
    pub(crate) async fn read(&mut self, stdout: &mut OutputPipe, stderr: &mut OutputPipe, buffer: &mut [u8]) {
        if self.is_flooded {
            sleep(FLOOD_PAUSE).await;
            self.is_flooded = false;
        }
        let dropped = self.dropped;
        tokio::select! {
            () = stdout.ready(), if stdout.is_open() => {
                stdout.read(buffer).into_iter().for_each(|text| self.push(Stream::Stdout, text));
            }
            () = stderr.ready(), if stderr.is_open() => {
                stderr.read(buffer).into_iter().for_each(|text| self.push(Stream::Stderr, text));
            }
            else => std::future::pending().await,
        }
        self.is_flooded = self.dropped > dropped;
    }

    /// Keeps what is in the pipes now.
    pub(crate) fn drain(&mut self, process: &mut Process, buffer: &mut [u8]) {
        process.stdout.drain(buffer, |text| self.push(Stream::Stdout, text));
        process.stderr.drain(buffer, |text| self.push(Stream::Stderr, text));
    }

    /// Hands everything to a cell.
    pub(crate) fn deliver(&mut self, sink: &mut dyn CellSink) {
        if self.dropped > 0 {
            let text = format!("[{} bytes of older background output are left out]\n", self.dropped);
            sink.push(CellEvent::Background { stream: Stream::Stderr, text });
        }
        for (stream, text) in std::mem::take(&mut self.chunks) {
            sink.push(CellEvent::Background { stream, text });
        }
        *self = Self::new(self.limit);
    }

    fn push(&mut self, stream: Stream, text: String) {
        self.bytes += text.len();
        match self.chunks.back_mut() {
            // Small pieces are joined, so that a million of one byte are not a million pieces.
            Some((last_stream, last)) if *last_stream == stream && last.len() + text.len() <= 4096 => {
                last.push_str(&text)
            }
            _ => self.chunks.push_back((stream, text)),
        }
        loop {
            let too_many = self.chunks.len() > (self.limit / PIECE_COST).max(1);
            let Some((_, oldest)) = self.chunks.front_mut().filter(|_| too_many || self.bytes > self.limit) else {
                break;
            };
            let gone = if too_many { oldest.len() } else { oldest.ceil_char_boundary(self.bytes - self.limit) };
            self.bytes -= gone;
            self.dropped += gone as u64;
            oldest.drain(..gone);
            if oldest.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_kept_and_the_rest_counted() {
        let mut background = Background::new(10_000);
        for n in 0..1000 {
            background.push(Stream::Stdout, format!("{n:099}\n"));
        }
        assert_eq!(background.bytes, 10_000);
        assert_eq!(background.bytes as u64 + background.dropped, 100_000);
        let (_, last) = background.chunks.back().expect("something is kept");
        assert!(last.ends_with("999\n"));
    }

    #[test]
    fn many_small_pieces_cost_no_more_than_one() {
        let mut background = Background::new(64_000);
        let mut held = 0;
        for n in 0..100_000 {
            background.push(if n % 2 == 0 { Stream::Stdout } else { Stream::Stderr }, "é".to_owned());
            held = held.max(background.chunks.len());
        }
        assert_eq!((held, background.bytes), (1000, 2000));
        assert_eq!(background.dropped, 200_000 - 2000);
        // One large piece has the room of all of them.
        background.push(Stream::Stdout, "x".repeat(64_000));
        assert_eq!((background.bytes, background.chunks.len()), (64_000, 1));
        let mut nothing = Background::new(0);
        nothing.push(Stream::Stdout, "x".to_owned());
        assert_eq!((nothing.bytes, nothing.chunks.len(), nothing.dropped), (0, 0, 1));
    }

    #[test]
    fn order_across_streams_is_kept() {
        let mut background = Background::new(10_000);
        for (stream, text) in
            [(Stream::Stdout, "a"), (Stream::Stdout, "b"), (Stream::Stderr, "c"), (Stream::Stdout, "d")]
        {
            background.push(stream, text.to_owned());
        }
        let kept: Vec<_> = background.chunks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(kept, ["ab", "c", "d"]);
    }
}
