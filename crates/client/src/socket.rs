//! Opening a WebSocket: TCP or a proxy's tunnel, TLS where the URL says so, the opening handshake.
//!
//! The handshake is written here and not left to tungstenite, which prints the whole request, token included, at its
//! log level `trace`. Every failure becomes a [`DisconnectReason`] whose words hold no URL and no token.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use agb_core::{DisconnectReason, OpenRequest, Secret};
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::answer::SharedRoom;
use crate::frame_walk::FrameWalk;
use crate::network::Network;
use crate::wire::{Wire, broken, connect, io_loss, read_head};

/// A WebSocket that has been opened.
pub(crate) type Socket = WebSocketStream<Counted>;

/// Limits of one socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketLimits {
    /// Largest message that is taken, bytes. Default 64 MiB: a picture in base64 fits, and a broken service cannot
    /// fill the memory.
    pub max_message: usize,
    /// Largest frame that is taken, bytes. Default the same: a service need not split its messages.
    pub max_frame: usize,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self { max_message: 64 << 20, max_frame: 64 << 20 }
    }
}

impl SocketLimits {
    /// A message was larger than this limit.
    pub(crate) fn exceeded(limit: usize) -> DisconnectReason {
        DisconnectReason::TooLarge(format!(
            "a message of the service is too large, above {limit} bytes: raise the limit (`SocketLimits`)"
        ))
    }

    pub(crate) fn to_config(self) -> WebSocketConfig {
        WebSocketConfig::default().max_message_size(Some(self.max_message)).max_frame_size(Some(self.max_frame))
    }
}

/// Opens a socket.
pub(crate) async fn dial(
    request: OpenRequest,
    limits: (SocketLimits, Option<SharedRoom>),
    network: Arc<Network>,
) -> Result<Socket, DisconnectReason> {
    // The parser's error repeats no part of the URL.
    let url = Url::parse(&request.url).map_err(|error| broken(format!("the session's wsUrl is not a URL: {error}")))?;
    let secure = match url.scheme() {
        "ws" | "http" => false,
        "wss" | "https" => true,
        other => return Err(broken(format!("the session's wsUrl begins with `{other}:`, not with `ws:` or `wss:`"))),
    };
    let host = url.host_str().ok_or_else(|| broken("the session's wsUrl names no host".into()))?;
    // Without the brackets of an IPv6 address.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(if secure { 443 } else { 80 });
    let wire: Box<dyn Wire> = match network.proxies.to(&url) {
        Some(proxy) => proxy.tunnel(host, port, &network.trust).await?,
        None => {
            let tcp = connect(name, port).await;
            Box::new(tcp.map_err(|error| broken(format!("cannot connect to {name}, port {port}: {error}")))?)
        }
    };
    let wire = if secure { network.trust.connect_over(name, wire).await? } else { wire };
    handshake(wire, &url, &request, limits).await
}

/// The opening handshake (RFC 6455, section 4.1).
async fn handshake(
    mut wire: Box<dyn Wire>,
    url: &Url,
    request: &OpenRequest,
    (limits, room): (SocketLimits, Option<SharedRoom>),
) -> Result<Socket, DisconnectReason> {
    let key = generate_key();
    let text = Secret::from(handshake_request(url, request, &key)?);
    wire.write_all(text.expose().as_bytes()).await.map_err(|error| io_loss(&error))?;
    wire.flush().await.map_err(|error| io_loss(&error))?;
    let (head, rest) = read_head(&mut wire).await?;
    if let Err(Refused { status, length }) = check_response(&head, request, &derive_accept_key(key.as_bytes()))? {
        return Err(DisconnectReason::refused(status, &body(wire, rest, length).await));
    }
    // `from_partially_read` would do it as well, but reads into a buffer of the size of the next frame ever after.
    let wire = Counted { rest, room, ..Counted::new(wire) };
    Ok(Socket::from_raw_socket(wire, Role::Client, Some(limits.to_config())).await)
}

/// A wire that knows how much has come, whole messages or not, and whose first bytes may have been read already.
pub(crate) struct Counted {
    rest: Vec<u8>,
    wire: Box<dyn Wire>,
    walk: FrameWalk,
    read: u64,
    /// What of it has been delivered.
    delivered: u64,
    /// What the rest is counted by, and what was told of it.
    room: Option<SharedRoom>,
    told: usize,
}

