//! A WebSocket's bytes, between HTTP and the library that reads and writes messages.
//!
//! For as long as a connection lives, the library keeps room for the largest frame that it has ever read, and for the
//! largest that it has ever written. So it sees no large ones:
//!
//! ```text
//! client ── a large frame ──► pieces of 32 KiB, each with a header of its own ──► library ── a message ──► connection
//! client ◄── header and text, from where the text is ◄── a large text ◄── connection
//! client ◄── frames, up to 64 KiB and one of them together ◄── library ◄── small texts, pings ◄── connection
//! ```
//!
//! A message may come in pieces in any case (RFC 6455, section 5.4): the library joins these as it joins those of a client
//! that sends pieces, and what it joins ends with the message.

mod pieces;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use self::pieces::{Header, LAST, Pieces, TEXT, header_length, set_payload_length};

/// From so many bytes on a frame is large. Acknowledgements, nearly all programs and most output are smaller. With it, what
/// the library holds for a connection is up to 100 KiB of what was read and up to 130 KiB of what waits to be written. So
/// little is not counted: `--max-connections` bounds it. It is a multiple of four, the length of a mask, and fits into each
/// form of a length that a larger one has.
pub(super) const LARGE: usize = 32 * 1024;

/// Bytes that are read at once. Acknowledgements have a hundred, programs a few thousand; what is larger is read in parts. It
/// is memory of each client, and is cleared before each read: with the usual 128 KiB a waiting run takes 125 KiB instead of
/// 30, and each acknowledgement clears all of them.
const READ_BUFFER: usize = 8 * 1024;

/// A WebSocket of the server's whose messages have at most so many bytes.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(socket: S, largest: usize) -> WebSocketStream<Frames<S>> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest.min(LARGE)));
    WebSocketStream::from_raw_socket(Frames::new(socket, largest), Role::Server, Some(config)).await
}

/// A connection of which the library sees no large frame.
pub(crate) struct Frames<S> {
    socket: S,
    pieces: Pieces,
    /// The beginning of a header whose end has not come.
    begun: Header,
    /// What goes to the library before anything more is read.
    ahead: Header,
    outgoing: Option<Outgoing>,
    /// Reading has stopped for others to have their turn.
    is_paused: bool,
}

/// A large text on its way.
struct Outgoing {
    header: Header,
    text: Utf8Bytes,
    /// Of both.
    written: usize,
}

impl<S> Frames<S> {
    fn new(socket: S, largest: usize) -> Self {
        Self {
            socket,
            pieces: Pieces::new(largest),
            begun: Header::default(),
            ahead: Header::default(),
            outgoing: None,
            is_paused: false,
        }
    }

    /// Whether reading has stopped for others to have their turn, since this was asked last. It goes on by itself.
    pub(super) fn take_pause(&mut self) -> bool {
        std::mem::take(&mut self.is_paused)
    }

    /// Writes a text of [`LARGE`] bytes at least as one frame; with a flush it has gone. Only when nothing waits in the
    /// library: what the library writes from here on comes behind it.
    pub(super) fn write(&mut self, text: Utf8Bytes) {
        debug_assert!(text.len() >= LARGE && self.outgoing.is_none());
        self.outgoing = Some(Outgoing::new(text));
    }

    #[cfg(test)]
    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    /// Whether some of such a text has not gone.
    pub(super) fn is_writing(&self) -> bool {
        self.outgoing.is_some()
    }
}

impl<S: AsyncWrite + Unpin> Frames<S> {
    fn poll_outgoing(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(outgoing) = &mut self.outgoing {
            let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(context, &outgoing.rest()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outgoing.written += written;
            if outgoing.is_out() {
                self.outgoing = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // The library asks for more until a message is whole, which parts without an end never are.
        if this.pieces.is_others_turn() {
            this.is_paused = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while buffer.remaining() > 0 {
            if this.ahead.is_left() {
                this.ahead.give(buffer);
                return Poll::Ready(Ok(()));
            }
            if let Some(header) = this.pieces.next_header() {
                this.ahead = header;
            } else if this.begun.length > 0 {
                let length = header_length(this.begun.known());
                let mut rest = ReadBuf::new(&mut this.begun.bytes[this.begun.length..length]);
                ready!(Pin::new(&mut this.socket).poll_read(context, &mut rest))?;
                let came = rest.filled().len();
                if came == 0 {
                    return Poll::Ready(Ok(())); // the end of the connection
                }
                this.begun.length += came;
                if header_length(this.begun.known()) == this.begun.length {
                    this.ahead = std::mem::take(&mut this.begun);
                    this.pieces.begin(&mut this.ahead.bytes[..this.ahead.length]);
                }
            } else {
                let most = this.pieces.most().min(buffer.remaining());
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
                ready!(Pin::new(&mut this.socket).poll_read(context, &mut part))?;
                let came = part.filled_mut();
                let whole = this.pieces.pass(came);
                this.begun = Header::of(&came[whole..]);
                let is_end = came.is_empty();
                buffer.advance(whole);
                if whole > 0 || is_end {
                    return Poll::Ready(Ok(()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What the library gets of a client's bytes that come so many at a time, of a client whose messages have at most `largest`
/// bytes. For fuzzing.
pub(crate) fn passed_on(bytes: &[u8], at_a_time: usize, largest: usize) -> io::Result<Vec<u8>> {
    struct Client<'a>(std::slice::Chunks<'a, u8>, &'a [u8]);

    impl AsyncRead for Client<'_> {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if self.1.is_empty() {
                self.1 = self.0.next().unwrap_or_default();
            }
            let here = self.1;
            let (now, later) = here.split_at(to.remaining().min(here.len()));
            to.put_slice(now);
            self.1 = later;
            Poll::Ready(Ok(()))
        }
    }

    /// Says whether somebody is to ask again.
    #[derive(Default)]
    struct Asked(AtomicBool);

    impl Wake for Asked {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let asked = Arc::new(Asked::default());
    let waker = Waker::from(Arc::clone(&asked));
    let mut frames = Frames::new(Client(bytes.chunks(at_a_time.max(1)), &[]), largest);
    let (mut passed_on, mut memory) = (Vec::new(), vec![0; READ_BUFFER]);
    loop {
        let mut buffer = ReadBuf::new(&mut memory);
        match Pin::new(&mut frames).poll_read(&mut Context::from_waker(&waker), &mut buffer) {
            Poll::Ready(read) => read?,
            // It lets others have their turn.
            Poll::Pending if asked.0.swap(false, Ordering::Relaxed) => continue,
            Poll::Pending => return Err(io::Error::other("it waits for what is there")),
        }
        if buffer.filled().is_empty() {
            return Ok(passed_on);
        }
        passed_on.extend_from_slice(buffer.filled());
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_outgoing(context))?;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_outgoing(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_outgoing(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl Outgoing {
    fn new(text: Utf8Bytes) -> Self {
        let mut header = Header::default();
        header.bytes[0] = LAST | TEXT;
        // The shortest form of a length, as it has to be.
        (header.bytes[1], header.length) = if text.len() <= usize::from(u16::MAX) { (126, 4) } else { (127, 10) };
        set_payload_length(&mut header.bytes, text.len() as u64);
        Self { header, text, written: 0 }
    }

    fn rest(&self) -> [IoSlice<'_>; 2] {
        let header = self.header.known();
        let of_header = self.written.min(header.len());
        let of_text = self.written - of_header;
        [IoSlice::new(&header[of_header..]), IoSlice::new(&self.text.as_bytes()[of_text..])]
    }

    fn is_out(&self) -> bool {
        self.written == self.header.length + self.text.len()
    }
}
