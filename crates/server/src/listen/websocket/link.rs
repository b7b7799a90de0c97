//! One WebSocket: reads and writes side by side, and knows when the other end is gone.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::frames::{Frames, LARGE};
use crate::budget::HeldText;

/// One WebSocket. Nothing is queued in it but what one [`Link::send`] has put there: [`Turn::Writable`] comes only
/// when everything before has gone out.
///
/// What it holds for a client that does not read: small texts and answers to pings, which are [few](LARGE) and not counted,
/// and one large text, which is.
pub(super) struct Link<S> {
    socket: WebSocketStream<Frames<S>>,
    /// A large text that goes when everything before it has gone.
    large: Option<Utf8Bytes>,
    /// Counts the large text until it has gone out.
    held: Option<HeldText>,
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
    /// Many frames came, and no message is whole yet: others are to go on.
    Busy,
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

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(socket: WebSocketStream<Frames<S>>) -> Self {
        Self {
            socket,
            large: None,
            held: None,
            unsent_since: None,
            heard: Instant::now(),
            pings: 0,
            write_first: false,
        }
    }

    /// Waits until there is something to do. `read` and `write` say what is wanted; what was sent goes out meanwhile
    /// in any case.
    ///
    /// Cancel-safe.
    pub(super) async fn turn(&mut self, read: bool, write: bool) -> Turn {
        poll_fn(|context| self.poll_turn(context, read, write)).await
    }

    /// Puts a message on its way; only after [`Turn::Writable`], or while it [takes more](Link::takes_more).
    pub(super) fn send(&mut self, message: Message) -> Result<(), DisconnectReason> {
        self.unsent_since.get_or_insert_with(Instant::now);
        self.socket.start_send_unpin(message).map_err(|error| loss(&error))
    }

    /// The same of a text of any size, and of what counts it.
    pub(super) fn send_text(&mut self, text: Utf8Bytes, held: Option<HeldText>) -> Result<(), DisconnectReason> {
        if text.len() < LARGE {
            return self.send(Message::Text(text));
        }
        debug_assert!(self.large.is_none(), "nothing is sent behind a large text");
        self.unsent_since.get_or_insert_with(Instant::now);
        (self.large, self.held) = (Some(text), held);
        Ok(())
    }

    /// Whether more may be sent before what has been sent is out.
    pub(super) fn takes_more(&mut self) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        self.large.is_none() && matches!(self.socket.poll_ready_unpin(&mut context), Poll::Ready(Ok(())))
    }

    /// When to give up on the other end, if nothing changes.
    pub(super) fn deadline(&self, silence: Duration, write: Duration) -> Instant {
        let silent = self.heard + silence;
        self.unsent_since.map_or(silent, |since| silent.min(since + write))
    }

    /// Says goodbye, and waits a moment for the other end to do the same.
    pub(super) async fn close(mut self, code: u16, reason: impl Into<String>) {
        let goodbye = async {
            let frame = CloseFrame { code: code.into(), reason: reason.into().into() };
            if poll_fn(|context| self.poll_out(context)).await.is_err() {
                return;
            }
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
        let incoming = self.socket.poll_next_unpin(context);
        if incoming.is_pending() && self.socket.get_mut().take_pause() {
            self.write_first = true;
            return Poll::Ready(Turn::Busy);
        }
        incoming.map(|incoming| {
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
                Some(Err(error)) => Turn::Lost(loss(&error)),
                None => Turn::Lost(DisconnectReason::Closed),
            }
        })
    }

    fn poll_write(&mut self, context: &mut Context<'_>, wanted: bool) -> Poll<Turn> {
        if self.unsent_since.is_some() {
            match self.poll_out(context) {
                Poll::Ready(Ok(())) => (self.unsent_since, self.pings) = (None, 0),
                Poll::Ready(Err(error)) => return Poll::Ready(Turn::Lost(loss(&error))),
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
                Err(error) => Turn::Lost(loss(&error)),
            }
        })
    }

    /// Ready when everything has gone out.
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.socket.poll_flush_unpin(context))?;
        if let Some(text) = self.large.take() {
            self.socket.get_mut().write(text);
            ready!(self.socket.poll_flush_unpin(context))?;
            if self.socket.get_ref().is_writing() {
                return Poll::Ready(Err(Error::ConnectionClosed)); // a flush of what is closed is none, and no error
            }
        }
        self.held = None;
        Poll::Ready(Ok(()))
    }
}

/// So many pings may be unanswered while the socket takes nothing: clients send one in 20 s, and each costs up to 131 bytes.
const MOST_PINGS: u32 = 256;

/// Long enough for a goodbye on a slow line, short enough for a server that wants to end.
const GOODBYE: Duration = Duration::from_secs(1);