/// What a service's control frame has before its payload of at most 125 bytes (RFC 6455, section 5.2): no mask.
const CONTROL_HEADER: u64 = 2;

impl Counted {
    /// What is under way is counted from so many bytes on, by as many: a socket reads more at once. 128 KiB.
    const STEP: usize = 128 << 10;

    pub(crate) fn new(wire: Box<dyn Wire>) -> Self {
        Self { rest: vec![], wire, walk: FrameWalk::default(), read: 0, delivered: 0, room: None, told: 0 }
    }

    /// All that has come is delivered, and held by nobody here.
    pub(crate) fn deliver(&mut self) {
        self.delivered = self.read;
        if let Some(room) = &self.room
            && std::mem::take(&mut self.told) > 0
        {
            let _ = room(0); // nothing is always to be had
        }
    }

    /// A control frame with so long a payload was delivered: it may have come between the parts of a message (RFC 6455,
    /// section 5.4), which is still under way.
    pub(crate) fn pass(&mut self, payload: usize) {
        let frame = CONTROL_HEADER + payload as u64;
        self.delivered = self.delivered.saturating_add(frame).min(self.read);
    }

    /// Counts what has come of a message: as it is, and as what is read of it.
    fn count(&mut self) -> io::Result<()> {
        let Some(room) = &self.room else { return Ok(()) };
        let under_way = usize::try_from(self.read - self.delivered).unwrap_or(usize::MAX);
        let bytes = (under_way / Self::STEP).saturating_mul(2 * Self::STEP);
        if bytes > self.told {
            room(bytes).map_err(io::Error::other)?;
            self.told = bytes;
        }
        Ok(())
    }

