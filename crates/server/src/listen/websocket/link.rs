//! One WebSocket: reads and writes side by side, and knows when the other end is gone.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{SinkExt, StreamExt};
use tokio::time::Instant;

/// One WebSocket. Nothing is queued in it but what one [`Link::send`] has put there: [`Turn::Writable`] comes only
/// when everything before has gone out.
pub(super) struct Link {
    socket: WebSocket,
    /// Since when something has been on its way out that is not out yet.
    unsent_since: Option<Instant>,
    /// When something came from the other end, an answer to a ping at least.
    heard: Instant,
    /// Pings whose answers are not known to have gone out.
    pings: u32,
    /// Whose turn it is when both directions are ready.
    write_first: bool,
}

/// What a link is ready for.
pub(super) enum Turn {
    /// A message came.
    Incoming(Message),
    /// A message can go.
    Writable,
    /// It is over.
    Lost(DisconnectReason),
}

/// Why a link is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DisconnectReason {
    /// The other end said goodbye, or hung up.
    Closed,
    /// The other end sent a message above the limit.
    TooLarge,
    /// The other end sends pings and does not read their answers.
    Unread,
    /// The other end broke the rules of WebSockets, or the network broke.
    Broken(String),
}

impl Link {
    pub(super) fn new(socket: WebSocket) -> Self {
        Self { socket, unsent_since: None, heard: Instant::now(), pings: 0, write_first: false }
    }

    /// Waits until there is something to do. `read` and `write` say what is wanted; what was sent goes out meanwhile
    /// in any case.
    ///
    /// Cancel-safe.
    pub(super) async fn turn(&mut self, read: bool, write: bool) -> Turn {
        poll_fn(|context| self.poll_turn(context, read, write)).await
    }

    /// Puts a message on its way; only after [`Turn::Writable`].
    pub(super) fn send(&mut self, message: Message) -> Result<(), DisconnectReason> {
        self.unsent_since.get_or_insert_with(Instant::now);
        self.socket.start_send_unpin(message).map_err(|error| loss(&error.into_inner()))
    }

    /// Whether more may be sent before what has been sent is out.
    pub(super) fn takes_more(&mut self) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        matches!(self.socket.poll_ready_unpin(&mut context), Poll::Ready(Ok(())))
    }

    /// When to give up on the other end, if nothing changes.
    pub(super) fn deadline(&self, silence: Duration, write: Duration) -> Instant {
        let silent = self.heard + silence;
        self.unsent_since.map_or(silent, |since| silent.min(since + write))
    }

    /// Says goodbye, and waits a moment for the other end to do the same.
    pub(super) async fn close(mut self, code: u16, reason: impl Into<String>) {
        let goodbye = async {
            let frame = CloseFrame { code, reason: reason.into().into() };
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // Whether it heard us makes no difference to what follows.
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    fn poll_turn(&mut self, context: &mut Context<'_>, read: bool, write: bool) -> Poll<Turn> {
        if self.write_first {
            if let Poll::Ready(turn) = self.poll_write(context, write) {
                return Poll::Ready(turn);
            }
            return self.poll_read(context, read);
        }
        if let Poll::Ready(turn) = self.poll_read(context, read) {
            return Poll::Ready(turn);
        }
        self.poll_write(context, write)
    }

    fn poll_read(&mut self, context: &mut Context<'_>, wanted: bool) -> Poll<Turn> {
        if !wanted {
            return Poll::Pending;
        }
        self.socket.poll_next_unpin(context).map(|incoming| {
            self.heard = Instant::now();
            self.write_first = true;
            match incoming {
                Some(Ok(Message::Ping(_))) if self.pings == MOST_PINGS => Turn::Lost(DisconnectReason::Unread),
                Some(Ok(message)) => {
                    if let Message::Ping(_) = message {
                        // Its answer waits in the socket from here on, until all before it is out.
                        self.pings += 1;
                        self.unsent_since.get_or_insert_with(Instant::now);
                    }
                    Turn::Incoming(message)
                }
                Some(Err(error)) => Turn::Lost(loss(&error.into_inner())),
                None => Turn::Lost(DisconnectReason::Closed),
            }
        })
    }

    fn poll_write(&mut self, context: &mut Context<'_>, wanted: bool) -> Poll<Turn> {
        if self.unsent_since.is_some() {
            match self.socket.poll_flush_unpin(context) {
                Poll::Ready(Ok(())) => (self.unsent_since, self.pings) = (None, 0),
                Poll::Ready(Err(error)) => return Poll::Ready(Turn::Lost(loss(&error.into_inner()))),
                Poll::Pending => return Poll::Pending,
            }
        }
        if !wanted {
            return Poll::Pending;
        }
        self.socket.poll_ready_unpin(context).map(|ready| {
            self.write_first = false;
            match ready {
                Ok(()) => Turn::Writable,
                Err(error) => Turn::Lost(loss(&error.into_inner())),
            }
        })
    }
}

/// So many pings may be unanswered while the socket takes nothing: clients send one in 20 s, and each costs up to 131 bytes.
const MOST_PINGS: u32 = 256;

/// Long enough for a goodbye on a slow line, short enough for a server that wants to end.
const GOODBYE: Duration = Duration::from_secs(1);

fn loss(error: &axum::BoxError) -> DisconnectReason {
    use tokio_tungstenite::tungstenite::Error;
    match error.downcast_ref::<Error>() {
        Some(Error::ConnectionClosed | Error::AlreadyClosed) => DisconnectReason::Closed,
        Some(Error::Capacity(_)) => DisconnectReason::TooLarge,
        _ => DisconnectReason::Broken(error.to_string()),
    }
}
