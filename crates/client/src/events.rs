//! A run's event stream, where the network lets no WebSocket through: plain HTTP calls, carried out for the core.
//!
//! Two tasks a stream: one reads, one says what is to be said, a call after the other. Both tell the driver through one
//! bounded channel; while the driver does not read it, the stream is not read either.

use std::sync::Arc;
use std::time::Duration;

use agb_core::http::Repeat;
use agb_core::{DisconnectReason, EventsRequest, Input, LinkId, OpenRequest, Secret, StreamCall};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::answer::SharedRoom;
use crate::http::{Http, innermost, sensitive};
use crate::link::Link;
use crate::socket::{PATIENCE, SocketLimits};
use crate::tls;
use crate::wire::broken;

/// What a stream says to the driver.
#[derive(Debug)]
pub(crate) enum Signal {
    Opened,
    /// A large one with the only place that its stream has for one: no other is handed on before it is taken.
    Text(String, #[expect(dead_code, reason = "the place is free when it is dropped")] Option<OwnedSemaphorePermit>),
    Alive,
    Lost(DisconnectReason),
}

impl Signal {
    fn of(input: Input<'_>) -> Self {
        match input {
            Input::Opened => Self::Opened,
            Input::Lost(reason) => Self::Lost(reason),
            _ => Self::Alive,
        }
    }
}

/// The driver's end of the channel of all streams.
pub(crate) type Signals = mpsc::Sender<(LinkId, Signal)>;

/// So many events wait for the driver at most.
pub(crate) const WAITING: usize = 64;

/// An event stream. Dropping it ends the reading; what was to be said is said.
#[derive(Debug)]
pub(crate) struct EventLink {
    pub(crate) id: LinkId,
    words: mpsc::UnboundedSender<String>,
    reader: JoinHandle<()>,
}

impl EventLink {
    /// Begins to open it. What becomes of it comes by `signals`.
    pub(crate) fn open(
        id: LinkId,
        request: OpenRequest,
        http: &Http,
        (limits, room): Limits,
        signals: Signals,
    ) -> Self {
        let (words, said) = mpsc::unbounded_channel();
        let calls = Calls::new(request, http);
        let reader = tokio::spawn(async move {
            let (calls, stream) = match calls {
                Ok((calls, stream)) => (calls, stream),
                Err(loss) => return tell(&signals, id, Signal::Lost(loss)).await,
            };
            let opened = match calls.open(stream, id, &signals).await {
                Ok(response) => response,
                Err(loss) => return tell(&signals, id, Signal::Lost(loss)).await,
            };
            tokio::spawn(calls.clone().say_all(id, said, signals.clone()));
            let loss = read(opened, (limits, room), id, &signals).await;
            tell(&signals, id, Signal::Lost(loss)).await;
        });
        Self { id, words, reader }
    }

    /// Takes something to say. The core has bounded what there is.
    pub(crate) fn say(&self, words: String) {
        let _ = self.words.send(words); // where nobody listens the link is lost, and the driver will hear of it
    }
}

impl Drop for EventLink {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn tell(signals: &Signals, id: LinkId, signal: Signal) {
    let _ = signals.send((id, signal)).await; // a driver that is gone wants to know nothing
}

/// The HTTP calls of one stream.
#[derive(Clone)]
struct Calls {
    client: Client,
    say: Url,
    headers: Vec<(&'static str, Secret)>,
}

/// What opens the stream.
struct Opening {
    url: Url,
    first: Option<String>,
}

impl Calls {
    /// A call that says something is short; the core has no timer for it.
    const SAY_TIMEOUT: Duration = Duration::from_secs(10);

    fn new(request: OpenRequest, http: &Http) -> Result<(Self, Opening), DisconnectReason> {
        let EventsRequest { say, first } = request.events.ok_or_else(|| broken("it is not an event stream".into()))?;
        let parse =
            |url: &str| Url::parse(url).map_err(|error| broken(format!("the session's linkUrl is not a URL: {error}")));
        let (url, say) = (parse(&request.url)?, parse(&say)?);
        let client = http.client(&url, Repeat::Safe).map_err(broken)?.clone();
        Ok((Self { client, say, headers: request.headers }, Opening { url, first }))
    }

    async fn open(&self, opening: Opening, id: LinkId, signals: &Signals) -> Result<Response, DisconnectReason> {
        if let Some(first) = opening.first {
            self.post(StreamCall::First, first, id, signals).await?;
        }
        self.call(StreamCall::Events, self.client.get(opening.url), id, signals).await
    }

    /// Says one thing after the other. The first that is not received breaks the link.
    async fn say_all(self, id: LinkId, mut said: mpsc::UnboundedReceiver<String>, signals: Signals) {
        while let Some(text) = said.recv().await {
            if let Err(reason) = self.post(StreamCall::Send, text, id, &signals).await {
                return tell(&signals, id, Signal::Lost(reason)).await;
            }
        }
    }

