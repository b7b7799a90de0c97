//! An HTTP service of a few lines on the loopback interface.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Service {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Status and body of an answer; status 0 hangs up instead.
pub(crate) type Answer = (u16, String);

impl Service {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut buffer = Vec::new();
                    while let Some(request) = read(&mut tcp, &mut buffer).await {
                        let (status, body) = answer(&request);
                        log.lock().expect("not poisoned").push(request);
                        let length = body.len();
                        // A body may begin with headers of its own.
                        let (more, body) = body.split_once("\r\n\r\n").unwrap_or(("x-test: 1", &body));
                        let length = length.min(body.len());
                        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{more}\r\n\r\n{body}");
                        if status == 0 || tcp.write_all(text.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

async fn read(tcp: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let at = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        tcp.read_buf(buffer).await.ok().filter(|length| *length > 0)?;
    };
    let head = String::from_utf8(buffer.drain(..at).collect()).ok()?.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0").parse().ok()?;
    while buffer.len() < length {
        tcp.read_buf(buffer).await.ok().filter(|length| *length > 0)?;
    }
    let body = String::from_utf8(buffer.drain(..length).collect()).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some(Seen { path, head, body })
}

/// An answer of the documented shape.
pub(crate) fn fine(data: &str) -> Answer {
    (200, format!(r#"{{"requestId":"r-1","code":"ok","success":true,"httpStatusCode":200,"data":{data}}}"#))
}

pub(crate) fn refused(status: u16, code: &str, message: &str) -> Answer {
    (status, format!(r#"{{"requestId":"r-1","code":"{code}","success":false,"message":"{message}"}}"#))
}
