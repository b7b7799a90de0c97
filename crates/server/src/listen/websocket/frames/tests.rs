use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::pieces::{MASKED, length_bytes, payload_length};
use super::*;

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("it is below a usize")
    }
}

/// Bytes that come in parts.
struct Parts(VecDeque<Vec<u8>>);

impl AsyncRead for Parts {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(part) = self.0.front_mut() {
            let bytes = part.len().min(buffer.remaining());
            buffer.put_slice(&part[..bytes]);
            part.drain(..bytes);
            if part.is_empty() {
                self.0.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug, PartialEq)]
struct Frame {
    first: u8,
    payload: Vec<u8>,
}

impl Frame {
    fn write(&self, mask: Option<[u8; 4]>, long: bool, to: &mut Vec<u8>) {
        let masked = if mask.is_some() { MASKED } else { 0 };
        to.push(self.first);
        match self.payload.len() {
            length if length < 126 && !long => to.push(u8::try_from(length).expect("it is short") | masked),
            length if length < 1 << 16 && !long => {
                to.push(126 | masked);
                to.extend(u16::try_from(length).expect("it is short").to_be_bytes());
            }
            length => {
                to.push(127 | masked);
                to.extend((length as u64).to_be_bytes());
            }
        }
        to.extend(mask.into_iter().flatten());
        let mask = mask.unwrap_or_default();
        to.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }

    fn read(bytes: &mut &[u8]) -> Self {
        let (first, second) = (bytes[0], bytes[1]);
        let length_end = 2 + length_bytes(second);
        let length = usize::try_from(payload_length(bytes)).expect("it is here");
        let header = header_length(bytes);
        let mask = if second & MASKED == 0 { [0; 4] } else { bytes[length_end..header].try_into().expect("four") };
        let payload = &bytes[header..header + length];
        let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        *bytes = &bytes[header + length..];
        Self { first, payload }
    }
}

/// What is left when pieces are joined: the frames as they were sent.
fn joined(mut bytes: &[u8], sent: &[Frame]) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    while !bytes.is_empty() {
        let frame = Frame::read(&mut bytes);
        assert!(frame.payload.len() <= LARGE, "a piece of {} bytes", frame.payload.len());
        let begun = frames.len();
        match frames.last_mut() {
            // The next frame of those that were sent begins when this one is complete.
            Some(last) if last.payload.len() < sent[begun - 1].payload.len() => {
                assert_eq!(frame.first & !LAST, 0, "what follows is a part of the same");
                assert_eq!(last.first & LAST, 0, "there is more");
                last.first |= frame.first;
                last.payload.extend(frame.payload);
            }
            _ => frames.push(frame),
        }
    }
    frames
}

#[tokio::test]
async fn frames_come_as_they_were_sent_in_small_pieces() {
    for seed in 1..=60 {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut bytes = Vec::new();
        let sent: Vec<Frame> = (0..12)
            .map(|_| {
                let kind = [0, 1, 2, 8, 9, 10][numbers.below(6)];
                let most = [1, 126, 127, 1000, LARGE, LARGE + 2, 65_536, 65_537, 5 * LARGE][numbers.below(9)];
                let most = if kind >= 8 { 126 } else { most };
                let length = if numbers.below(2) == 0 { most - 1 } else { numbers.below(most) };
                let first = kind | if numbers.below(3) == 0 { 0 } else { LAST };
                let payload = (0..length).map(|_| u8::try_from(numbers.below(256)).expect("a byte")).collect();
                let mask = (numbers.below(8) != 0).then(|| [1, 2, 3, 4].map(|byte: u8| byte.wrapping_mul(37)));
                let frame = Frame { first, payload };
                frame.write(mask, numbers.below(8) == 0, &mut bytes);
                frame
            })
            .collect();
        let longest = [3, 40, 10_000, 200_000][numbers.below(4)];
        let mut parts = VecDeque::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (part, behind) = rest.split_at((1 + numbers.below(longest)).min(rest.len()));
            parts.push_back(part.to_vec());
            rest = behind;
        }
        let mut frames = Frames::new(Parts(parts), 1 << 20);
        let (mut came, mut buffer) = (Vec::new(), vec![0; 1 + numbers.below(20_000)]);
        loop {
            match frames.read(&mut buffer).await.expect("nothing breaks") {
                0 => break,
                bytes => came.extend(&buffer[..bytes]),
            }
        }
        assert!(joined(&came, &sent) == sent, "seed {seed}");
    }
}

#[tokio::test]
async fn what_is_too_large_or_no_message_stays_as_it_came() {
    for (first, length) in [(LAST | TEXT, 3 * LARGE), (LAST | 9, LARGE + 1), (LAST | 3, LARGE + 1)] {
        let mut bytes = Vec::new();
        Frame { first, payload: vec![7; length] }.write(Some([9; 4]), false, &mut bytes);
        let mut came = Vec::new();
        let mut frames = Frames::new(Parts([bytes.clone()].into()), 2 * LARGE);
        frames.read_to_end(&mut came).await.expect("nothing breaks");
        assert!(came == bytes, "{first:x}");
    }
}

#[tokio::test]
async fn large_messages_come_whole_and_larger_ones_not_at_all() {
    let (server, client) = duplex(10_000);
    let mut server = open(server, 1 << 20).await;
    let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    let sending = tokio::spawn(async move {
        for length in [0, 1, LARGE, LARGE + 1, 1 << 20, (1 << 20) + 1] {
            // Refused at its head: the rest of it finds nobody.
            let _ = client.send(Message::text("€".repeat(length / 3) + &"x".repeat(length % 3))).await;
        }
    });
    for length in [0, 1, LARGE, LARGE + 1, 1 << 20] {
        let message = server.next().await.expect("there is one").expect("it is a message");
        assert_eq!(message.into_text().expect("a text").len(), length);
    }
    let refused = server.next().await.expect("there is one").expect_err("it is too large");
    assert!(matches!(refused, Error::Capacity(_)), "{refused}");
    drop(server);
    sending.await.expect("no panic");
}

#[tokio::test]
async fn a_connection_keeps_nothing_of_a_message_that_was_large() {
    const MESSAGE: usize = 8 << 20;
    const CONNECTIONS: usize = 40;
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is listed");
        line.trim_end_matches("kB").trim().parse::<usize>().expect("a number") << 10
    };
    let before = resident();
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let (server, mut client) = duplex(1 << 17);
        let mut server = open(server, MESSAGE).await;
        let sending = tokio::spawn(async move {
            client.write_all(&[LAST | TEXT, MASKED | 127]).await.expect("it is read");
            client.write_all(&(MESSAGE as u64).to_be_bytes()).await.expect("it is read");
            client.write_all(&[0; 4]).await.expect("it is read"); // a mask that changes nothing
            for _ in 0..MESSAGE >> 16 {
                client.write_all(&[b'x'; 1 << 16]).await.expect("it is read");
            }
            client
        });
        let message = server.next().await.expect("there is one").expect("it is a message");
        assert_eq!(message.len(), MESSAGE);
        idle.push((server, sending.await.expect("no panic")));
    }
    // The allocator may keep some of what was freed; each connection would keep 8 MiB.
    let kept = resident().saturating_sub(before);
    assert!(kept < CONNECTIONS * MESSAGE / 3, "{CONNECTIONS} connections keep {kept} bytes");
}
