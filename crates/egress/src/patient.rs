//! A connection whose other end reads what it is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection that breaks when its other end reads nothing, for so long, of what there is for it.
pub(crate) struct Patient<S> {
    inner: S,
    idle: Duration,
    /// A write that waits, until then at most.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Somebody else sees to it now.
    over: Arc<AtomicBool>,
}

impl<S> Patient<S> {
    /// Until the flag is set.
    pub(crate) fn new(inner: S, idle: Duration, over: Arc<AtomicBool>) -> Self {
        Self { inner, idle, waiting: None, over }
    }

    fn after<T>(&mut self, context: &mut Context<'_>, step: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if step.is_ready() || self.over.load(Ordering::Relaxed) {
            self.waiting = None;
            return step;
        }
        let idle = self.idle;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(idle)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.after(context, step)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = Pin::new(&mut self.inner).poll_flush(context);
        self.after(context, step)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = Pin::new(&mut self.inner).poll_shutdown(context);
        self.after(context, step)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn gives_up_on_who_reads_nothing_and_waits_for_who_reads_slowly() {
        let (inside, mut program) = duplex(4);
        let mut inside = Patient::new(inside, IDLE, Arc::default());
        let reading = tokio::spawn(async move {
            for _ in 0..3 {
                sleep(IDLE * 9 / 10).await;
                program.read_exact(&mut [0; 4]).await.expect("it is open");
            }
            program
        });
        let begun = Instant::now();
        let failed = inside.write_all(&[0; 20]).await.expect_err("it reads 12 bytes only");
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= IDLE * 37 / 10 && begun.elapsed() < IDLE * 4, "{:?}", begun.elapsed());
        reading.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_when_somebody_else_sees_to_it() {
        let (inside, mut program) = duplex(4);
        let over = Arc::new(AtomicBool::new(false));
        let mut inside = Patient::new(inside, IDLE, Arc::clone(&over));
        over.store(true, Ordering::Relaxed);
        let reading = tokio::spawn(async move {
            sleep(IDLE * 5).await;
            program.read_exact(&mut [0; 8]).await.expect("it is open");
        });
        inside.write_all(&[0; 8]).await.expect("it is read in the end");
        reading.await.expect("no panic");
    }
}
