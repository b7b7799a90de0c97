//! A run's event stream, where the network lets no WebSocket through: plain HTTP calls, carried out for the core.
//!
//! Two tasks a stream: one reads, one says what is to be said, a call after the other. Both tell the driver through one
//! bounded channel; while the driver does not read it, the stream is not read either.

use std::time::Duration;

use agb_core::http::Repeat;
use agb_core::{DisconnectReason, EventsRequest, Input, LinkId, OpenRequest, Secret, StreamCall};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::http::{Http, innermost, sensitive};
use crate::link::Link;
use crate::socket::SocketLimits;
use crate::tls;
use crate::wire::broken;

/// What a stream says to the driver.
#[derive(Debug)]
pub(crate) enum Signal {
    Opened,
    Text(String),
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
    pub(crate) fn open(id: LinkId, request: OpenRequest, http: &Http, limits: SocketLimits, signals: Signals) -> Self {
        let (words, said) = mpsc::unbounded_channel();
        let calls = Calls::new(request, http, limits);
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
            let loss = read(opened, limits.max_message, id, &signals).await;
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

    fn new(request: OpenRequest, http: &Http, _limits: SocketLimits) -> Result<(Self, Opening), DisconnectReason> {
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
        let response = request.send().await.map_err(|error| {
            if let Some(problem) = tls::problem(&error) {
                return DisconnectReason::Untrusted(format!("{}: {problem}", self.say.host_str().unwrap_or_default()));
            }
            let message = format!("the call failed: {}", innermost(&error));
            if error.is_connect() { DisconnectReason::Unreached(message) } else { broken(message) }
        })?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        match call.judge(response.status().as_u16(), content_type.unwrap_or_default()).map(Signal::of) {
            Some(Signal::Lost(reason)) => return Err(reason),
            Some(signal) => tell(signals, id, signal).await,
            None => {}
        }
        Ok(response)
    }
}

/// Reads events until the stream is over; says why it is.
async fn read(mut response: Response, longest: usize, id: LinkId, signals: &Signals) -> DisconnectReason {
    let (mut parser, mut told_alive) = (Parser::default(), Instant::now());
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return broken("the event stream ended".into()),
            Err(error) => return broken(format!("the event stream broke: {}", innermost(&error))),
        };
        parser.take(&chunk);
        let mut is_piece = true;
        loop {
            match parser.next(longest) {
                Ok(Some(signal)) => tell(signals, id, signal).await,
                Ok(None) => break,
                Err(reason) => return reason,
            }
            is_piece = false;
        }
        if is_piece && told_alive.elapsed() >= Link::ALIVE_EVERY {
            told_alive = Instant::now();
            tell(signals, id, Signal::Alive).await;
        }
    }
}

/// Server-sent events, as far as they are used here: `data`, and comments.
#[derive(Debug, Default)]
struct Parser {
    bytes: Vec<u8>,
    /// Where the next line begins.
    at: usize,
    data: Option<String>,
}

impl Parser {
    fn take(&mut self, chunk: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.at));
        self.bytes.extend_from_slice(chunk);
    }

    /// The next thing that was said, if it is whole.
    fn next(&mut self, longest: usize) -> Result<Option<Signal>, DisconnectReason> {
        while let Some(length) = memchr(&self.bytes[self.at..]) {
            let line = &self.bytes[self.at..self.at + length];
            self.at += length + 1;
            let line = str::from_utf8(line).map_err(|_| broken("the event stream is not text".into()))?;
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Ok(Some(Signal::Text(data)));
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
        let waiting = self.bytes.len() - self.at + self.data.as_ref().map_or(0, String::len);
        if waiting > longest { Err(SocketLimits::exceeded(longest)) } else { Ok(None) }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

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
                        Signal::Text(text) => text,
                        Signal::Alive => "alive".into(),
                        other => panic!("{other:?}"),
                    });
                }
            }
            assert_eq!(said, ["alive", "{\"é\":1}", "a\nb", "alive"]);
        }
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
