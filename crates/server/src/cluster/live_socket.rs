//! A TCP connection that is asked for its end before it is used again.
//!
//! A runtime learns that a connection has ended some time after the kernel does. A call that is written meanwhile is lost,
//! and nobody can say whether the other server has executed it. So a connection that has nothing under way asks the
//! kernel itself: one that has ended is not used, and its call goes to a new connection or is refused, unsent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustix::net::{RecvFlags, recv};
use tokio::net::TcpStream;
use tower_service::Service;

/// Opens connections of this kind.
#[derive(Clone, Debug)]
pub(super) struct LiveConnector(pub(super) HttpConnector);

impl Service<Uri> for LiveConnector {
    type Response = LiveSocket;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<LiveSocket, Self::Error>> + Send>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(task)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = self.0.call(address);
        Box::pin(async move { Ok(LiveSocket { socket: connecting.await?, is_idle: true }) })
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct LiveSocket {
    socket: TokioIo<TcpStream>,
    /// Nothing was written since something was read.
    is_idle: bool,
}

impl LiveSocket {
    /// What a read would find that the runtime has not heard of; `Pending`: nothing, or bytes, of which it will hear.
    fn end(&self) -> Poll<io::Result<()>> {
        let mut byte = [0; 1];
        match recv(self.socket.inner(), &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Poll::Ready(Ok(())),
            Ok(_) => Poll::Pending,
            Err(error) if [rustix::io::Errno::AGAIN, rustix::io::Errno::INTR].contains(&error) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl Read for LiveSocket {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(task, buffer);
        if read.is_ready() {
            self.is_idle = true;
        } else if self.is_idle {
            return self.end();
        }
        read
    }
}

impl Write for LiveSocket {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_idle = false;
        Pin::new(&mut self.socket).poll_write(task, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_idle = false;
        Pin::new(&mut self.socket).poll_write_vectored(task, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(task)
    }
}

impl Connection for LiveSocket {
    fn connected(&self) -> Connected {
        self.socket.connected()
    }
}
