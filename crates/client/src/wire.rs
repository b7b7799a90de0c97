//! A connection's bytes: reaching a host over TCP, and reading the head of an answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use agb_core::DisconnectReason;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Bytes both ways. Boxed: one virtual call a system call is nothing, and tests put memory in its place.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// This machine, as `localhost` is both of (RFC 6761, section 6.3), whatever a hosts file lists. The port is the URL's.
pub(crate) const LOCALHOST: [SocketAddr; 2] =
    [SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0)];

/// Connects to the first address that answers.
///
/// An address that does not answer must not use up the time for the others, so the next one is tried beside it after a
/// quarter of a second, and at once after one that refuses (RFC 8305, section 5).
pub(crate) async fn connect(name: &str, port: u16) -> io::Result<TcpStream> {
    const NEXT_AFTER: Duration = Duration::from_millis(250);
    let open = |address: SocketAddr| async move {
        let tcp = TcpStream::connect(address).await?;
        // Frames are written whole; waiting to fill a packet would only delay them.
        tcp.set_nodelay(true)?;
        io::Result::Ok(tcp)
    };
    let mut waiting = addresses(name, port).await?.into_iter();
    let mut attempts: FuturesUnordered<_> = waiting.next().map(open).into_iter().collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    loop {
        let patience = if waiting.len() > 0 { NEXT_AFTER } else { Duration::MAX };
        match timeout(patience, attempts.next()).await {
            Ok(Some(Ok(tcp))) => return Ok(tcp),
            Ok(Some(Err(error))) => last = error,
            Ok(None) if waiting.len() == 0 => return Err(last),
            Ok(None) | Err(_) => {}
        }
        attempts.extend(waiting.next().map(open));
    }
}

/// Where this name is, in the order in which it is tried.
async fn addresses(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if name == "localhost" {
        return Ok(LOCALHOST.iter().map(|address| SocketAddr::new(address.ip(), port)).collect());
    }
    Ok(alternate(lookup_host((name, port)).await?.collect()))
}

/// The two families in turn, beginning with the one that the system prefers.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == preferred);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(first.next().into_iter().chain(second.next()));
        if mixed.len() == before {
            return mixed;
        }
    }
}

/// Reads up to the blank line. What comes behind it is already frames.
pub(crate) async fn read_head(wire: &mut Box<dyn Wire>) -> Result<(Vec<u8>, Vec<u8>), DisconnectReason> {
    /// Cookies of a proxy fit; what is longer is not a handshake.
    const LONGEST: usize = 16 * 1024;
    let mut head = Vec::with_capacity(1024);
    loop {
        let before = head.len();
        if wire.read_buf(&mut head).await.map_err(|error| io_loss(&error))? == 0 {
            return Err(broken("the connection was closed during the handshake".into()));
        }
        // The end may have been cut by the last read.
        let from = before.saturating_sub(3);
        if let Some(at) = head[from..].windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = head.split_off(from + at + 4);
            return Ok((head, rest));
        }
        if head.len() > LONGEST {
            return Err(broken("the handshake's answer is too long to be one".into()));
        }
    }
}

pub(crate) fn broken(reason: String) -> DisconnectReason {
    DisconnectReason::Broken(reason)
}

pub(crate) fn io_loss(error: &io::Error) -> DisconnectReason {
    broken(format!("the connection broke: {error}"))
}
