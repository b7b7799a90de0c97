//! The runs: what the service does in each is what the run's code says.

use std::time::Duration;

use agb_protocol::service::{Reply, Request, parse_request};
use agb_protocol::{DEFAULT_TARGET, Finish, Stream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::{Handshakes, Shared};
use crate::load::http::Head;
use crate::serve::lock;

/// What happens in a run, a step after the other: words with spaces between them, each a step's name and its number
/// behind a colon (`lines:3 pause:20 cut`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// `lines:N`: so many lines, counted on through the run, each an event.
    Lines(usize),
    /// `chunk:N`: an event with a line of so many bytes.
    Chunk(usize),
    /// `pause:N`: nothing for so many milliseconds.
    Pause(u64),
    /// `end`, `fail`: the run's end, the second with an error of the program's.
    End { fails: bool },
    /// `refuse:N`: an error event of the service's own with this code, and an end that failed.
    Refuse(usize),
    /// `close:N`: a closing handshake with this code.
    Close(u16),
    /// `cut`: the connection ends without one.
    Cut,
    /// `tear:N`: a frame that says it has so many bytes, and a connection that ends in the middle of it.
    Tear(usize),
    /// `text:N`: a frame that is not JSON, or JSON that is not a message.
    Text(usize),
    /// `binary`: a binary frame.
    Binary,
    /// `strange`: an event of a run that nobody has started.
    Strange,
    /// `never`: nothing more in this run, with the connection held.
    Never,
}

/// Frames that are wrong in ways of their own.
const WRONG: [&str; 6] = [
    "this is not JSON",
    "[1, 2, 3]",
    "{}",
    r#"{"invocationId":7,"data":{"phase":"event"}}"#,
    r#"{"invocationId":"{id}","source":"any","target":"SDK","data":{"phase":"event","eventType":"stdout","chunk":{"a":1}}}"#,
    r#"{"invocationId":"{id}","source":"any","target":"SDK","data":"text"}"#,
];

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The word that is not a step.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split_whitespace()
            .map(|word| Step::parse(word).ok_or_else(|| word.to_owned()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Step {
    fn parse(word: &str) -> Option<Self> {
        let (name, number) = word.split_once(':').unwrap_or((word, "0"));
        let number: usize = number.parse().ok()?;
        Some(match name {
            "lines" => Self::Lines(number),
            "chunk" => Self::Chunk(number),
            "pause" => Self::Pause(number as u64),
            "end" => Self::End { fails: false },
            "fail" => Self::End { fails: true },
            "refuse" => Self::Refuse(number),
            "close" => Self::Close(u16::try_from(number).ok()?),
            "cut" => Self::Cut,
            "tear" => Self::Tear(number),
            "text" => Self::Text(number),
            "binary" => Self::Binary,
            "strange" => Self::Strange,
            "never" => Self::Never,
            _ => return None,
        })
    }
}

/// What a run wants of the connection.
enum Output {
    Frame(Message),
    Tear(usize),
    Cut,
}

/// Serves one WebSocket. `buffer` is what the client said behind its handshake.
pub(super) async fn serve(mut socket: TcpStream, buffer: Vec<u8>, head: &Head, shared: &Shared) {
    lock(&shared.seen).tokens.extend(head.header("x-access-token").map(str::to_owned));
    let handshakes = *lock(&shared.handshakes);
    let key = head.websocket_key().unwrap_or_default();
    let answer = match handshakes {
        Handshakes::Right => {
            let accept = derive_accept_key(key.as_bytes());
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            )
        }
        Handshakes::Refused(status) => {
            format!("HTTP/1.1 {status} Scripted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Handshakes::Never => return std::future::pending().await,
        Handshakes::Cut => return,
    };
    if socket.write_all(answer.as_bytes()).await.is_err() || handshakes != Handshakes::Right {
        let _ = socket.shutdown().await; // the client may be gone, which is all the same
        return;
    }
    let mut socket = WebSocketStream::from_partially_read(socket, buffer, Role::Server, None).await;
    let (sender, mut output) = mpsc::channel(16);
    loop {
        tokio::select! {
            biased;
            output = output.recv() => match output.expect("this task has a sender") {
                Output::Frame(message) => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Output::Cut => return,
                Output::Tear(bytes) => {
                    let length = u64::try_from(bytes).unwrap_or(u64::MAX).to_be_bytes();
                    let wire = socket.get_mut();
                    let _ = wire.write_all(&[0x81, 127]).await;
                    let _ = wire.write_all(&length).await;
                    let _ = wire.write_all(&vec![b'{'; bytes / 2]).await;
                    return;
                }
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if let Ok(Request::Start { invocation, start, .. }) = parse_request(&text) {
                        lock(&shared.seen).starts.push(invocation.clone());
                        tokio::spawn(play(invocation, start.code, sender.clone()));
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

/// Plays a run until its script is over or the connection is.
async fn play(id: String, code: String, output: mpsc::Sender<Output>) {
    let reply = || Reply { invocation: &id, source: DEFAULT_TARGET, seq: None, time: None };
    let frame = |text: String| Output::Frame(Message::text(text));
    let steps = match Script::parse(&code) {
        Ok(Script(steps)) => steps,
        Err(word) => {
            let _ = output.send(frame(reply().failed(&format!("{word:?} is not a step of a script")))).await;
            return;
        }
    };
    let mut line = 0;
    for step in steps {
        let mut all = Vec::new();
        match step {
            Step::Lines(count) => {
                for _ in 0..count {
                    if output.send(frame(reply().chunk(Stream::Stdout, &format!("{line}\n")))).await.is_err() {
                        return;
                    }
                    line += 1;
                }
            }
            Step::Chunk(bytes) => {
                let text = format!("{}\n", "x".repeat(bytes.saturating_sub(1)));
                all.push(frame(reply().chunk(Stream::Stdout, &text)));
            }
            Step::Pause(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Step::End { fails } => {
                let error = fails.then(|| "ScriptError: it was to fail".to_owned());
                let finish =
                    Finish { failed: fails, execution_error: error, execution_time: Some(0.1), ..Finish::default() };
                all.push(frame(reply().end(&finish)));
            }
            Step::Refuse(code) => all.push(frame(reply().failed(&format!("code {code}: the script refuses this run")))),
            Step::Close(code) => {
                let close = CloseFrame { code: code.into(), reason: "scripted".into() };
                all.push(Output::Frame(Message::Close(Some(close))));
            }
            Step::Cut => all.push(Output::Cut),
            Step::Tear(bytes) => all.push(Output::Tear(bytes)),
            Step::Text(which) => all.push(frame(WRONG[which % WRONG.len()].replace("{id}", &id))),
            Step::Binary => all.push(Output::Frame(Message::binary(vec![0xff, 0]))),
            Step::Strange => {
                let other = Reply { invocation: "nobody's", source: DEFAULT_TARGET, seq: None, time: None };
                all.push(frame(other.chunk(Stream::Stdout, "not yours\n")));
            }
            Step::Never => return,
        }
        for one in all {
            if output.send(one).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_its_steps() {
        let steps = vec![Step::Lines(3), Step::Pause(20), Step::Close(1011), Step::Cut];
        assert_eq!(Script::parse("lines:3 pause:20\nclose:1011 cut"), Ok(Script(steps)));
        assert_eq!(Script::parse("lines:3 dance"), Err("dance".to_owned()));
        assert_eq!(Script::parse("close:99999"), Err("close:99999".to_owned()));
    }
}