fn loss(error: &Error) -> DisconnectReason {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => DisconnectReason::Closed,
        Error::Capacity(_) => DisconnectReason::TooLarge,
        _ => DisconnectReason::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use tokio::io::{DuplexStream, ReadBuf, duplex};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::budget::Budget;
    use crate::listen::websocket::frames;

    /// Waits until the link can be written to, and says how many pings came until then.
    async fn writable(link: &mut Link<DuplexStream>) -> usize {
        let mut pings = 0;
        loop {
            match link.turn(true, true).await {
                Turn::Writable => return pings,
                Turn::Incoming(message) => pings += usize::from(message.is_ping()),
                Turn::Busy => {}
                Turn::Lost(reason) => panic!("{reason:?}"),
            }
        }
    }

    #[tokio::test]
    async fn texts_of_any_size_go_out_in_order_with_answers_to_pings_between() {
        let (server, client) = duplex(5000);
        let mut link = Link::new(frames::open(server, 1000).await);
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let texts: Vec<String> = [1, LARGE - 1, LARGE, 2, 65_535, 65_536, 3, 20 * LARGE, 0]
            .map(|length| "€".repeat(length / 3) + &"x".repeat(length % 3))
            .into();
        let sent = texts.clone();
        let serving = tokio::spawn(async move {
            let mut pings = writable(&mut link).await;
            for text in sent {
                // Together, where the link takes them so.
                if !link.takes_more() {
                    pings += writable(&mut link).await;
                }
                link.send_text(text.into(), None).expect("it is taken");
            }
            while let Turn::Incoming(message) = link.turn(true, false).await {
                pings += usize::from(message.is_ping());
            }
            pings
        });
        for text in &texts {
            client.send(Message::Ping("?".into())).await.expect("sent");
            loop {
                match client.next().await.expect("there is more").expect("a frame") {
                    Message::Text(came) => break assert!(came.as_str() == text, "{} bytes", text.len()),
                    Message::Pong(came) => assert_eq!(&came[..], b"?"),
                    other => panic!("{other:?}"),
                }
            }
        }
        client.close(None).await.expect("said");
        while client.next().await.is_some() {}
        assert_eq!(serving.await.expect("no panic"), texts.len());
    }

    #[tokio::test]
    async fn parts_that_make_no_message_leave_the_others_their_turn() {
        /// Parts without bytes and without an end, as fast as they are read.
        struct Endless {
            read: usize,
        }

        impl AsyncRead for Endless {
            fn poll_read(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                to: &mut ReadBuf<'_>,
            ) -> Poll<std::io::Result<()>> {
                while to.remaining() > 0 && self.read < MOST {
                    // The first begins a text, and each goes on without an end: no payload, and a mask of zeros.
                    let first = u8::from(self.read == 0);
                    to.put_slice(&[[first, 0x80, 0, 0, 0, 0][self.read % 6]]);
                    self.read += 1;
                }
                Poll::Ready(Ok(()))
            }
        }

        impl AsyncWrite for Endless {
            fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
                Poll::Ready(Ok(bytes.len()))
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }

        const MOST: usize = 1 << 20;
        let mut link = Link::new(frames::open(Endless { read: 0 }, 1000).await);
        let mut turns = 0;
        loop {
            let before = link.socket.get_ref().socket().read;
            match link.turn(true, false).await {
                Turn::Busy => turns += 1,
                Turn::Lost(_) => break,
                Turn::Incoming(_) | Turn::Writable => panic!("nothing is whole"),
            }
            assert!(link.socket.get_ref().socket().read - before <= 9 << 10, "one read a turn");
        }
        assert!(turns >= MOST / (9 << 10), "{turns} turns");
    }

    #[tokio::test]
    async fn a_large_text_counts_until_it_has_gone_out() {
        let (server, client) = duplex(5000);
        let budget = Budget::new(100_000);
        let mut link = Link::new(frames::open(server, 1000).await);
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        assert_eq!(writable(&mut link).await, 0);
        for text in ["x".repeat(LARGE - 1), "y".repeat(60_000)].map(Utf8Bytes::from) {
            assert!(link.takes_more());
            let held = budget.hold_text(&text);
            link.send_text(text, Some(held)).expect("it is taken");
        }
        assert!(!link.takes_more(), "nothing goes behind it");
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(link.poll_turn(&mut context, false, true).is_pending(), "nobody reads");
        assert!(budget.charge(40_000).is_ok() && budget.charge(40_001).is_err());
        let reading = tokio::spawn(async move {
            for length in [LARGE - 1, 60_000] {
                let message = client.next().await.expect("there is more").expect("a message");
                assert_eq!(message.len(), length);
            }
            client
        });
        assert!(matches!(link.turn(false, true).await, Turn::Writable));
        assert!(budget.charge(100_000).is_ok(), "it has gone");
        reading.await.expect("no panic");
        drop(link);
    }
}
