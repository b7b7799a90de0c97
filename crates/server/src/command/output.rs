//! What a command shows: its pipes, or its terminal.

use std::sync::Arc;

use agb_kernel::{OutputRate, Utf8Decoder};
use agb_protocol::Stream;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

use super::terminal::OpenTerminal;

/// One read takes at most what a pipe holds.
const READ: usize = 64 * 1024;

/// One of a command's streams, at our end.
pub(super) struct Output {
    source: Source,
    stream: Stream,
    decoder: Utf8Decoder,
    rate: OutputRate,
    buffer: Vec<u8>,
    is_open: bool,
    /// Bytes that are still read once the command has ended: what it can have left there.
    left: usize,
}

pub(super) enum Source {
    Pipe(Receiver),
    Terminal(Arc<OpenTerminal>),
}

impl Output {
    pub(super) fn new(source: Source, stream: Stream, rate: u64) -> Self {
        Self {
            source,
            stream,
            decoder: Utf8Decoder::default(),
            rate: OutputRate::new(rate),
            buffer: vec![0; READ],
            is_open: true,
            left: usize::MAX,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// When it may be read again; `None`: now.
    pub(super) fn resume_at(&self) -> Option<Instant> {
        self.rate.resume_at().filter(|_| self.is_open)
    }

    /// The command has ended: what others still write is not its output.
    pub(super) fn finish(&mut self) {
        self.left = READ;
    }

    /// The next text, which may be empty; at the end of the stream what is left of it. Only while it is open. Cancel-safe.
    pub(super) async fn next(&mut self) -> (Stream, String) {
        let read = match &mut self.source {
            Source::Pipe(pipe) => pipe.read(&mut self.buffer).await,
            Source::Terminal(terminal) => terminal.read(&mut self.buffer).await,
        };
        let read = read.unwrap_or(0); // a terminal that nobody else has open says so by an error
        self.rate.taken(read);
        let mut text = self.decoder.decode(&self.buffer[..read]);
        self.left = self.left.saturating_sub(read);
        if read == 0 || self.left == 0 {
            self.is_open = false;
            text.extend(self.decoder.finish());
        }
        (self.stream, text)
    }

    /// Reads and drops what comes, so that whoever writes can go on, for as long as anybody can write.
    pub(super) async fn drain(mut self) {
        self.left = usize::MAX;
        self.is_open = true;
        while self.is_open {
            if let Some(at) = self.resume_at() {
                tokio::time::sleep_until(at).await;
            }
            self.next().await;
        }
    }
}
