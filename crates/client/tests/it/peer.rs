//! A service of a few lines on the loopback interface: it takes WebSockets and does with them what a test says.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agb_client::{Agb, Options, Secret, Session, SessionData, Stream};
use agb_core::run::Finish;
use agb_core::wire::service::{Reply, Request, StartRun, parse_request};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::server::{Request as Handshake, Response};

use tokio_tungstenite::tungstenite::protocol::Role;

pub(crate) type Served = WebSocketStream<TcpStream>;
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The token of every session here.
pub(crate) const TOKEN: &str = "tok-SECRET-0123456789";

pub(crate) struct Peer {
    pub(crate) address: String,
    connections: Arc<AtomicUsize>,
    pub(crate) tokens: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// Serves each WebSocket with `serve`, which also gets its number from 0.
    pub(crate) async fn start<F, T>(serve: F) -> Self
    where
        F: Fn(usize, Served) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&tokens);
        let serve = Arc::new(serve);
        Self::raw(tokens, move |number, tcp| {
            let (seen, serve) = (Arc::clone(&seen), Arc::clone(&serve));
            Box::pin(async move {
                #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
                let look = |request: &Handshake, response: Response| {
                    let token = request.headers().get("x-access-token");
                    let token = token.and_then(|token| token.to_str().ok()).unwrap_or_default();
                    seen.lock().expect("no test panics with it").push(token.to_owned());
                    Ok(response)
                };
                if let Ok(socket) = tokio_tungstenite::accept_hdr_async(tcp, look).await {
                    serve(number, socket).await;
                }
            })
        })
        .await
    }

    /// Answers every connection with these bytes once it has sent a request's head.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::raw(Arc::default(), move |_, mut tcp| {
            Box::pin(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && tcp.read_buf(&mut head).await.is_ok_and(|length| length > 0) {}
                let _ = tcp.write_all(answer.as_bytes()).await;
            })
        })
        .await
    }

    async fn raw(tokens: Arc<Mutex<Vec<String>>>, serve: impl Fn(usize, TcpStream) -> Task + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(count.fetch_add(1, Ordering::SeqCst), tcp));
            }
        });
        Self { address, connections, tokens }
    }

    /// How many connections have come.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A session whose WebSocket is here, on a service with these extensions.
    pub(crate) fn session(&self, extensions: &[&str]) -> Session {
        self.session_with(extensions, Options::new())
    }

    pub(crate) fn session_with(&self, extensions: &[&str], options: Options) -> Session {
        let mut data = SessionData::default();
        data.session_id = "s-1".into();
        data.ws_url = Some(format!("ws://{}/ws?secret=query-SECRET", self.address));
        data.token = Secret::from(TOKEN);
        data.extensions = extensions.iter().map(|&name| name.to_owned()).collect();
        let options = options.api_key("key").endpoint("http://127.0.0.1:1").environment([("", ""); 0]);
        Agb::new(&options).expect("the settings are fine").session(data)
    }
}

/// The next request of the client; `None` when it is gone.
pub(crate) async fn request(socket: &mut Served) -> Option<Request> {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            return Some(parse_request(&text).expect("the client writes JSON objects"));
        }
    }
    None
}

/// The next start of a run.
pub(crate) async fn start(socket: &mut Served) -> Option<(String, StartRun)> {
    match request(socket).await? {
        Request::Start { invocation, start, .. } => Some((invocation, start)),
        other => panic!("not a start: {other:?}"),
    }
}

pub(crate) async fn send(socket: &mut Served, text: String) {
    let _ = socket.send(Message::text(text)).await;
}

pub(crate) fn reply(invocation: &str) -> Reply<'_> {
    Reply { invocation, source: "wuying_codespace", seq: None, time: None }
}

pub(crate) fn numbered(invocation: &str, seq: u64) -> Reply<'_> {
    Reply { seq: Some(seq), ..reply(invocation) }
}

pub(crate) async fn print(socket: &mut Served, invocation: &str, text: &str) {
    send(socket, reply(invocation).chunk(Stream::Stdout, text)).await;
}

pub(crate) async fn end(socket: &mut Served, invocation: &str) {
    let finish = Finish { execution_count: Some(1), execution_time: Some(0.25), ..Finish::default() };
    send(socket, reply(invocation).end(&finish)).await;
}

/// Upgrades a connection whose request's head has been read, and ends each run at once.
#[cfg(target_os = "linux")]
pub(crate) async fn serve_upgraded(mut wire: impl AsyncRead + AsyncWrite + Unpin, key: &str) {
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let _ = wire.write_all(answer.as_bytes()).await;
    let mut socket = WebSocketStream::from_raw_socket(wire, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message
            && let Ok(Request::Start { invocation, .. }) = parse_request(&text)
        {
            let _ = socket.send(Message::text(reply(&invocation).end(&Finish::default()))).await;
        }
    }
}
