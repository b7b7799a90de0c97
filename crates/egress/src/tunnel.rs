//! Two connections that are one: bytes both ways until both ends have said all, or nobody says anything.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep_until};

/// Carries bytes both ways. Ends when both directions have, or nothing has gone either way for `idle`.
pub(crate) async fn join(
    inside: impl AsyncRead + AsyncWrite + Unpin,
    outside: impl AsyncRead + AsyncWrite + Unpin,
    idle: Duration,
) -> io::Result<()> {
    let moved = Arc::new(Mutex::new(Instant::now()));
    let mut inside = Watched { inner: inside, moved: Arc::clone(&moved) };
    let mut outside = Watched { inner: outside, moved: Arc::clone(&moved) };
    let carrying = copy_bidirectional(&mut inside, &mut outside);
    let idling = async {
        loop {
            let until = *moved.lock().unwrap_or_else(PoisonError::into_inner) + idle;
            if until <= Instant::now() {
                break;
            }
            sleep_until(until).await;
        }
    };
    tokio::select! {
        result = carrying => result.map(|_| ()),
        () = idling => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Notes when something has moved.
struct Watched<S> {
    inner: S,
    moved: Arc<Mutex<Instant>>,
}

impl<S> Watched<S> {
    fn note<T>(&self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(poll, Poll::Ready(Ok(_))) {
            *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        poll
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.note(poll)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note(poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn carries_both_ways_and_gives_up_on_silence() {
        let ((mut left, inside), (mut right, outside)) = (duplex(64), duplex(64));
        let joined = tokio::spawn(join(inside, outside, Duration::from_secs(10)));
        let begin = Instant::now();
        // One direction alone keeps it alive.
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(8)).await;
            left.write_all(b"ping").await.expect("it is open");
            let mut got = [0; 4];
            right.read_exact(&mut got).await.expect("it is open");
            assert_eq!(&got, b"ping");
        }
        let result = joined.await.expect("no panic");
        assert_eq!(result.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        assert!(begin.elapsed() >= Duration::from_secs(50) && begin.elapsed() < Duration::from_secs(60));
    }
}
