//! What a WebSocket's client has sent of a message that is not finished.
//!
//! The library that reads messages keeps an unfinished one where nobody sees it. So the bytes are counted below it, as
//! they come from the network, beyond a small one for which there is always room (a client that is told what fills the budget
//! must be able to say that it has it), and given back with each message that is finished. What it keeps then is
//! [little](super::websocket::open), however large the message was.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::budget::Charge;
use crate::lock::lock;

/// What a client's control frame has before its payload of at most 125 bytes: two bytes and the mask (RFC 6455, section 5.2).
const CONTROL_HEADER: usize = 6;

/// Counts what a connection reads, once it has a budget.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadMeter(Arc<Mutex<Option<Charge>>>);

impl ReadMeter {
    /// From here on what is read draws from this.
    pub(crate) fn begin(&self, charge: Charge) {
        *self.charge() = Some(charge);
    }

    /// What was read has become a whole message, which is counted by itself.
    pub(crate) fn finished(&self) {
        if let Some(charge) = &mut *self.charge() {
            charge.resize(0).expect("nothing is always to be had");
        }
    }

    /// A control frame with so long a payload has been read, by itself or between the parts of a message.
    pub(crate) fn passed(&self, payload: usize) {
        if let Some(charge) = &mut *self.charge() {
            let left = charge.bytes().saturating_sub(CONTROL_HEADER + payload);
            charge.resize(left).expect("less is always to be had");
        }
    }

    fn read(&self, bytes: usize) -> io::Result<()> {
        match &mut *self.charge() {
            Some(charge) => charge.grow_past_small(bytes).map_err(io::Error::other),
            None => Ok(()),
        }
    }

    fn charge(&self) -> MutexGuard<'_, Option<Charge>> {
        lock(&self.0)
    }
}

/// A connection whose reading is counted.
pub(crate) struct Metered<S> {
    socket: S,
    meter: ReadMeter,
}

impl<S> Metered<S> {
    pub(crate) fn new(socket: S, meter: ReadMeter) -> Self {
        Self { socket, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        Poll::Ready(self.meter.read(buffer.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::budget::{Budget, SMALL};

    #[tokio::test]
    async fn a_ping_gives_back_no_more_than_it_took() {
        let (budget, meter) = (Budget::new(4 * SMALL), ReadMeter::default());
        let bytes = [0_u8; 8 * SMALL];
        let mut socket = Metered::new(&bytes[..], meter.clone());
        meter.begin(budget.nothing());
        let mut part = vec![0; SMALL];
        let mut ping = [0; CONTROL_HEADER + 5];
        for parts in 1..=4 {
            socket.read_exact(&mut ping).await.expect("there is room");
            meter.passed(5);
            socket.read_exact(&mut part).await.expect("there is room");
            assert_eq!(budget.used(), parts * SMALL);
        }
        socket.read_exact(&mut ping).await.expect_err("more than there is room for");
        meter.finished();
        assert_eq!(budget.used(), 0);
        meter.passed(125);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn what_is_read_counts_until_a_message_is_whole() {
        let (budget, meter) = (Budget::new(2 * SMALL - 1), ReadMeter::default());
        let bytes = [0_u8; 8 * SMALL];
        let mut socket = Metered::new(&bytes[..], meter.clone());
        let mut buffer = [0; SMALL];
        socket.read_exact(&mut buffer).await.expect("nothing is counted yet");
        meter.begin(budget.charge(0).expect("there is room"));
        socket.read_exact(&mut buffer).await.expect("there is room");
        meter.finished();
        socket.read_exact(&mut buffer).await.expect("there is room again");
        socket.read_exact(&mut buffer).await.expect_err("one byte more than there is room for");
        // What others hold keeps nobody from saying little.
        meter.finished();
        let _others = budget.charge(2 * SMALL - 1).expect("there is room");
        socket.read_exact(&mut buffer).await.expect("a small message");
    }
}
