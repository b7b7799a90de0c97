//! The little of RFC 6455 that a load server needs.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A frame of a client.
#[derive(Debug, PartialEq)]
pub(super) enum FromClient {
    Text(String),
    Ping(Vec<u8>),
    Close,
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// A final frame.
const FIN: u8 = 0x80;
/// A run's code fits.
const LONGEST: u64 = 16 << 20;

/// Answers the opening handshake. A browser wants one of the sub-protocols selected that it offers.
pub(super) async fn accept(socket: &mut TcpStream, key: &str, offered: Option<&str>) -> io::Result<()> {
    let first = offered.and_then(|offered| offered.split(',').next()).map(str::trim);
    let protocol = first.map(|first| format!("Sec-WebSocket-Protocol: {first}\r\n")).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{protocol}Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    socket.write_all(answer.as_bytes()).await
}

/// Appends a text frame.
pub(super) fn push_text(block: &mut Vec<u8>, text: &[u8]) {
    push_header(block, text.len());
    block.extend_from_slice(text);
}

/// Appends the header of a text frame.
pub(super) fn push_header(block: &mut Vec<u8>, length: usize) {
    header(block, TEXT, length);
}

/// Appends the answer to a ping.
pub(super) fn push_pong(block: &mut Vec<u8>, data: &[u8]) {
    header(block, PONG, data.len());
    block.extend_from_slice(data);
}

/// Appends a close frame without a code.
pub(super) fn push_close(block: &mut Vec<u8>) {
    header(block, CLOSE, 0);
}

fn header(block: &mut Vec<u8>, opcode: u8, length: usize) {
    block.push(FIN | opcode);
    match length {
        0..126 => block.push(length as u8),
        126..0x1_0000 => {
            block.push(126);
            block.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            block.push(127);
            block.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Reads frames of a client; `buffer` holds what was read beyond the last one. `None`: it went away.
pub(super) async fn read(
    socket: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<FromClient>> {
    loop {
        while let Some((frame, length)) = parse(buffer)? {
            buffer.drain(..length);
            if let Some(frame) = frame {
                return Ok(Some(frame));
            }
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// The first frame and its length, once it is there; a pong is nothing.
fn parse(bytes: &[u8]) -> io::Result<Option<(Option<FromClient>, usize)>> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err(io::Error::other("a client's frame must be masked"));
    }
    let (length, at) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(length) => (u64::from(u16::from_be_bytes(length.try_into().expect("two bytes"))), 4),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(length) => (u64::from_be_bytes(length.try_into().expect("eight bytes")), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if length > LONGEST {
        return Err(io::Error::other("the frame is too long"));
    }
    let end = at + 4 + length as usize;
    let Some(payload) = bytes.get(at + 4..end) else { return Ok(None) };
    let mask = &bytes[at..at + 4];
    let payload: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    let frame = match first {
        first if first == FIN | TEXT => {
            Some(FromClient::Text(String::from_utf8(payload).map_err(|_| io::Error::other("not UTF-8"))?))
        }
        first if first == FIN | PING => Some(FromClient::Ping(payload)),
        first if first == FIN | CLOSE => Some(FromClient::Close),
        first if first == FIN | PONG => None,
        _ => return Err(io::Error::other("a kind of frame that a load server does not know")),
    };
    Ok(Some((frame, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(opcode: u8, text: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        header(&mut frame, opcode, text.len());
        frame[1] |= 0x80;
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[tokio::test]
    async fn reads_what_clients_say() {
        let long = "x".repeat(70_000);
        let middle = "y".repeat(300);
        let mut sent = masked(TEXT, b"hello");
        sent.extend(masked(PONG, b""));
        sent.extend(masked(TEXT, middle.as_bytes()));
        sent.extend(masked(PING, b"?"));
        sent.extend(masked(TEXT, long.as_bytes()));
        sent.extend(masked(CLOSE, &[3, 232]));
        let (mut socket, mut buffer) = (sent.as_slice(), Vec::new());
        let expected = [
            FromClient::Text("hello".into()),
            FromClient::Text(middle),
            FromClient::Ping(b"?".to_vec()),
            FromClient::Text(long),
            FromClient::Close,
        ];
        for frame in expected {
            assert_eq!(read(&mut socket, &mut buffer).await.expect("they are right"), Some(frame));
        }
        assert_eq!(read(&mut socket, &mut buffer).await.expect("it is right"), None);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(parse(&[FIN | TEXT, 1, b'x']).is_err(), "unmasked");
        assert!(parse(&masked(3, b"")).is_err(), "reserved");
        assert!(parse(&[FIN | TEXT, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]).is_err(), "endless");
        assert_eq!(parse(&[FIN | TEXT]).expect("it is a beginning"), None);
    }
}
