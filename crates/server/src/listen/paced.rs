//! A connection whose other end takes what it is sent, and not just a byte now and then.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::cut::Cut;

/// How fast the other end has to take what there is for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long it may be waited for, in all, until it has taken enough.
    pub(crate) time: Duration,
    /// What is enough, bytes a minute of that time. 0: any byte is.
    pub(crate) per_minute: u64,
}

impl Pace {
    /// What has to be taken within the time.
    fn enough(&self) -> u64 {
        let bytes = u128::from(self.per_minute) * self.time.as_millis() / 60_000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }
}

/// What the other end has taken, or brought, and how long it was waited for. With each `enough` bytes it begins anew.
#[derive(Debug)]
pub(crate) struct Count {
    pace: Pace,
    bytes: u64,
    waited: Duration,
}

impl Count {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, bytes: 0, waited: Duration::ZERO }
    }

    /// How much longer it may be waited for.
    pub(crate) fn left(&self) -> Duration {
        self.pace.time.saturating_sub(self.waited)
    }

    /// So many bytes came after a wait.
    pub(crate) fn add(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes >= self.pace.enough() {
            (self.bytes, self.waited) = (0, Duration::ZERO);
        }
    }
}

/// A connection that breaks when its other end takes too little for too long.
///
/// Only the time counts that a write waits: an end that nothing is sent to, or that takes everything at once, may go on for
/// ever. One that waits also breaks when the connection is [cut](Cut).
pub(crate) struct Paced<S> {
    socket: S,
    cut: Cut,
    /// The wait that goes on is not included.
    count: Count,
    waiting: Option<Waiting>,
}

/// A write that waits.
struct Waiting {
    since: Instant,
    patience: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    pub(crate) fn new(socket: S, pace: Pace, cut: Cut) -> Self {
        Self { socket, cut, count: Count::new(pace), waiting: None }
    }

    /// What comes of a step, `bytes` of which were taken.
    fn after<T>(
        &mut self,
        context: &mut Context<'_>,
        step: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let Poll::Ready(result) = step else {
            if self.cut.has_come(context) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            let left = self.count.left();
            let waiting = self.waiting.get_or_insert_with(|| {
                let since = Instant::now();
                Waiting { since, patience: Box::pin(sleep_until(since + left)) }
            });
            return waiting.patience.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
        };
        let waited = self.waiting.take().map_or(Duration::ZERO, |waiting| waiting.since.elapsed());
        self.count.add(waited, result.as_ref().map_or(0, bytes));
        Poll::Ready(result)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.after(context, step, |taken| *taken)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = Pin::new(&mut self.socket).poll_flush(context);
        self.after(context, step, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = Pin::new(&mut self.socket).poll_shutdown(context);
        self.after(context, step, |()| 0)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.socket).poll_write_vectored(context, parts);
        self.after(context, step, |taken| *taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::*;

    const PACE: Pace = Pace { time: Duration::from_secs(120), per_minute: 6000 };

    /// Takes so many bytes each so many seconds, until the connection is over.
    async fn taker(mut end: DuplexStream, bytes: usize, seconds: u64) {
        let mut buffer = vec![0; bytes];
        while end.read_exact(&mut buffer).await.is_ok() {
            sleep(Duration::from_secs(seconds)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_not_enough() {
        for (bytes, seconds) in [(1, 1), (100, 5), (5900, 60)] {
            let (one, other) = duplex(64);
            let begin = Instant::now();
            tokio::spawn(taker(other, bytes, seconds));
            let failed =
                Paced::new(one, PACE, Cut::default()).write_all(&[0; 1 << 20]).await.expect_err("it is too slow");
            assert_eq!(failed.kind(), io::ErrorKind::TimedOut, "{bytes} each {seconds} s");
            let time = begin.elapsed();
            assert!(time >= PACE.time && time < PACE.time * 2, "{bytes} each {seconds} s: {time:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_enough_may_take_long() {
        for (bytes, seconds) in [(110, 1), (1100, 10)] {
            let (one, other) = duplex(64);
            let begin = Instant::now();
            tokio::spawn(taker(other, bytes, seconds));
            Paced::new(one, PACE, Cut::default()).write_all(&[0; 100_000]).await.expect("it is fast enough");
            assert!(begin.elapsed() > PACE.time * 3);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_waits_does_not_count() {
        let (one, mut other) = duplex(64);
        let mut paced = Paced::new(one, PACE, Cut::default());
        let mut buffer = [0; 64];
        for _ in 0..100 {
            paced.write_all(&[0; 64]).await.expect("there is room");
            sleep(PACE.time).await;
            other.read_exact(&mut buffer).await.expect("it was written");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_off_at_once() {
        let (one, _other) = duplex(64);
        let (cut, begin) = (Cut::default(), Instant::now());
        let mut paced = Paced::new(one, PACE, cut.clone());
        let writing = tokio::spawn(async move { paced.write_all(&[0; 100]).await });
        sleep(Duration::from_secs(1)).await;
        cut.cut();
        let failed = writing.await.expect("no panic").expect_err("it waits");
        assert_eq!((failed.kind(), begin.elapsed().as_secs()), (io::ErrorKind::ConnectionAborted, 1));
        // Where nothing waits there is nothing to be freed.
        let (one, _other) = duplex(64);
        let mut paced = Paced::new(one, PACE, cut);
        paced.write_all(&[0; 64]).await.expect("there is room");
        paced.write_all(&[0]).await.expect_err("there is none");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_any_byte_is_enough() {
        let (one, other) = duplex(64);
        tokio::spawn(taker(other, 1, 100));
        let pace = Pace { per_minute: 0, ..PACE };
        Paced::new(one, pace, Cut::default()).write_all(&[0; 200]).await.expect("each byte begins anew");
    }
}