    /// Bytes that have come so far.
    pub(crate) const fn read(&self) -> u64 {
        self.read
    }
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The library asks for more until a message is whole, which parts without an end never are.
        if this.walk.is_others_turn() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let poll = if this.rest.is_empty() {
            let poll = Pin::new(&mut this.wire).poll_read(cx, buffer);
            let came = &buffer.filled()[before..];
            let length = this.walk.pass(came);
            this.rest.extend_from_slice(&came[length..]);
            buffer.set_filled(before + length);
            poll
        } else {
            let most = this.rest.len().min(buffer.remaining());
            let length = this.walk.pass(&this.rest[..most]);
            buffer.put_slice(&this.rest[..length]);
            this.rest.drain(..length);
            Poll::Ready(Ok(()))
        };
        this.read += (buffer.filled().len() - before) as u64;
        this.count()?;
        poll
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

fn handshake_request(url: &Url, request: &OpenRequest, key: &str) -> Result<String, DisconnectReason> {
    let (path, host) = (url.path(), url.host_str().unwrap_or_default());
    let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
    let port = url.port().map_or_else(String::new, |port| format!(":{port}")); // `None` for the scheme's own
    let mut text = format!(
        "GET {path}{query} HTTP/1.1\r\nHost: {host}{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nUser-Agent: {}\r\n",
        crate::USER_AGENT,
    );
    let protocols = request.protocols.iter().map(Secret::expose).collect::<Vec<_>>().join(", ");
    let protocols = (!protocols.is_empty()).then_some(("Sec-WebSocket-Protocol", protocols.as_str()));
    for (name, value) in request.headers.iter().map(|(name, value)| (*name, value.expose())).chain(protocols) {
        if !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(broken(format!("the header {name} cannot carry the session's token: it is not plain ASCII")));
        }
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    Ok(text)
}
/// An answer that is no WebSocket: its status, and how long its body is.
struct Refused {
    status: u16,
    length: usize,
}

/// How long a refusal may take to say why: the words mostly come with the status.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// A refusal's body, as far as it is worth reading and comes soon.
async fn body(wire: Box<dyn Wire>, mut body: Vec<u8>, length: usize) -> String {
    let length = length.min(DisconnectReason::LONGEST_REFUSAL);
    let mut rest = wire.take(length.saturating_sub(body.len()) as u64);
    let _ = timeout(PATIENCE, rest.read_to_end(&mut body)).await; // what has come is what there is
    body.truncate(length);
    String::from_utf8_lossy(&body).into_owned()
}

fn check_response(head: &[u8], request: &OpenRequest, accept: &str) -> Result<Result<(), Refused>, DisconnectReason> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).map_err(|error| broken(format!("the handshake's answer is not HTTP: {error}")))?;
    match response.code {
        Some(101) => {}
        Some(status) => {
            let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let length = length.and_then(|header| str::from_utf8(header.value).ok()?.trim().parse().ok());
            return Ok(Err(Refused { status, length: length.unwrap_or(0) }));
        }
        None => return Err(broken("the handshake's answer has no status".into())),
    }
    let has = |name: &str, wanted: &dyn Fn(&str) -> bool| {
        response
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name))
            .filter_map(|header| str::from_utf8(header.value).ok())
            .any(|value| value.split(',').any(|part| wanted(part.trim())))
    };
    let upgrades = has("upgrade", &|value| value.eq_ignore_ascii_case("websocket"))
        && has("connection", &|value| value.eq_ignore_ascii_case("upgrade"));
    if !upgrades || !has("sec-websocket-accept", &|value| value == accept) {
        return Err(broken("the handshake's answer is not a WebSocket's".into()));
    }
    let offered = |value: &str| request.protocols.iter().any(|protocol| protocol.expose() == value);
    if has("sec-websocket-protocol", &|value| !offered(value)) {
        return Err(broken("the service chose a sub-protocol that was not offered".into()));
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_ping_between_parts_delivers_none_of_them() {
        let room: SharedRoom =
            Arc::new(|bytes| if bytes <= 1 << 20 { Ok(()) } else { Err("there is no room".to_owned()) });
        let (near, mut far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move { far.write_all(&vec![b'x'; 4 << 20]).await });
        let mut wire = Counted { room: Some(room), ..Counted::new(Box::new(near)) };
        let (mut part, mut read) = (vec![0; 100 << 10], 0);
        while wire.read_exact(&mut part).await.is_ok() {
            read += part.len();
            wire.pass(125);
        }
        assert!((400 << 10..=700 << 10).contains(&read), "{read} bytes, each of which counts twice");
        wire.deliver();
        wire.pass(125);
        assert_eq!(wire.delivered, wire.read, "no more than has come");
    }

    #[tokio::test]
    async fn parts_that_make_no_message_leave_the_others_their_turn() {
        let sent: Vec<u8> =
            (0..100_000_u32).flat_map(|number| [u8::try_from(number % 251).expect("a byte"), 0]).collect();
        let mut wire = Counted::new(Box::new(io::Cursor::new(sent.clone())));
        let (mut came, mut turns) = (Vec::new(), 0);
        let mut in_turn = 0;
        let mut part = vec![0; 128 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut part);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            match Pin::new(&mut wire).poll_read(&mut cx, &mut buffer) {
                Poll::Pending => (turns, in_turn) = (turns + 1, 0),
                Poll::Ready(read) => {
                    read.expect("it is in memory");
                    if buffer.filled().is_empty() {
                        break;
                    }
                    came.extend_from_slice(buffer.filled());
                    in_turn += buffer.filled().len();
                    assert!(in_turn <= 2048, "{in_turn} bytes, or half as many frames, in one turn");
                }
            }
        }
        assert!(came == sent && turns == 97, "{turns} turns");
    }

    #[tokio::test]
    async fn what_is_under_way_counts_until_it_is_delivered() {
        let told = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&told);
        let room: SharedRoom = Arc::new(move |bytes| {
            counted.store(bytes, Ordering::Relaxed);
            if bytes <= 1 << 20 { Ok(()) } else { Err("there is no room".to_owned()) }
        });
        let (near, mut far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move { far.write_all(&vec![b'x'; 4 << 20]).await });
        let mut wire = Counted { room: Some(room), ..Counted::new(Box::new(near)) };
        let told = || told.load(Ordering::Relaxed);
        for _ in 0..10 {
            wire.read_exact(&mut vec![0; 100 << 10]).await.expect("it is small");
            assert_eq!(told(), 0);
            wire.deliver();
        }
        for _ in 0..3 {
            wire.read_exact(&mut vec![0; 300 << 10]).await.expect("there is room");
            assert_eq!(told(), 512 << 10, "the whole steps of it, twice");
            wire.deliver();
            assert_eq!(told(), 0);
        }
        let refused = wire.read_exact(&mut vec![0; 1 << 20]).await.expect_err("it is too much");
        assert_eq!(refused.to_string(), "there is no room");
    }
}
