//! One open socket of the driver: frames in batches, frames out with a count of what is still on its way.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use agb_core::{DisconnectReason, LinkId};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::socket::{Socket, SocketLimits};
use crate::wire::{broken, io_loss};

/// An open socket. It is polled by the driver alone, for reading and writing at once: no lock, no second task.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    socket: Socket,
    /// What the core has sent and the socket has not taken.
    outgoing: VecDeque<Message>,
    /// Bytes in `outgoing`, and bytes that the socket has taken and the wire has not.
    backlog: usize,
    /// What the core was last told of `backlog`.
    told: usize,
    dirty: bool,
    /// How much had come when the socket was read last.
    read: u64,
    /// When a piece of a message was told of last.
    told_alive: Instant,
    /// Why writing failed. Reading may still tell the better reason, a close frame.
    write_failure: Option<DisconnectReason>,
}

/// What a socket has done.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes on their way, if that has changed.
    pub(crate) backlog: Option<usize>,
    /// Messages were delivered.
    pub(crate) received: bool,
    /// Nothing was delivered, and a piece of something has come.
    pub(crate) alive: bool,
    /// So many that the readers are to have their turn before more is read.
    pub(crate) crowded: bool,
    /// It is gone.
    pub(crate) loss: Option<DisconnectReason>,
}

impl Progress {
    const fn is_any(&self) -> bool {
        self.backlog.is_some() || self.received || self.alive || self.loss.is_some()
    }
}

impl Link {
    /// After so many messages, or so many bytes of them, the readers get their turn. Measured: larger batches gain
    /// nothing and delay everything else; a batch a message costs a third of the throughput.
    const BATCH_MESSAGES: usize = 1024;
    const BATCH_BYTES: usize = 256 * 1024;
    /// A piece of a large message is a sign of life. Told so often at most: for each it would cost a turn of the driver.
    pub(crate) const ALIVE_EVERY: Duration = Duration::from_secs(1);
    /// How long a closed socket may take to say goodbye.
    const LINGER: Duration = Duration::from_secs(1);

    pub(crate) fn new(id: LinkId, socket: Socket) -> Self {
        Self {
            id,
            socket,
            outgoing: VecDeque::new(),
            backlog: 0,
            told: 0,
            dirty: false,
            read: 0,
            told_alive: Instant::now(),
            write_failure: None,
        }
    }

    /// Takes a frame to send.
    pub(crate) fn push(&mut self, message: Message) {
        self.backlog += message.len();
        // The core has counted it by itself.
        self.told += message.len();
        self.outgoing.push_back(message);
    }

    /// Writes what can be written and, if `read`, reads what is there and delivers it, oldest first.
    ///
    /// A message is to be dropped at once: while one is there the socket reads into a new buffer, and a new buffer is
    /// new pages from the system.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, read: bool, deliver: impl FnMut(Message)) -> Poll<Progress> {
        let mut progress = Progress::default();
        if self.write_failure.is_none()
            && let Err(error) = self.poll_write(cx)
        {
            self.write_failure = Some(loss_of(error));
        }
        if self.backlog != self.told {
            self.told = self.backlog;
            progress.backlog = Some(self.backlog);
        }
        if read {
            progress.loss = self.poll_read(cx, &mut progress, deliver).err();
            let before = std::mem::replace(&mut self.read, self.socket.get_ref().read());
            if self.read != before && !progress.received && self.told_alive.elapsed() >= Self::ALIVE_EVERY {
                self.told_alive = Instant::now();
                progress.alive = true;
            }
        }
        if progress.loss.is_none() && !progress.received {
            progress.loss = self.write_failure.take();
        }
        if progress.is_any() { Poll::Ready(progress) } else { Poll::Pending }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.outgoing.is_empty() {
            match socket.as_mut().poll_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(()),
            }
            if let Some(message) = self.outgoing.pop_front() {
                self.dirty = true;
                socket.as_mut().start_send(message)?;
            }
        }
        if self.dirty
            && let Poll::Ready(flushed) = socket.as_mut().poll_flush(cx)
        {
            flushed?;
            self.dirty = false;
            self.backlog = 0;
        }
        Ok(())
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        progress: &mut Progress,
        mut deliver: impl FnMut(Message),
    ) -> Result<(), DisconnectReason> {
        let (mut messages, mut bytes) = (0, 0);
        while !progress.crowded {
            match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(Message::Close(frame)))) => return Err(closed(frame)),
                Poll::Ready(Some(Ok(message))) => {
                    messages += 1;
                    bytes += message.len();
                    progress.received = true;
                    progress.crowded = messages >= Self::BATCH_MESSAGES || bytes >= Self::BATCH_BYTES;
                    let control = matches!(message, Message::Ping(_) | Message::Pong(_)).then(|| message.len());
                    deliver(message);
                    match control {
                        Some(payload) => self.socket.get_mut().pass(payload),
                        None => self.socket.get_mut().deliver(),
                    }
                }
                Poll::Ready(Some(Err(error))) => return Err(loss_of(error)),
                Poll::Ready(None) => return Err(broken("the connection was cut".into())),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Says goodbye beside everything else: what was to be sent, the close frame (or the answer to the peer's), a
    /// short wait for the other side.
    pub(crate) fn part(self, code: Option<u16>) {
        let Self { mut socket, outgoing, .. } = self;
        let goodbye = async move {
            for message in outgoing {
                socket.feed(message).await?;
            }
            if let Some(code) = code {
                socket.close(Some(CloseFrame { code: code.into(), reason: Default::default() })).await?;
            }
            socket.flush().await?;
            while socket.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<_, Error>(())
        };
        tokio::spawn(tokio::time::timeout(Self::LINGER, goodbye));
    }
}

fn closed(frame: Option<CloseFrame>) -> DisconnectReason {
    /// "No code was given" (RFC 6455, section 7.4.1).
    const NO_CODE: u16 = 1005;
    frame.map_or(DisconnectReason::Closed { code: NO_CODE, reason: String::new() }, |frame| DisconnectReason::Closed {
        code: frame.code.into(),
        reason: frame.reason.to_string(),
    })
}

/// Words without a URL: none of these errors holds one once the socket is open.
fn loss_of(error: Error) -> DisconnectReason {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => broken("the connection was cut".into()),
        Error::Io(error) => io_loss(&error),
        Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => SocketLimits::exceeded(max_size),
        other => broken(format!("the service broke the WebSocket protocol: {other}")),
    }
}
