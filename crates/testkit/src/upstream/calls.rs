//! The HTTP calls, answered as the test wants them.

use std::io;

use agb_protocol::DEFAULT_TARGET;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Answers, Shared, TOKEN};
use crate::load::http::Head;
use crate::serve::lock;

/// A piece of a body that does not end.
const PIECE: usize = 64 * 1024;

pub(super) async fn answer(
    socket: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: &Head,
    shared: &Shared,
) -> io::Result<()> {
    let body = head.body(socket, buffer).await?;
    lock(&shared.seen).keys.extend(head.header("authorization").map(str::to_owned));
    let answers = lock(&shared.answers).clone();
    let (status, kind, text) = match &answers {
        Answers::Text(status, kind, text) => (*status, *kind, text.clone()),
        _ => {
            let (status, text) = right(head, &body, shared);
            (status, "application/json", text)
        }
    };
    let length = if answers == Answers::Endless { usize::MAX >> 1 } else { text.len() };
    let whole = format!(
        "HTTP/1.1 {status} Scripted\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nX-Request-Id: scripted\r\n\r\n{text}"
    );
    match answers {
        Answers::Right | Answers::Text(..) => socket.write_all(whole.as_bytes()).await,
        Answers::Late(time) => {
            tokio::time::sleep(time).await;
            socket.write_all(whole.as_bytes()).await
        }
        Answers::Never => std::future::pending().await,
        Answers::Cut { after } => {
            socket.write_all(&whole.as_bytes()[..after.min(whole.len())]).await?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Answers::Endless => {
            socket.write_all(whole.as_bytes()).await?;
            loop {
                socket.write_all(&[b' '; PIECE]).await?; // ends when the client has gone
            }
        }
    }
}

fn right(head: &Head, body: &Value, shared: &Shared) -> (u16, String) {
    let asked = body.get("sessionId").and_then(Value::as_str).unwrap_or_default();
    let data = match head.path() {
        "/mcp/createSession" => {
            let made = lock(&shared.seen).keys.len(); // no two calls have the same number
            Some(describe(head, &format!("scripted-{made}")))
        }
        "/mcp/getSession" => Some(describe(head, asked)),
        "/mcp/releaseSession" | "/mcp/releaseSessionAsync" => {
            lock(&shared.seen).released.push(asked.to_owned());
            Some(Value::Null)
        }
        _ => None,
    };
    let status = if data.is_some() { 200 } else { 404 };
    let (code, message) = if status == 200 { ("ok", "") } else { ("NotFound", "the script has no such call") };
    let envelope = json!({
        "requestId": "scripted", "success": status == 200, "httpStatusCode": status, "code": code, "message": message,
        "data": data,
    });
    (status, envelope.to_string())
}

fn describe(head: &Head, id: &str) -> Value {
    let tools = json!([{ "name": "run_code", "server": DEFAULT_TARGET, "tool": "run_code", "inputSchema": {} }]);
    json!({
        "sessionId": id,
        "success": true,
        "status": "RUNNING",
        "wsUrl": format!("ws://{}/ws/{id}?secret=in-a-query", head.header("host").unwrap_or_default()),
        "token": TOKEN,
        "toolList": tools.to_string(),
    })
}