    async fn post(
        &self,
        call: StreamCall,
        text: String,
        id: LinkId,
        signals: &Signals,
    ) -> Result<(), DisconnectReason> {
        let request = self.client.post(self.say.clone()).header("content-type", "application/json").body(text);
        self.call(call, request.timeout(Self::SAY_TIMEOUT), id, signals).await?;
        Ok(())
    }

    /// Makes a call, and tells the driver what its answer means.
    async fn call(
        &self,
        call: StreamCall,
        mut request: RequestBuilder,
        id: LinkId,
        signals: &Signals,
    ) -> Result<Response, DisconnectReason> {
        for (name, value) in &self.headers {
            let value = sensitive(value)
                .ok_or_else(|| broken(format!("the header {name} cannot carry the session's token")))?;
            request = request.header(*name, value);
        }
        let mut response = request.send().await.map_err(|error| {
            if let Some(problem) = tls::problem(&error) {
                return DisconnectReason::Untrusted(format!("{}: {problem}", self.say.host_str().unwrap_or_default()));
            }
            let message = format!("the call failed: {}", innermost(&error));
            if error.is_connect() { DisconnectReason::Unreached(message) } else { broken(message) }
        })?;
        let said = if response.status() == StatusCode::OK {
            let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            content_type.unwrap_or_default().to_owned()
        } else {
            start_of(&mut response).await
        };
        match call.judge(response.status().as_u16(), &said).map(Signal::of) {
            Some(Signal::Lost(reason)) => return Err(reason),
            Some(signal) => tell(signals, id, signal).await,
            None => {}
        }
        Ok(response)
    }
}

/// What a refusal says, as far as it comes soon.
async fn start_of(response: &mut Response) -> String {
    let mut body = vec![];
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await
            && body.len() < DisconnectReason::LONGEST_REFUSAL
        {
            body.extend_from_slice(&chunk[..chunk.len().min(DisconnectReason::LONGEST_REFUSAL - body.len())]);
        }
    };
    let _ = timeout(PATIENCE, reading).await; // what has come is what there is
    String::from_utf8_lossy(&body).into_owned()
}

/// Reads events until the stream is over; says why it is.
async fn read(mut response: Response, (limits, room): Limits, id: LinkId, signals: &Signals) -> DisconnectReason {
    let (mut parser, mut told_alive) = (Parser::default(), Instant::now());
    let (longest, place) = (limits.max_message, Arc::new(Semaphore::new(1)));
    // As a socket's: what has come, and what is read of it.
    let count = |bytes: usize| match &room {
        Some(room) if bytes > LARGE => room(2 * bytes).map_err(broken),
        Some(room) => room(0).map_err(broken),
        None => Ok(()),
    };
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return broken("the event stream ended".into()),
            Err(error) => return broken(format!("the event stream broke: {}", innermost(&error))),
        };
        if let Err(reason) = count(parser.held() + chunk.len()) {
            return reason;
        }
        parser.take(&chunk);
        let mut is_piece = true;
        loop {
            match parser.next(longest) {
                Ok(Some(Signal::Text(text, _))) if text.len() > LARGE => {
                    // It counts until it is taken.
                    let Ok(taken) = Arc::clone(&place).acquire_owned().await else { continue };
                    tell(signals, id, Signal::Text(text, Some(taken))).await;
                    drop(place.acquire().await);
                }
                Ok(Some(signal)) => tell(signals, id, signal).await,
                Ok(None) => break,
                Err(reason) => return reason,
            }
            is_piece = false;
        }
        let _ = count(parser.held()); // it is less than before
        if is_piece && told_alive.elapsed() >= Link::ALIVE_EVERY {
            told_alive = Instant::now();
            tell(signals, id, Signal::Alive).await;
        }
    }
}

/// What a stream may hold, and what that is counted by.
type Limits = (SocketLimits, Option<SharedRoom>);

/// A text of so many bytes is large: [`WAITING`] smaller ones may wait at once. 64 KiB.
const LARGE: usize = 64 << 10;

/// Server-sent events, as far as they are used here: `data`, and comments.
#[derive(Debug, Default)]
struct Parser {
    bytes: Vec<u8>,
    /// Where the next line begins.
    at: usize,
    /// Up to where no line ends.
    seen: usize,
    data: Option<String>,
}

impl Parser {
    fn take(&mut self, chunk: &[u8]) {
        self.seen -= self.at;
        self.bytes.drain(..std::mem::take(&mut self.at));
        if self.bytes.len() <= LARGE {
            self.bytes.shrink_to(2 * LARGE); // a large one leaves no memory behind
        }
        self.bytes.extend_from_slice(chunk);
    }

    /// How many bytes wait for the rest of what they are.
    fn held(&self) -> usize {
        self.bytes.len() - self.at + self.data.as_ref().map_or(0, String::len)
    }

