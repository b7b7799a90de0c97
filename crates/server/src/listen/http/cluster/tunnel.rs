//! Joins a client's connection with one to the owner of its session, once both speak something else than HTTP.
//!
//! Frames are not read: back-pressure, windows and pings pass through as they are. Who does not read is not read from.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Extensions;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout;

use crate::cluster::NoAnswer;
use crate::observe::Metrics;

/// What is read at once of one that says little. With what hyper keeps, an idle tunnel stays below 64 KiB.
const LEAST: usize = 2 * 1024;
/// What is read at once at most of a client: acknowledgements and programs.
const FROM_CLIENT: usize = 8 * 1024;
/// What is read at once at most of the owner: two frames of output.
const FROM_OWNER: usize = 128 * 1024;

/// How long a client may take to close its side once the owner has closed the other: a WebSocket's client does it at once.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Copies both ways until one end closes or the owner is `given_up`. What is `held` is held as long.
pub(super) fn join(
    client: OnUpgrade,
    owner: OnUpgrade,
    given_up: impl Future<Output = NoAnswer> + Send + 'static,
    metrics: &Arc<Metrics>,
    held: Extensions,
) {
    let open = metrics.tunnel();
    tokio::spawn(async move {
        let _held = (held, open);
        let (client, owner) = match tokio::try_join!(client, owner) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "a tunnel was not made"),
        };
        let copying = copy_both(TokioIo::new(client), TokioIo::new(owner));
        tokio::select! {
            () = copying => {}
            reason = given_up => tracing::debug!(%reason, "a tunnel was cut"),
        }
    });
}

/// Copies both ways. What the owner has said reaches the client also where the owner takes nothing any more: it may have
/// said why.
async fn copy_both(client: impl AsyncRead + AsyncWrite + Unpin, owner: impl AsyncRead + AsyncWrite + Unpin) {
    let (from_client, to_client) = split(client);
    let (from_owner, to_owner) = split(owner);
    let up = async {
        if let Err(error) = copy(from_client, to_owner, FROM_CLIENT).await {
            tracing::debug!(%error, "a tunnel takes nothing more from its client");
            pending::<()>().await;
        }
    };
    let down = async {
        if let Err(error) = copy(from_owner, to_client, FROM_OWNER).await {
            tracing::debug!(%error, "a tunnel broke");
        }
    };
    let mut up = pin!(up);
    let mut down = pin!(down);
    tokio::select! {
        () = &mut up => down.await, // the client has closed its side
        // The owner has closed its own: the client is told, and has a moment to close the other.
        () = &mut down => drop(timeout(LAST_WORDS, up).await),
    }
}

/// Copies until the end, and closes what it copies to. Reads at most so much at once.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, most: usize) -> io::Result<()> {
    let mut buffer = vec![0; LEAST];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
        let size = next_size(buffer.len(), count, most);
        if size != buffer.len() {
            buffer = vec![0; size];
        }
    }
}

/// How much to read at once after a read of `count` bytes into a buffer of `size`: more while it is filled, less when little
/// comes.
fn next_size(size: usize, count: usize, most: usize) -> usize {
    if count == size {
        (size * 2).min(most)
    } else if count < size / 4 {
        (size / 2).max(LEAST)
    } else {
        size
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{DuplexStream, ReadBuf, duplex};

    use super::*;

    /// An owner that takes nothing any more.
    struct Deaf(DuplexStream);

    impl AsyncRead for Deaf {
        fn poll_read(
            mut self: Pin<&mut Self>,
            task: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(task, buffer)
        }
    }

    impl AsyncWrite for Deaf {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_owners_last_words_arrive_though_it_takes_nothing_more() {
        let (mut client, at_client) = duplex(64);
        let (mut owner, at_owner) = duplex(64);
        let tunnel = tokio::spawn(copy_both(at_client, Deaf(at_owner)));
        client.write_all(b"too much").await.expect("there is room");
        tokio::task::yield_now().await; // the tunnel has seen the error
        owner.write_all(b"goodbye").await.expect("there is room");
        owner.shutdown().await.expect("it is open");
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.expect("its end");
        assert_eq!(said, b"goodbye");
        tunnel.await.expect("no panic");
    }

    #[test]
    fn a_buffer_is_as_large_as_what_comes() {
        let after =
            |reads: &[usize]| reads.iter().fold(LEAST, |size, &count| next_size(size, count.min(size), FROM_OWNER));
        assert_eq!(after(&[usize::MAX; 6]), FROM_OWNER);
        assert_eq!(after(&[usize::MAX; 9]), FROM_OWNER);
        assert_eq!(after(&[usize::MAX, usize::MAX, LEAST * 3]), LEAST * 4);
        assert_eq!(after(&[&[usize::MAX; 6][..], &[10; 6]].concat()), LEAST);
        assert_eq!(after(&[10; 3]), LEAST);
    }

    #[tokio::test]
    async fn what_comes_before_an_end_goes_on_both_ways() {
        let (mut client, at_client) = duplex(16);
        let (mut owner, at_owner) = duplex(16);
        let tunnel = tokio::spawn(copy_both(at_client, at_owner));
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
        let sent = bytes.clone();
        let writing = async {
            client.write_all(&sent).await.expect("it is taken");
            client.shutdown().await.expect("it is open");
            let mut echo = Vec::new();
            client.read_to_end(&mut echo).await.expect("its end");
            echo
        };
        let echoing = async {
            let mut all = Vec::new();
            owner.read_to_end(&mut all).await.expect("its end");
            owner.write_all(&all).await.expect("it is taken");
            owner.shutdown().await.expect("it is open");
        };
        let (echo, ()) = tokio::join!(writing, echoing);
        assert!(echo == bytes);
        tunnel.await.expect("no panic");
    }
}
