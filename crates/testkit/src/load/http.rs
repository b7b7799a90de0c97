//! The HTTP calls that make, describe and release a session.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use agb_protocol::DEFAULT_TARGET;
use agb_protocol::Extensions;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The beginning of a request.
#[derive(Debug)]
pub(crate) struct Head {
    target: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// A request's head is shorter than this.
    const LONGEST: usize = 64 * 1024;

    /// Reads one head; what comes behind it stays in `buffer`. `None`: the client is done.
    pub(crate) async fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Self>> {
        loop {
            if let Some((head, length)) = Self::parse(buffer)? {
                buffer.drain(..length);
                return Ok(Some(head));
            }
            if buffer.len() > Self::LONGEST {
                return Err(io::Error::other("the head is too long"));
            }
            if socket.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn parse(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = request.parse(bytes).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = request.headers.iter().map(|header| (header.name.to_lowercase(), text(header.value))).collect();
        Ok(Some((Self { target: request.path.unwrap_or("/").to_owned(), headers }, length)))
    }

    /// Set when it asks for a WebSocket.
    pub(crate) fn websocket_key(&self) -> Option<&str> {
        self.header("sec-websocket-key")
    }

    /// The sub-protocols that it offers.
    pub(super) fn websocket_protocols(&self) -> Option<&str> {
        self.header("sec-websocket-protocol")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The body, which is at the front of `buffer` or still to come. One that is not JSON is null.
    pub(crate) async fn body(&self, socket: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Value> {
        let length = self.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if length > Self::LONGEST {
            return Err(io::Error::other("the body is too long"));
        }
        while buffer.len() < length {
            if socket.read_buf(buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body = serde_json::from_slice(&buffer[..length]).unwrap_or_default();
        buffer.drain(..length);
        Ok(body)
    }

    /// A value of the query, as it stands there: the names used here need no decoding.
    fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }
}

/// The sessions: their names say all about them but whether they were released.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    made: AtomicU64,
    released: Mutex<HashSet<String>>,
}

impl Sessions {
    /// Answers one call. Its body, if any, is at the front of `buffer`, or still to come.
    pub(super) async fn answer(&self, socket: &mut TcpStream, buffer: &mut Vec<u8>, head: &Head) -> io::Result<()> {
        let body = head.body(socket, buffer).await?;
        let (status, data) = self.call(head, &body).map_or((404, Value::Null), |data| (200, data));
        let answer = json!({
            "requestId": "load", "success": status == 200, "httpStatusCode": status, "data": data,
            "code": if status == 200 { "ok" } else { "NotFound" },
            "message": if status == 200 { "" } else { "a load server does not know this call" },
        });
        let answer = answer.to_string();
        let reason = if status == 200 { "OK" } else { "Not Found" };
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        socket.write_all((head + &answer).as_bytes()).await
    }

    fn call(&self, head: &Head, body: &Value) -> Option<Value> {
        let id = body.get("sessionId").and_then(Value::as_str).unwrap_or_default();
        match head.path() {
            "/mcp/createSession" => {
                let image = head.query("imageId").unwrap_or("load");
                Some(describe(head, &format!("{image}-{}", self.made.fetch_add(1, Ordering::Relaxed))))
            }
            "/mcp/getSession" => Some(describe(head, id)),
            "/mcp/getSessionInfo" => {
                let status = if self.released().contains(id) { "FINISH" } else { "RUNNING" };
                Some(json!({ "sessionId": id, "status": status }))
            }
            "/mcp/releaseSession" | "/mcp/releaseSessionAsync" => {
                self.released().insert(id.to_owned());
                Some(Value::Null)
            }
            "/mcp/refreshSessionIdleTime" => Some(Value::Null),
            _ => None,
        }
    }

    fn released(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(head: &Head, id: &str) -> Value {
    let image = id.rsplit_once('-').map_or(id, |(image, _)| image);
    let tools = json!([{ "name": "run_code", "server": DEFAULT_TARGET, "tool": "run_code", "inputSchema": {} }]);
    json!({
        "sessionId": id,
        "success": true,
        "status": "RUNNING",
        "wsUrl": format!("ws://{}/ws", head.header("host").unwrap_or_default()),
        "token": "load",
        "toolList": tools.to_string(),
        "extensions": Extensions::from_names(image.split('.')).names(),
    })
}