    /// The next thing that was said, if it is whole.
    fn next(&mut self, longest: usize) -> Result<Option<Signal>, DisconnectReason> {
        while let Some(length) = memchr(&self.bytes[self.seen..]) {
            let line = &self.bytes[self.at..self.seen + length];
            self.seen += length + 1;
            self.at = self.seen;
            let line = str::from_utf8(line).map_err(|_| broken("the event stream is not text".into()))?;
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Ok(Some(Signal::Text(data, None)));
                }
            } else if line.starts_with(':') {
                return Ok(Some(Signal::Alive));
            } else if let Some(data) = line.strip_prefix("data:") {
                let data = data.strip_prefix(' ').unwrap_or(data);
                match &mut self.data {
                    Some(before) => before.extend(["\n", data]),
                    None => self.data = Some(data.to_owned()),
                }
            }
        }
        self.seen = self.bytes.len();
        if self.held() > longest { Err(SocketLimits::exceeded(longest)) } else { Ok(None) }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use agb_core::run::RunRequest;
    use agb_core::{Capabilities, Language, Output, SessionConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock::Clock;
    use crate::options::Options;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let stream = ": hello\n\ndata: {\"é\":1}\n\nid: 7\r\ndata:a\r\ndata: b\r\n\r\n:\n\nevent: x\n\n".as_bytes();
        for size in [1, 2, 3, 7, 100] {
            let mut parser = Parser::default();
            let mut said = vec![];
            for chunk in stream.chunks(size) {
                parser.take(chunk);
                while let Some(signal) = parser.next(100).expect("it is well") {
                    said.push(match signal {
                        Signal::Text(text, _) => text,
                        Signal::Alive => "alive".into(),
                        other => panic!("{other:?}"),
                    });
                }
            }
            assert_eq!(said, ["alive", "{\"é\":1}", "a\nb", "alive"]);
        }
    }

    fn a_link() -> LinkId {
        let config = SessionConfig::new("ws://memory", Secret::from("token"));
        let mut session = agb_core::Session::new(config, Capabilities::NATIVE, 7);
        let (code, language, timeout) = ("1".to_owned(), Language::Python, Duration::from_secs(1));
        session.run(Clock::start().now(), RunRequest { code, language, timeout, stdin: false }).expect("it takes runs");
        loop {
            match session.poll_output() {
                Output::Open(link, _) => return link,
                Output::Idle { .. } => panic!("it opens no link"),
                _ => {}
            }
        }
    }

    #[test]
    fn a_large_event_leaves_no_memory_behind() {
        let mut parser = Parser::default();
        for _ in 0..100 {
            parser.take(&[b':'; 50_000]);
            assert!(parser.next(10_000_000).is_ok_and(|signal| signal.is_none()));
        }
        assert_eq!(parser.held(), 5_000_000);
        parser.take(b"\n\n");
        assert!(matches!(parser.next(10_000_000), Ok(Some(Signal::Alive))));
        assert!(matches!(parser.next(10_000_000), Ok(None)));
        parser.take(b"data: a");
        assert!(parser.held() == 7 && parser.bytes.capacity() <= 2 * LARGE);
    }

    #[tokio::test]
    async fn a_large_event_counts_until_it_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let [small, large, larger, endless] = [10, 100_000, 200_000, 600_000].map(|length| "x".repeat(length));
        let stream = format!("data: {small}\n\ndata: {large}\n\ndata: {larger}\n\n: a comment\n\ndata: {endless}");
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("a client");
            assert!(socket.read(&mut [0; 4096]).await.is_ok_and(|asked| asked > 0));
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("it listens");
            let _ = socket.write_all(stream.as_bytes()).await; // it may have heard enough
            socket
        });
        let http = Http::new(None, Options::new().no_proxy().network().expect("a network"));
        let url = Url::parse(&url).expect("a URL");
        let client = http.client(&url, Repeat::Safe).expect("a client");
        let response = client.get(url.clone()).send().await.expect("an answer");
        let told = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&told);
        let room: SharedRoom = Arc::new(move |bytes| {
            counted.store(bytes, Ordering::Relaxed);
            if bytes <= 1_000_000 { Ok(()) } else { Err("there is no room".to_owned()) }
        });
        let (signals, mut said) = mpsc::channel(WAITING);
        let limits = (SocketLimits::default(), Some(room));
        let reading = tokio::spawn(async move { read(response, limits, a_link(), &signals).await });
        let mut texts = vec![];
        while let Some((_, signal)) = said.recv().await {
            if let Signal::Text(text, _) = &signal {
                if text.len() > LARGE {
                    assert!(told.load(Ordering::Relaxed) >= 2 * text.len(), "it counts");
                    assert!(said.try_recv().is_err(), "nothing comes before it is taken");
                }
                texts.push(text.len());
            }
        }
        assert_eq!(texts, [small.len(), large.len(), larger.len()]);
        let loss = reading.await.expect("it ends");
        assert!(loss.to_string().contains("there is no room"), "{loss}");
        drop(serving);
    }

    #[test]
    fn what_is_too_large_or_no_text_is_an_error() {
        let mut parser = Parser::default();
        parser.take(&[b'x'; 200]);
        assert!(parser.next(100).is_err());
        let mut parser = Parser::default();
        parser.take(b"data: \xff\n");
        assert!(parser.next(100).is_err());
    }
}
