//! A server in this process, and the little HTTP that a test needs.

use std::net::SocketAddr;

use agb_server::{Config, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The key that the server takes.
pub(crate) const KEY: &str = "a-key-for-tests";

/// A server on a free port.
pub(crate) struct TestServer {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(Config::new(KEY.into())).await
    }

    /// One that keeps nothing ready, for who counts what a server has open.
    pub(crate) async fn without_pool() -> Self {
        let mut config = Config::new(KEY.into());
        config.warm.most = 0;
        Self::with(config).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let server = Server::new(config).expect("the server starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            server.serve(listener, async { drop(stopped.await) }).await;
        });
        Self { address, stop: Some(stop), task }
    }

    /// Makes a session and gives its `data`.
    pub(crate) async fn create_session(&self) -> Value {
        let answer = self.post("/mcp/createSession?imageId=agb-code-space-1", &json!({})).await;
        assert_eq!(answer["success"], json!(true), "{answer}");
        answer["data"].clone()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.parse().expect("it was one")
    }

    /// Where it listens, as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        let mut socket = TcpStream::connect(&self.address).await.expect("the server listens");
        socket.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.expect("the server ends well");
    }
}
