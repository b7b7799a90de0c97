//! The seam: what a driver tells the [`Session`](crate::Session), and what the session tells a driver.
//!
//! It is data, not a trait. Tokio's sockets must be `Send` and a browser's cannot be, so a transport trait would be
//! written twice; enums serve both.

use agb_protocol::Stream;

use crate::disconnect_reason::DisconnectReason;
use crate::run::RunId;
use crate::secret::Secret;
use crate::time::Instant;

/// What one kind of transport can and cannot do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capabilities {
    /// The opening handshake can carry request headers.
    pub headers: bool,
    /// Reading can be paused, so that the peer feels it.
    pub pause: bool,
    /// Ping frames can be sent, and pongs are seen.
    pub ping: bool,
}

impl Capabilities {
    /// A socket of our own.
    pub const NATIVE: Self = Self { headers: true, pause: true, ping: true };
    /// The browser's `WebSocket`: no headers, no ping frames, and reading cannot be paused.
    pub const BROWSER: Self = Self { headers: false, pause: false, ping: false };
}

/// One physical socket: a new one for every attempt, never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(pub(crate) u32);

/// Something that happened to a socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input<'a> {
    /// The handshake succeeded.
    Opened,
    /// A text frame, or a binary frame that holds UTF-8.
    Text(&'a str),
    /// A frame that says nothing but that the peer lives: a ping or a pong.
    Alive,
    /// How many bytes were taken from us and not yet by the wire.
    Backlog(usize),
    /// The socket is gone, by whatever way. Nothing more comes from this link.
    Lost(DisconnectReason),
}

/// A chunk of output that the driver has read from its frame, and whose text it keeps on its side: a browser's strings
/// are not copied into WebAssembly and out again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ExternalChunk<'a> {
    /// `invocationId`, or where that is missing `requestId`.
    pub invocation: &'a str,
    /// The number of the event, where it has one.
    pub seq: Option<u64>,
    /// Its time, where it has one: milliseconds since the Unix epoch.
    pub time: Option<u64>,
    /// It was written before this run.
    pub background: bool,
    /// Whose output it is.
    pub stream: Stream,
    /// Its length, in units that are at most three bytes on the wire, such as UTF-16's.
    pub length: u32,
}

/// What the driver is to do next.
#[derive(Debug, Eq, PartialEq)]
#[must_use = "an output that is not carried out is lost"]
pub enum Output {
    /// Open a socket or an event stream, and answer with [`Input::Opened`] or [`Input::Lost`].
    Open(LinkId, OpenRequest),
    /// Send a text frame; on an event stream, POST it.
    Send(LinkId, String),
    /// Send a ping frame. Only where [`Capabilities::ping`].
    Ping(LinkId),
    /// Close with this code. Final: the session has forgotten the link.
    Close(LinkId, u16),
    /// Tell the application.
    Event(Event),
    /// Drained: the one place to wait, for a socket, a command or the deadline.
    Idle {
        /// When to call [`Session::handle_timeout`](crate::Session::handle_timeout).
        deadline: Option<Instant>,
        /// Whether to read the socket. A driver that can pause reading pauses when this is false.
        read: bool,
    },
}

/// How to open a link: a WebSocket, or with `events` a run's event stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenRequest {
    /// `ws:` or `wss:`; of an event stream `http:` or `https:`.
    pub url: String,
    /// Headers of the handshake, empty where the transport has none; of an event stream those of every call.
    pub headers: Vec<(&'static str, Secret)>,
    /// Sub-protocols to offer, in order. They may carry the token: never log them.
    pub protocols: Vec<Secret>,
    /// Set for an event stream.
    pub events: Option<EventsRequest>,
}

/// A run's event stream, where the network lets no WebSocket through (extension `http`).
///
/// To open it: `POST` what comes [`first`](Self::first), if there is something, then `GET` the request's `url`.
/// What is [sent](Output::Send) is POSTed in order, one call after the other. [`StreamCall::judge`] says what each
/// answer means. Where no connection could be made the link is lost as [`DisconnectReason::Unreached`]. Each event's
/// data is an [`Input::Text`], a comment is [`Input::Alive`], and the end of the stream is [`Input::Lost`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventsRequest {
    /// Where to POST what is sent, as JSON.
    pub say: String,
    /// What is to be POSTed before the stream is opened. Saying it twice does no harm.
    pub first: Option<String>,
}

/// The HTTP calls of an event stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamCall {
    /// The `POST` of [`EventsRequest::first`].
    First,
    /// A `POST` of something that was [sent](Output::Send).
    Send,
    /// The `GET` of the stream itself.
    Events,
}

impl StreamCall {
    /// What an answer means for the link. `None`: nothing. `said` is the `Content-Type` where the status is 200, else the
    /// [start](DisconnectReason::LONGEST_REFUSAL) of the body.
    #[must_use]
    pub fn judge(self, status: u16, said: &str) -> Option<Input<'static>> {
        let is = |wanted: &str| said.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted));
        let is_expected = match self {
            Self::First | Self::Send => !is("text/html"),
            Self::Events => is("text/event-stream"),
        };
        match (self, status) {
            (Self::First, 200) if is_expected => Some(Input::Alive),
            (Self::Send, 200) if is_expected => None,
            (Self::Events, 200) if is_expected => Some(Input::Opened),
            // The service has received it, and says no to this alone: the run may be over.
            (Self::Send, 400..=499) => None,
            (_, 200) => Some(Input::Lost(DisconnectReason::Broken(not_ours(said)))),
            // A browser's word for a redirect, which the service never makes.
            (_, 0) => Some(Input::Lost(DisconnectReason::Broken(not_ours("a redirect")))),
            (_, status) => Some(Input::Lost(DisconnectReason::refused(status, said))),
        }
    }
}

fn not_ours(what: &str) -> String {
    let shown = if what.is_empty() { "no content type" } else { &what[..what.floor_char_boundary(64)] };
    format!("the address of the event stream answered with {shown}: a login page or a proxy may answer in its place")
}

/// A hint for the application. Data is pulled with [`Session::read`](crate::Session::read).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection changed.
    State(State),
    /// There is something to read for this run. Said once until it has been read empty.
    Readable(RunId),
}

/// The connection's state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// No socket, and none wanted.
    Idle,
    /// A socket is being opened; `attempt` counts from 0 since the last success.
    Connecting {
        /// How many attempts came before.
        attempt: u32,
    },
    /// Connected.
    Open,
    /// Waiting to try again.
    Waiting {
        /// How many attempts came before.
        attempt: u32,
    },
    /// Closed by the application, for good.
    Closed,
}
